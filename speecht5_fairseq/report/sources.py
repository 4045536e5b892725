"""What a given folder or file holds: a training's curves, transcripts, generated speech, speakers, trials."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..data.errors import DataError, located
from ..models.errors import CheckpointError
from ..scoring.results_table import ResultsTable
from .charts import GREATEST
from .curves import Curves, read_checkpoints, read_logs
from .transcripts import PATTERN, Transcripts, read_transcripts

CHECKPOINTS = "checkpoint*.pt"
LOGS = ("*.log", "*.jsonl", "log*.txt", "train*.txt")  # in a run's folder; beside it NAME.log, NAME.jsonl, NAME.txt
TABLES = ("results.tsv", "scores.tsv")  # of fairseq-generate, and of scoring plain recordings
SPEAKER_COLUMNS = ("class", "probability", "classes", "path", "label", "correct")  # of fairseq-generate's table
TRIALS = ("*.txt", "*.tsv")  # what scoring.verification --scores wrote
TRIALS_NAMES = (".scores.tsv", ".scores.txt")  # ends of names that begin with the subset: examples/sid/run.sh
LOOKED_FOR = (
    f"{CHECKPOINTS}, a training's log ({', '.join(LOGS)} inside, NAME.log beside), {PATTERN} or a log of decoding, "
    f"{' or '.join(TABLES)} (here or a folder below), and the file of scoring.verification --scores"
)
_TRIAL = re.compile(r"^[01]\t[^\t]+\t[^\t]+\t-?\d[^\t]*$")


class Table(NamedTuple):
    """The table of one subset, which is called as its folder."""

    subset: str
    table: ResultsTable

    @property
    def folder(self) -> Path:
        """Where the files are that the table names."""
        return self.table.path.parent


class Trials(NamedTuple):
    """Scored trials of verification, N of them."""

    subset: str
    scores: np.ndarray  # (N,) float64
    targets: np.ndarray  # (N,) bool
    names: list[tuple[str, str]]  # N


class Source(NamedTuple):
    """What one argument holds; what it does not is None or empty.

    Attributes:
        name: short, another one for each argument.
        notes: what is left out, and why.
    """

    name: str
    path: Path
    curves: Curves | None
    transcripts: list[Transcripts]
    speech: list[Table]
    speakers: list[Table]
    trials: list[Trials]
    notes: list[str]

    @property
    def parts(self) -> list[str]:
        """What there is, in words."""
        found = [
            (self.curves, "training curves"),
            (self.transcripts, "transcripts"),
            (self.speech, "generated speech"),
            (self.speakers, "speakers"),
            (self.trials, "verification"),
        ]
        return [name for part, name in found if part]


def open_source(path: Path, name: str, logs: Sequence[Path] = ()) -> Source:
    """Read a folder, or a file alone.

    Args:
        name: what the page calls it.
        logs: of its training, before those that are found.

    Raises:
        DataError: there is no such path, nothing known in it, or a table that breaks its format.
    """
    if not path.exists():
        raise DataError(f"{path}: no such folder or file; correct the path")
    notes: list[str] = []
    texts = list(_files(path, (PATTERN, *LOGS)))
    curves = _curves(path, logs or _logs(path), notes)
    speech, speakers = _tables(path)
    described = {table.subset for table in speech + speakers}  # what was printed of them is no text
    read = [(file, found) for file in texts if (found := read_transcripts(file)) is not None]
    read = [(file, found) for file, found in read if found.scored or found.subset not in described]
    transcripts = list(_one_each_subset(read, notes))
    trials = list(_trials(path))
    source = Source(name, path, curves, transcripts, speech, speakers, trials, notes)
    if not source.parts:
        raise DataError(f"{path}: nothing to report; looked for {LOOKED_FOR}")
    return source


def short_names(paths: Sequence[Path]) -> list[str]:
    """The end of each path that no other has: one part where that is enough; a path given twice gets a number."""
    parts = [path.absolute().parts for path in paths]
    names = []
    for number, own in enumerate(parts):
        others = [other for place, other in enumerate(parts) if place != number]
        length = next((size for size in range(1, len(own)) if all(o[-size:] != own[-size:] for o in others)), 1)
        name = "/".join(own[-length:])
        names.append(name if name not in names else f"{name} ({number + 1})")
    return names


def _files(path: Path, patterns: Sequence[str], *, below: bool = False) -> Iterator[Path]:
    """The file itself, or the files of a folder (and of the folders in it) in the order of their names."""
    if path.is_file():
        yield path
        return
    folders = [path, *(sorted(each for each in path.iterdir() if each.is_dir()) if below else ())]
    for folder in folders:
        yield from sorted({file for pattern in patterns for file in folder.glob(pattern) if file.is_file()})


def _logs(path: Path) -> list[Path]:
    """Where logs of a training usually are, the oldest first."""
    found = list(_files(path, LOGS))
    if path.is_dir():
        own = path.absolute()
        beside = [own.with_name(own.name + suffix) for suffix in (".log", ".jsonl", ".txt")]
        found += [file for file in beside if file.is_file()]
    return sorted(found, key=lambda file: (file.stat().st_mtime_ns, file.name))


def _curves(path: Path, logs: Sequence[Path], notes: list[str]) -> Curves | None:
    """Of the logs; without a number in them, of the checkpoints."""
    for log in logs:
        if not log.is_file():
            raise DataError(f"--log {log}: no such file; correct the path")
    curves = read_logs(logs)
    checkpoints = list(_files(path, (CHECKPOINTS,))) if path.is_dir() else []
    if not curves.groups and checkpoints:
        try:
            curves = read_checkpoints(checkpoints)
            notes.append(f"no log of the training: curves from its {len(checkpoints)} checkpoints (--log FILE)")
        except CheckpointError as error:
            notes.append(f"no log of the training, and no numbers from its checkpoints ({error})")
    if curves.broken:
        notes.append(
            f"{curves.broken} logged numbers or lines have no point on a curve: NaN, infinite, beyond {GREATEST:g}, or "
            "broken JSON"
        )
    return curves if curves.groups else None


def _one_each_subset(found: Sequence[tuple[Path, Transcripts]], notes: list[str]) -> Iterator[Transcripts]:
    """Of a subset in several files (a results file and a log) the one with the most utterances, the first of equals.

    Other decodings of the subset are told in ``notes``.
    """
    for subset in dict.fromkeys(each.subset for _, each in found):
        own = [pair for pair in found if pair[1].subset == subset]
        shown, best = max(own, key=lambda pair: len(pair[1].rows))
        others = [str(file) for file, each in own if each.rows != best.rows]
        if others:
            notes.append(
                f"{subset}: shown is {shown.name}, and not its {len(others)} other decodings; for all side by side "
                f"give the files in place of the folder: {' '.join([str(shown), *others])}"
            )
        yield best


def _tables(path: Path) -> tuple[list[Table], list[Table]]:
    """Tables of generated speech, and of speakers."""
    speech, speakers = [], []
    for file in _files(path, TABLES, below=True) if path.is_dir() else ():
        if is_trials(file):
            continue
        table = ResultsTable.read(file, required=("id",))
        subset = file.absolute().parent.name
        if "wav" in table.columns:
            speech.append(Table(subset, table))
        elif "class" in table.columns:
            speakers.append(Table(subset, ResultsTable.read(file, required=("id", *SPEAKER_COLUMNS))))
    return speech, speakers


def _trials(path: Path) -> Iterator[Trials]:
    """Of each file of scored trials; those that would be of one subset have their files' names in it."""
    files = [file for file in _files(path, TRIALS, below=True) if is_trials(file)]
    subsets = [_subset_of_trials(file) for file in files]
    for file, subset in zip(files, subsets, strict=True):
        yield read_trials(file, f"{subset} ({file.stem})" if subsets.count(subset) > 1 else subset)


def _subset_of_trials(file: Path) -> str:
    """SUBSET of SUBSET.scores.tsv, else the folder's name."""
    named = (file.name.removesuffix(end) for end in TRIALS_NAMES if file.name.endswith(end))
    return next(named, "") or file.absolute().parent.name


def is_trials(path: Path) -> bool:
    """Whether a file starts with a scored trial."""
    with open(path, encoding="utf-8", errors="replace") as file:
        return _TRIAL.match(file.readline()) is not None


def read_trials(path: Path, subset: str) -> Trials:
    """Lines `LABEL PATH PATH SCORE`, tabs between.

    Raises:
        DataError: with file and line, for another line.
    """
    rows = []
    with open(path, encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, start=1):
            if not _TRIAL.match(line):
                mend = "write it again: scoring.verification --scores"
                raise DataError(located(path, number, f"not a scored trial ({line.strip()!r})", mend))
            rows.append(line.rstrip("\n").split("\t"))
    scores = np.array([_score(path, number, row[3]) for number, row in enumerate(rows, start=1)])
    return Trials(subset, scores, np.array([row[0] == "1" for row in rows]), [(row[1], row[2]) for row in rows])


def _score(path: Path, number: int, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        mend = "write it again: scoring.verification --scores"
        raise DataError(located(path, number, f"{text!r} is no score", mend)) from None
