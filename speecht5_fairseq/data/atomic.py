"""The atomic writers of all our files and folders: they appear complete or not at all."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple, TextIO


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary name beside `path`, renamed to it when the block ends well and removed when it does not.

    The folder is made where there is none. The suffix stays, so that writers which choose a format by it keep working.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.stem}.{uuid.uuid4().hex}.part{path.suffix}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def atomic_text(path: str | Path) -> Iterator[TextIO]:
    """A UTF-8 text file for `path`: written under a temporary name (see `replacing`), synced, then renamed."""
    with replacing(path) as partial, open(partial, "x", encoding="utf-8", newline="\n") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def durable(path: str | Path) -> Iterator[BinaryIO]:
    """A binary file for `path` that outlives a crash: as `replacing`, file and folder synced before the block is left.

    The temporary name is locked while its writer lives, so that `remove_abandoned` can tell those of dead writers; not
    where the file system knows no locks.
    """
    path = Path(path)
    with replacing(path) as partial, open(partial, "x+b") as file:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file
        file.flush()
        os.fsync(file.fileno())
    sync_folder(path.parent)


class Abandoned(NamedTuple):
    """Temporary files of `replacing` and `durable` in a folder.

    Attributes:
        removed: their writers were dead.
        kept: a writer is alive, or the file system does not tell.
    """

    removed: list[Path]
    kept: list[Path]


def remove_abandoned(folder: str | Path, stem: str) -> Abandoned:
    """Remove the temporary files that killed writers of files `stem`* left in a folder."""
    found = Abandoned([], [])
    for partial in sorted(Path(folder).glob(f".{stem}*.part*")):
        if _is_abandoned(partial):
            partial.unlink(missing_ok=True)
            found.removed.append(partial)
        else:
            found.kept.append(partial)
    return found


def sync_folder(folder: str | Path) -> None:
    """Wait until the disk holds the names in a folder."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # file systems that write names without being asked
            raise
    finally:
        os.close(handle)


def _is_abandoned(partial: Path) -> bool:
    try:
        with open(partial, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def locked(path: str | Path) -> BinaryIO:
    """Open a file, made where there is none, that no other process has open so until it is closed or this one ends.

    The lock is a record's: processes that were forked do not hold it, such as loader processes, which outlive a killed
    run by seconds. Where the file system knows no locks the file is opened without one.

    Raises:
        BlockingIOError: another process has it open so.
    """
    file = open(path, "ab")  # noqa: SIM115 (the caller closes it)
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            file.close()
            raise BlockingIOError(error.errno, "another process has locked it", str(path)) from error
    return file


@contextmanager
def replacing_files(folder: str | Path, *, last: str, stale: Iterable[str] = ()) -> Iterator[Path]:
    """A temporary folder inside `folder`, whose files are synced and moved there when the block ends well.

    Until then nothing that was there is touched. A folder that the move was interrupted in has no file `last`.

    Args:
        last: the file that a reader begins with: the old one is removed first and the new one comes last.
        stale: names of files that go, because a reader would take them for part of what is written now.
    """
    folder = Path(folder)
    new, partial = not folder.exists(), folder / f".{uuid.uuid4().hex}.part"
    partial.mkdir(parents=True)
    try:
        yield partial
        for file in partial.iterdir():
            _sync(file)
        for name in (last, *stale):
            (folder / name).unlink(missing_ok=True)
        for file in sorted(partial.iterdir(), key=lambda file: (file.name == last, file.name)):
            os.replace(file, folder / file.name)
    finally:
        shutil.rmtree(partial)
        if new and not any(folder.iterdir()):
            folder.rmdir()


def _sync(file: Path) -> None:
    """Wait until the disk holds what was written."""
    with open(file, "rb") as written:
        os.fsync(written.fileno())
