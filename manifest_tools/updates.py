"""Manifests and labels written again only where they changed, so that what later tools added to them stays.

`manifest_tools.speaker_vectors` adds a column to a manifest. The tool that made the manifest may run again (an
interrupted script, a second `make demo`) and must not take the column off.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path

from speecht5_fairseq.data.errors import ManifestError
from speecht5_fairseq.data.manifest import JOB_COLUMNS, Manifest, write_manifest

from .files import SPLITS, read_lines, write_lines

logger = logging.getLogger(__name__)

Fields = Sequence[str | int | Path]


def _open(path: Path, job: str) -> Manifest | None:
    try:
        return Manifest.open(path, JOB_COLUMNS[job]) if path.is_file() else None
    except ManifestError:  # damaged, or of another job: it is written anew
        return None


def _holds(manifest: Manifest, root: str | Path, rows: Iterable[Fields]) -> bool:
    """Whether the first columns of `manifest` are `rows` already; it may have more columns."""
    kept = (list(manifest.row(index).values()) for index in range(len(manifest)))
    return manifest.lines[0] == str(root) and all(
        old is not None and new is not None and list(map(str, old[: len(new)])) == list(map(str, new))
        for old, new in zip_longest(kept, rows)
    )


def update_manifest(path: Path, root: str | Path, rows: Callable[[], Iterable[Fields]], job: str = "s2t") -> int:
    """Write `rows()` as a manifest, unless `path` holds them already, perhaps with more columns. Returns the rows.

    rows: called once to compare and once to write, so that millions of rows need no list. job: whose columns they are.
    Warns when columns that another tool added are lost, because the rows changed.
    """
    manifest = _open(path, job)
    if manifest is not None and _holds(manifest, root, rows()):
        return len(manifest)
    count = write_manifest(path, root, rows())
    if manifest is not None and manifest.width > (width := len(next(iter(rows())))):
        lost = manifest.width - width
        mend = "run what added it (manifest_tools.speaker_vectors?) again"
        logger.warning("%s: its rows changed, so %d more column(s) of the old ones are gone; %s", path, lost, mend)
    return count


def update_lines(path: Path, lines: Callable[[], Iterable[str]]) -> None:
    """Write `lines()`, one a line, unless `path` holds them already: it keeps its time stamp then."""
    if path.is_file() and all(old == new for old, new in zip_longest(read_lines(path), lines())):
        return
    write_lines(path, lines())


def check_old_splits(out: Path, written: Iterable[str], splits: Sequence[str] = SPLITS) -> None:
    """Raises ValueError for a manifest of `splits` that an earlier run left, if recordings of it are in `written` now.

    What was held out then, and is no split now, would be trained on, and still be there to validate with.
    """
    new = list(written)
    for old in (split for split in splits if split not in new):
        path = out / f"{old}.tsv"
        held = set(_recordings(path)) if path.is_file() else set()
        for split in new if held else ():
            if shared := len(held.intersection(_recordings(out / f"{split}.tsv"))):
                raise ValueError(
                    f"{path}: this run made no {old}, and {shared} of the {len(held)} recordings that an earlier one "
                    f"wrote there are in {split}.tsv now; delete {old}.*, or give the options of before"
                )


def _recordings(manifest: Path) -> Iterator[str]:
    """The paths in the first column of a manifest, whatever its job, below its root."""
    lines = read_lines(manifest)
    root = os.path.realpath(manifest.parent / next(lines, ""))
    return (os.path.join(root, line.partition("\t")[0]) for line in lines)
