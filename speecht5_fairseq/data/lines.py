"""Memory-mapped text files: where each line starts, and its text on demand."""

from __future__ import annotations

import codecs
import mmap
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from .errors import ManifestError, located
from .line_index import LINES, indexed

NEWLINE = 10  # byte values
CARRIAGE_RETURN = 13
CHUNK_BYTES = 1 << 23  # bytes scanned at a time, so that a huge file needs no huge temporary array


class MappedLines:
    """Lines of a UTF-8 file kept on disk: in memory are only their offsets, 8 bytes a line, mapped too if it is large.

    The last newline may be absent; Windows line ends are taken off. Pickles as its path, so that it can cross to
    worker processes.

    Args:
        read: what else is to be read of all lines at once, as int64 arrays by name; a function that pickles.
        reading: names what `read` gives; the index of a large file keeps it (see ``line_index``).

    Attributes:
        bytes: uint8 (bytes,), the mapped file.
        offsets: int64 (lines + 1,); line i is bytes[offsets[i] : offsets[i + 1]].
        arrays: what `read` gave.

    Raises:
        ManifestError: the file is missing or starts with a byte order mark; or, when a line is read, it is not UTF-8.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        read: Callable[[MappedLines], dict[str, np.ndarray]] | None = None,
        reading: str = LINES,
    ) -> None:
        self.path = Path(path)
        self._read = read
        self._reading = reading
        self._open()

    def _open(self) -> None:
        with self._opened() as file:
            self.bytes = np.frombuffer(self._map, dtype=np.uint8)
            if self.bytes[:3].tobytes() == codecs.BOM_UTF8:
                mend = "save it as UTF-8 without one"
                raise ManifestError(located(self.path, 1, "starts with a byte order mark", mend))
            arrays = dict(indexed(file, self.path, self._reading, self._measure))
        self.offsets = arrays.pop("offsets")
        self.arrays = arrays

    def _opened(self) -> BinaryIO:
        """The file, which is mapped too."""
        try:
            file = open(self.path, "rb", buffering=0)  # noqa: SIM115  (the caller's context manager)
            empty = os.fstat(file.fileno()).st_size == 0
            self._map = b"" if empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            mend = "check the folder and the split's name"
            raise ManifestError(f"{self.path}: cannot be read ({error.strerror}); {mend}") from error
        return file

    def _measure(self) -> dict[str, np.ndarray]:
        """Everything that an index keeps."""
        self.offsets = self._line_offsets()
        return {"offsets": self.offsets} | (self._read(self) if self._read else {})

    def _line_offsets(self) -> np.ndarray:
        """Byte offset of each line's start, and the end of the last: int64 (lines + 1,)."""
        starts = [np.zeros(1, dtype=np.int64)]
        for begin in range(0, len(self.bytes), CHUNK_BYTES):
            starts.append(np.flatnonzero(self.bytes[begin : begin + CHUNK_BYTES] == NEWLINE) + (begin + 1))
            self.release()
        if len(self.bytes) and self.bytes[-1] != NEWLINE:  # the last line has none
            starts.append(np.array([len(self.bytes)]))
        return np.concatenate(starts)

    def release(self) -> None:
        """Let go of the pages that were read; the system keeps the file in its cache, and they come back by reading."""
        if self._map and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> str:
        if not 0 <= index < len(self):
            raise IndexError(f"{self.path} has {len(self)} lines; there is no line index {index}")
        raw = self.bytes[self.offsets[index] : self.offsets[index + 1]].tobytes()
        try:
            return raw.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8")
        except UnicodeDecodeError as error:
            problem = f"not UTF-8 ({error.reason} at byte {error.start + 1} of the line)"
            raise ManifestError(located(self.path, index + 1, problem, "convert the file to UTF-8")) from error

    def __iter__(self) -> Iterator[str]:
        return (self[index] for index in range(len(self)))

    def __getstate__(self) -> dict:
        return {"path": self.path, "_read": self._read, "_reading": self._reading}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._open()


class TextLines(MappedLines):
    """The lines of a label file: line i belongs to row i of the manifest."""

    def line_number(self, index: int) -> int:
        """The line of entry `index` as an editor counts it (from 1)."""
        return index + 1


def chunks(offsets: np.ndarray, first: int = 0) -> Iterator[tuple[int, int]]:
    """Ranges (start, end) of whole lines from line `first` on, each about CHUNK_BYTES long and at least one line."""
    last = len(offsets) - 1
    while first < last:
        end = int(np.searchsorted(offsets, offsets[first] + CHUNK_BYTES, side="right")) - 1
        end = min(max(end, first + 1), last)
        yield first, end
        first = end
