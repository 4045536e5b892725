"""Where the members of a tar or zip archive lie, read once in a process and again when the archive has changed."""

from __future__ import annotations

import os
import struct
import tarfile
import threading
import zipfile
from bisect import bisect_left
from functools import cached_property
from typing import BinaryIO, NamedTuple

from .errors import AudioError

DEFLATED = zipfile.ZIP_DEFLATED
NEAR = 3  # members that the error about a missing one names
_ENCRYPTED = 1  # bit of a zip member's flags
_LOCAL_HEADER = struct.Struct("<4s22xHH")  # of a zip member: its mark; the lengths of its name and of what is extra
_LOCAL_MARK = b"PK\x03\x04"


class Member(NamedTuple):
    """A file in an archive.

    Attributes:
        offset: of its bytes in a tar, of its local header in a zip.
        size: bytes that it takes in the archive.
        whole: bytes of its content; as many, unless it is deflated.
        method: zip's compression; 0 is none.
        encrypted: needs a password.
    """

    offset: int
    size: int
    whole: int
    method: int = zipfile.ZIP_STORED
    encrypted: bool = False


class ArchiveState(NamedTuple):
    """What tells that an archive is another one now: bytes, and time of change in ns."""

    size: int
    changed: int


class ArchiveIndex:
    """The members of an archive by name; a leading ``./`` does not count, and of two with one name the last does.

    Attributes:
        archive: its path.
        state: when it was read.
    """

    def __init__(self, archive: str, state: ArchiveState, members: dict[str, Member]) -> None:
        self.archive = archive
        self.state = state
        self.members = members

    def find(self, name: str) -> Member:
        """The member of a name.

        Raises:
            AudioError: there is none; its message names the nearest.
        """
        member = self.members.get(plain_name(name))
        if member is None:
            near = f", near {', '.join(self.near(name))}" if self.members else ""
            problem = f"no such member ({len(self.members):,} files in the archive{near})"
            raise AudioError(f"{self.archive}:{name}: {problem}; correct the path")
        return member

    def near(self, name: str) -> list[str]:
        """Members that one may have meant: those of a like file name, whatever their folder and suffix."""
        place = bisect_left(self._by_name, _file_name(name), key=_file_name)
        first = max(0, min(place - 1, len(self._by_name) - NEAR))
        return self._by_name[first : first + NEAR]

    @cached_property
    def _by_name(self) -> list[str]:
        return sorted(self.members, key=_file_name)


_INDEXES: dict[str, ArchiveIndex] = {}
_reading = threading.Lock()  # threads that verify rows wait for one reader


def _free_lock() -> None:
    """A forked worker has no thread that would free what another thread of its parent held."""
    global _reading
    _reading = threading.Lock()


os.register_at_fork(after_in_child=_free_lock)


def archive_index(archive: str, file: BinaryIO) -> ArchiveIndex:
    """The index of an archive that is open, from memory where it is the same file still.

    Raises:
        AudioError: it cannot be read as what its suffix says.
    """
    status = os.fstat(file.fileno())
    state = ArchiveState(status.st_size, status.st_mtime_ns)
    with _reading:
        known = _INDEXES.get(archive)
        if known is None or known.state != state:
            read = _zip_members if is_zip(archive) else _tar_members
            known = _INDEXES[archive] = ArchiveIndex(archive, state, read(archive, file))
    return known


def is_zip(archive: str) -> bool:
    """Whether the archive is a zip, by its name; else it is a tar."""
    return archive.lower().endswith(".zip")


def zip_data_offset(file: BinaryIO, member: Member) -> int:
    """Where the bytes of a zip's member begin: behind its local header, whose length only that header tells.

    Raises:
        ValueError: there is no such header.
    """
    file.seek(member.offset)
    header = file.read(_LOCAL_HEADER.size)
    if len(header) < _LOCAL_HEADER.size or not header.startswith(_LOCAL_MARK):
        raise ValueError(f"no member at byte {member.offset:,}")
    _, name, extra = _LOCAL_HEADER.unpack(header)
    return member.offset + _LOCAL_HEADER.size + name + extra


def plain_name(name: str) -> str:
    """A member's name without the ``./`` that ``tar -cf OUT .`` writes."""
    return name[2:] if name.startswith("./") else name


def _file_name(name: str) -> str:
    return name.rpartition("/")[2]


def _tar_members(archive: str, file: BinaryIO) -> dict[str, Member]:
    members: dict[str, Member] = {}
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            last = -1
            while (info := tar.next()) is not None:
                if info.size < 0 or tar.offset <= last:  # a negative size leads backwards, again and again
                    raise tarfile.ReadError(f"a member of {info.size} bytes")
                last = tar.offset
                tar.members.clear()  # tarfile keeps all that it has passed, a kilobyte each
                if info.isreg() and not info.issparse():
                    members[plain_name(info.name)] = Member(info.offset_data, info.size, info.size)
                elif info.islnk() and (same := members.get(plain_name(info.linkname))) is not None:
                    members[plain_name(info.name)] = same
    except Exception as error:  # whatever a damaged header makes tarfile trip over
        mend = "copy it again, or write an uncompressed tar (`tar -cf`, or `python -m manifest_tools.pack`)"
        raise AudioError(f"{archive}: not readable as an uncompressed tar ({_reason(error)}); {mend}") from error
    return members


def _zip_members(archive: str, file: BinaryIO) -> dict[str, Member]:
    try:
        with zipfile.ZipFile(file) as opened:
            return {
                plain_name(info.filename): Member(
                    info.header_offset,
                    info.compress_size,
                    info.file_size,
                    info.compress_type,
                    bool(info.flag_bits & _ENCRYPTED),
                )
                for info in opened.infolist()
                if not info.is_dir()
            }
    except Exception as error:  # whatever a damaged directory makes zipfile trip over
        raise AudioError(f"{archive}: not readable as a zip ({_reason(error)}); copy it again") from error


def _reason(error: Exception) -> str:
    return (str(error) or type(error).__name__)[:200]
