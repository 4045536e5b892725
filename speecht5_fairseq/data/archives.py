"""Files inside tar and zip archives, read in place.

``shards/0001.tar:speaker/utterance.flac`` is the member ``speaker/utterance.flac`` of ``shards/0001.tar``, and so with
``.zip``. A file whose own name looks like that is read as that file. Members of a tar and stored members of a zip are
read where they lie, and only as much as is asked for; deflated members of a zip are inflated whole. Here a segment at
the end of a path (see ``segments``) stands for its recording.
"""

from __future__ import annotations

import io
import os
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from .archive_index import DEFLATED, ArchiveState, Member, archive_index, is_zip, zip_data_offset
from .errors import AudioError
from .paths import irregular
from .segments import recording_of

INFLATED_MOST = 1 << 30  # bytes of a deflated member, which is held whole: 9 hours of 16 bits
_RATIO = 1040  # bytes that deflate makes of one at most (1032), and a little
_COMPRESSED = r"\.tar\.(?:gz|bz2|xz|zst)|\.t(?:gz|bz2|xz|zst)"
_ARCHIVE = re.compile(rf"(?:\.tar|\.zip|{_COMPRESSED}):(?=.)", re.IGNORECASE)
_COMPRESSED_END = re.compile(rf"(?:{_COMPRESSED})$", re.IGNORECASE)


class Inside(NamedTuple):
    """A path into an archive: the archive's own, and the member's name."""

    archive: str
    member: str


def inside(path: str | Path) -> Inside | None:
    """The archive and member that a path names; None for the path of a file of its own."""
    text = recording_of(path)
    ends = [found.end() for found in _ARCHIVE.finditer(text)] if ":" in text else []  # seldom: rows come by the million
    if not ends or os.path.isfile(text):
        return None
    places = [Inside(text[: end - 1], text[end:]) for end in ends]
    return next((place for place in places if os.path.isfile(place.archive)), places[0])


def holder(path: str | Path) -> Path:
    """The file on disk that a path is read from: the archive, or the path itself."""
    place = inside(path)
    return Path(recording_of(path) if place is None else place.archive)


def file_exists(path: str | Path) -> bool:
    """Whether there is such a file or member."""
    return file_state(path) is not None


def file_state(path: str | Path) -> ArchiveState | None:
    """Bytes, and time of change in ns (of a member: its archive's); None where there is no such file or member."""
    place = inside(path)
    try:
        if place is None:
            status = os.stat(recording_of(path))
            return ArchiveState(status.st_size, status.st_mtime_ns)
        with _open_archive(place) as file:
            index = archive_index(place.archive, file)
            return ArchiveState(index.find(place.member).whole, index.state.changed)
    except (OSError, AudioError):
        return None


@contextmanager
def opened(path: str | Path) -> Iterator[str | BinaryIO]:
    """What to read a path from: the path itself, whether or not there is such a file, or a member's bytes to seek in.

    Raises:
        AudioError: no such archive or member, or one that cannot be read in place.
    """
    place = inside(path)
    if place is None:
        yield recording_of(path)
        return
    with _open_archive(place) as file:
        index = archive_index(place.archive, file)
        member = index.find(place.member)
        start = _checked_start(place, member, file) if is_zip(place.archive) else member.offset
        if start < 0 or start + member.size > index.state.size:
            raise AudioError(f"{path}: the archive ends within it; copy {place.archive} again")
        if member.method == DEFLATED:
            file.seek(start)
            yield io.BytesIO(_inflated(place, file.read(member.size), member.whole))
        else:
            yield Window(file, start, member.size)


class Window(io.RawIOBase):
    """`size` bytes of an open file from `start` on, as a file of its own to read and seek in."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        super().__init__()
        self._file = file
        self._start = start
        self._size = size
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a place in the window; behind its end there is nothing to read."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"a negative place ({base + offset}) in a file")
        self._place = base + offset
        return self._place

    def tell(self) -> int:
        return self._place

    def readinto(self, buffer) -> int:
        """Fill the buffer as far as the window goes (libsndfile asks once); returns the bytes read."""
        view = memoryview(buffer).cast("B")[: max(0, self._size - self._place)]
        self._file.seek(self._start + self._place)
        filled = 0
        while filled < len(view) and (count := self._file.readinto(view[filled:])):
            filled += count
        self._place += filled
        return filled


def _open_archive(place: Inside) -> BinaryIO:
    if _COMPRESSED_END.search(place.archive):
        mend = "unpack it, or write an uncompressed tar (gunzip, or python -m manifest_tools.pack of the files)"
        problem = "a compressed tar cannot be read in place"
        raise AudioError(f"{place.archive}:{place.member}: {problem}; {mend}")
    kind = irregular(place.archive)
    if kind is not None:
        raise AudioError(f"{place.archive}:{place.member}: {kind}, not an archive; correct the path or the audio root")
    try:
        return open(place.archive, "rb", buffering=0)
    except OSError as error:
        mend = "correct the path or the audio root"
        raise AudioError(f"{place.archive}:{place.member}: no such archive ({error.strerror}); {mend}") from error


def _checked_start(place: Inside, member: Member, file: BinaryIO) -> int:
    """Where a zip's member begins.

    Raises:
        AudioError: it is neither stored nor deflated, or encrypted, inflates to very much, or is not there.
    """
    if member.encrypted or member.method not in (0, DEFLATED):
        problem = "encrypted" if member.encrypted else f"compressed by method {member.method}"
        mend = "store it (zip -0, or python -m manifest_tools.pack --format zip of the files)"
        raise AudioError(f"{place.archive}:{place.member}: {problem}, which is not read in place; {mend}")
    if member.method == DEFLATED and member.whole > min(INFLATED_MOST, _RATIO * (member.size + 1)):
        problem = f"inflates to {member.whole:,} bytes of {member.size:,}"
        mend = "store it (zip -0, or python -m manifest_tools.pack --format zip of the files)"
        raise AudioError(f"{place.archive}:{place.member}: {problem}, which is not held in memory; {mend}")
    try:
        return zip_data_offset(file, member)
    except (ValueError, OSError) as error:
        raise AudioError(f"{place.archive}:{place.member}: {error}; copy the archive again") from error


def _inflated(place: Inside, deflated: bytes, size: int) -> bytes:
    try:  # what says that it is less is stopped there
        content = zlib.decompressobj(wbits=-zlib.MAX_WBITS).decompress(deflated, size + 1)
    except zlib.error as error:
        raise AudioError(f"{place.archive}:{place.member}: cannot be inflated ({error}); copy it again") from error
    if len(content) != size:
        found = f"more than the {size} bytes of" if len(content) > size else f"{len(content)} bytes, not the {size} of"
        raise AudioError(f"{place.archive}:{place.member}: inflates to {found} its header; copy it again")
    return content
