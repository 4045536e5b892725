"""The folder of a run's checkpoints at its start: mended, so that fairseq's own rule finds the newest whole one.

A killed run leaves half-written temporary files, and checkpoints of before; a broken disk, or a copy of fairseq's own,
leaves broken checkpoints. fairseq-train looks at ``checkpoint_last.pt`` alone.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

from ..data.atomic import remove_abandoned
from ..models.checkpoint import read_file, updates_of
from ..models.checksum import copy_checkpoint, why_broken
from ..models.errors import CheckpointError

logger = logging.getLogger(__name__)

STEM = "checkpoint"  # of all names that fairseq-train saves under, but crash.pt
LAST = "checkpoint_last.pt"  # fairseq's default of --restore-file, which it looks for in --save-dir
OTHERS = re.compile(r"checkpoint(\d+|_\d+_\d+|_best|\.best_.+)\.pt")
BROKEN = ".broken"  # what a broken file's name gets


def mend_folder(folder: str | Path) -> None:
    """Make ``checkpoint_last.pt`` the newest whole checkpoint of a run's folder, where there is one at all.

    Broken files are named and kept under another name. Another checkpoint takes the place of the last one where that is
    missing or broken, or where the run was killed between the two: it is newer and has more updates.

    Raises:
        OSError: the folder cannot be read or changed.
    """
    folder = Path(folder)
    if not folder.is_dir():
        return
    _remove_leftovers(folder)
    last: Path | None = folder / LAST
    if not (last.exists() and _whole(last)):
        last = None
    for file in _others(folder):
        if last is not None and _put_there(file) <= _put_there(last):
            return
        updates = _updates(file) if _whole(file) else None
        if updates is None or (last is not None and updates <= (_updates(last) or 0)):
            continue
        copy_checkpoint(file, folder / LAST)
        _tell(file, updates, last, folder / LAST)
        return
    if last is None and any(folder.glob(f"{STEM}*.pt{BROKEN}*")):
        logger.warning("%s: no whole checkpoint is left (those ending in %s are not): begins anew", folder, BROKEN)


def _remove_leftovers(folder: Path) -> None:
    """Temporary files of runs that were killed while they saved."""
    removed, kept = remove_abandoned(folder, STEM)
    for partial in removed:
        logger.info("removed %s: a run was killed while it wrote this", partial)
    for partial in kept:
        logger.warning("%s: another run is writing it; two runs in one folder overwrite each other", partial)
    for partial in folder.glob(f"{STEM}*.pt.tmp"):
        logger.warning("%s: left by fairseq's own saving; delete it when no run uses this folder", partial)


def _others(folder: Path) -> list[Path]:
    """Checkpoints of the run but for the last one, newest first."""
    files = [file for file in folder.iterdir() if OTHERS.fullmatch(file.name)]
    return sorted(files, key=lambda file: (_put_there(file), file.name), reverse=True)


def _put_there(file: Path) -> int:
    """When it came to its name, ns; one that was moved or copied there may keep an older time of its content."""
    status = file.stat()
    return max(status.st_mtime_ns, status.st_ctime_ns)


def _whole(file: Path) -> bool:
    """Whether a file is whole; one that is not is named and put aside."""
    reason = why_broken(file)
    if reason:
        aside = next(path for path in _asides(file) if not path.exists())
        file.rename(aside)
        logger.warning("%s: broken: %s; kept as %s", file, reason, aside.name)
    return not reason


def _asides(file: Path) -> Iterator[Path]:
    number = 1
    while True:
        yield file.with_name(f"{file.name}{BROKEN}{'' if number == 1 else number}")
        number += 1


def _updates(file: Path) -> int | None:
    """Updates of a whole file; None where a run cannot go on from it, an average say."""
    try:
        state = read_file(file)
    except CheckpointError as error:
        logger.warning("%s: passed over", error)
        return None
    going_on = isinstance(state, dict) and "train_iterator" in (state.get("extra_state") or {})
    return updates_of(state) if going_on else None


def _tell(file: Path, updates: int, last: Path | None, place: Path) -> None:
    older = "is missing or broken" if last is None else "is older: the run was killed between the two"
    logger.warning(
        "goes on from %s (update %d), now %s too, which %s; --restore-file names another", file, updates, place, older
    )
