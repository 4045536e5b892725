"""Verification trials, in VoxCeleb's format, and the embeddings of their utterances."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..data.errors import DataError, listed, located
from ..data.npy import npy_file, read_header, read_numbers
from .results_table import ResultsTable

RESULTS = "results.tsv"


class Trial(NamedTuple):
    """Two utterances, and whether one speaker said both."""

    target: bool
    first: str
    second: str
    line: int  # of the file, from 1


def read_trials(path: Path) -> list[Trial]:
    """Lines `LABEL PATH PATH`, LABEL 1 for one speaker and 0 for two.

    Raises:
        DataError: with file and line, for any other line, or trials that are all of one kind.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file of trials; correct --trials") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 ({error}); convert it (`iconv -t UTF-8`)") from error
    trials, problems = [], []
    for number, line in enumerate(lines, start=1):
        fields = line.split("\t") if "\t" in line else line.split()
        if len(fields) == 3 and fields[0] in ("0", "1") and all(fields):
            trials.append(Trial(fields[0] == "1", fields[1], fields[2], number))
        else:
            mend = "write a 1 (one speaker) or a 0 (two), then both paths; paths with spaces need tabs between"
            problems.append(located(path, number, f"not a trial ({line!r})", mend))
    if problems:
        raise DataError(listed(problems))
    for target, kind in ((True, "1 (one speaker)"), (False, "0 (two speakers)")):
        if not any(trial.target == target for trial in trials):
            problem = f"none of the {len(trials)} trials has the label {kind}"
            raise DataError(located(path, 1, problem, "add some: error rates need both kinds"))
    return trials


def embedding_files(folder: Path) -> dict[str, Path]:
    """Utterance -> file of its embedding: by the paths of results.tsv, or every .npy by its path without suffix.

    Raises:
        DataError: nothing of either, or a results.tsv without embeddings.
    """
    if not folder.is_dir():
        raise DataError(f"--embeddings {folder}: no such folder; correct the path")
    table = folder / RESULTS
    if table.is_file():
        rows = ResultsTable.read(table, required=("path", "embedding")).rows
        found = {row["path"]: folder / row["embedding"] for row in rows if row["embedding"]}
        mend = "generate it again with --save-embeddings"
    else:
        found = {str(path.relative_to(folder).with_suffix("")): path for path in sorted(folder.rglob("*.npy"))}
        mend = "give what fairseq-generate --results-path wrote, or a folder of .npy files"
    if not found:
        raise DataError(f"--embeddings {folder}: no embedding there; {mend}")
    return found


def trial_embeddings(trials: Iterable[Trial], path: Path, folder: Path) -> dict[str, np.ndarray]:
    """Utterance -> its embedding (E,) divided by its length, for all that the trials name. ``path``: their file.

    An utterance is found under its path as the trials write it, or under that path without suffix.

    Raises:
        DataError: with file and line, for an utterance without embedding; an embedding that is not one vector of
            numbers, not of the others' size, or zero.
    """
    files, problems = embedding_files(folder), []
    loaded: dict[str, np.ndarray] = {}
    for trial in trials:
        for name in (trial.first, trial.second):
            if name in loaded:
                continue
            file = files.get(name) or files.get(str(Path(name).with_suffix("")))
            if file is None:
                mend = "correct the path, or make its embedding"
                problems.append(located(path, trial.line, f"no embedding of {name!r} in {folder}", mend))
                loaded[name] = np.zeros(0)  # told once
            else:
                loaded[name] = _read_embedding(file)
    if problems:
        raise DataError(listed(problems))
    sizes = {len(vector) for vector in loaded.values()}
    if len(sizes) > 1:
        counts = ", ".join(map(str, sorted(sizes)))
        raise DataError(f"--embeddings {folder}: vectors of {counts} entries; make all with one model")
    return loaded


def _read_embedding(file: Path) -> np.ndarray:
    mend = "make it again"
    try:
        with npy_file(file) as opened:
            header = read_header(opened)
            if len(header.shape) != 1:
                raise DataError(f"{file}: {header.dtype} of shape {header.shape}, not one vector of numbers; {mend}")
            vector = read_numbers(opened, header)
    except DataError:
        raise
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: no readable embedding ({error}); {mend}") from error
    vector = vector.astype(np.float64)
    length = float(np.linalg.norm(vector))
    if not np.isfinite(length) or length == 0.0:
        raise DataError(f"{file}: an embedding that is all zero or holds NaN or infinity; {mend}")
    return vector / length
