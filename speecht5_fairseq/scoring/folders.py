"""What there is to score: a folder of generated speech, matched with references, sources and texts.

The folder holds either a results.tsv, as our fairseq-generate writes it, or plain recordings.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..data.errors import DataError
from .results_table import ResultsTable, read_texts

logger = logging.getLogger(__name__)

RESULTS = "results.tsv"
SCORES = "scores.tsv"  # written for plain folders
REQUIRED = ("id", "wav")
AUDIO_SUFFIXES = (".wav", ".flac", ".ogg")
OK = "ok"


class Utterance(NamedTuple):
    """One generated recording and what it is held against; None for what there is not."""

    name: str
    generated: Path
    reference: Path | None = None  # the target recording
    source: Path | None = None  # the recording that was enhanced or converted
    speaker: Path | None = None  # vector of the target speaker
    text: str | None = None  # the sentence to be said
    status: str = OK  # anything else says why there is no recording


def open_folder(
    generated: Path, *, references: Path | None = None, sources: Path | None = None, texts: Path | None = None
) -> tuple[ResultsTable, list[Utterance]]:
    """The table that the scores go to, and its utterances in the same order.

    Args:
        generated: a folder with results.tsv, or with recordings (.wav, .flac, .ogg; folders within it are searched).
        references, sources: folders whose files have the same relative paths as the generated ones (the suffix may
            differ); they go before the columns `reference` and `source` of results.tsv.
        texts: lines `id<TAB>text`, before the column `text`. The id of a plain file is its relative path without
            suffix.

    Raises:
        DataError: nothing to score, a table that breaks its format, or folders and texts of other utterances.
    """
    for option, folder in (("GENERATED", generated), ("--references", references), ("--sources", sources)):
        if folder is not None and not folder.is_dir():
            raise DataError(f"{option} {folder}: no such folder; correct the path")
    if (generated / RESULTS).is_file():
        table = ResultsTable.read(generated / RESULTS, required=REQUIRED)
    else:
        table = _plain_table(generated)
    if not table.rows:
        raise DataError(f"{table.path}: there are no utterances to score; generate some first")
    utterances = [_utterance(generated, row) for row in table.rows]
    utterances = _matched(utterances, generated, references, "reference", "--references")
    utterances = _matched(utterances, generated, sources, "source", "--sources")
    return table, _with_texts(utterances, texts)


def recordings(folder: Path) -> Iterator[Path]:
    """The audio files below a folder, relative to it, in the order of their names."""
    yield from sorted(
        path.relative_to(folder)
        for path in folder.rglob("*")
        if path.suffix.lower() in AUDIO_SUFFIXES and not path.name.startswith(".")
    )


def _by_name(folder: Path) -> dict[Path, Path]:
    """The recordings below a folder, relative to it, by their paths without suffix.

    Raises:
        DataError: two of them differ in their suffixes only.
    """
    found: dict[Path, Path] = {}
    for path in recordings(folder):
        name = path.with_suffix("")
        if name in found:
            raise DataError(f"{folder / path}: {found[name]} has the same id '{name.as_posix()}'; keep one of them")
        found[name] = path
    return found


def _plain_table(folder: Path) -> ResultsTable:
    rows = [{"id": name.as_posix(), "wav": path.as_posix()} for name, path in _by_name(folder).items()]
    if not rows:
        raise DataError(f"GENERATED {folder}: holds neither {RESULTS} nor recordings ({', '.join(AUDIO_SUFFIXES)})")
    return ResultsTable(folder / SCORES, REQUIRED, rows)


def _utterance(folder: Path, row: dict[str, str]) -> Utterance:
    paths = {name: Path(row[name]) for name in ("reference", "source", "speaker") if row.get(name)}
    status = row.get("status") or OK
    if not row["wav"] and status == OK:
        status = "the column wav is empty"
    return Utterance(row["id"], folder / row["wav"], text=row.get("text") or None, status=status, **paths)


def _matched(
    utterances: list[Utterance], generated: Path, folder: Path | None, field: str, option: str
) -> list[Utterance]:
    """The utterances with the recordings of `folder` that lie where the generated ones lie in theirs."""
    if folder is None:
        return utterances
    found = {name: folder / path for name, path in _by_name(folder).items()}
    names = [_name_within(generated, utterance.generated) for utterance in utterances]
    there = [name for name in names if name is not None]
    if not there:
        raise DataError(
            f"{option} {folder}: no row of {generated / RESULTS} names a recording in {generated}, so there is no path "
            f"to match; generate recordings, or leave {option} out"
        )
    matched = sum(name in found for name in there)
    if not matched:
        raise DataError(
            f"{option} {folder}: none of its {len(found)} recordings has the path of a generated one, such as "
            f"{there[0]}; give a folder of the same layout"
        )
    if field == "reference" and matched < len(found):
        logger.warning("%s: %d of %d recordings were not generated", folder, len(found) - matched, len(found))
    return [utterance._replace(**{field: found.get(name)}) for name, utterance in zip(names, utterances, strict=True)]


def _name_within(folder: Path, path: Path) -> Path | None:
    """A recording's path in its folder, without suffix; None for one elsewhere, or where a row names none."""
    folder, path = folder.absolute(), path.absolute()
    if path == folder or not path.is_relative_to(folder):
        return None
    return path.relative_to(folder).with_suffix("")


def _with_texts(utterances: list[Utterance], path: Path | None) -> list[Utterance]:
    if path is None:
        return utterances
    texts = read_texts(path)
    if not any(utterance.name in texts for utterance in utterances):
        raise DataError(f"--texts {path}: has the text of no utterance; the first one's id is {utterances[0].name!r}")
    return [utterance._replace(text=texts.get(utterance.name, utterance.text)) for utterance in utterances]
