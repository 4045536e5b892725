"""Memory-mapped text files: where each line starts, and its text on demand."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .errors import ManifestError, located

NEWLINE = 10  # byte values
CARRIAGE_RETURN = 13
CHUNK_BYTES = 1 << 23  # bytes scanned at a time, so that a huge file needs no huge temporary array


class MappedLines:
    """Lines of a UTF-8 file kept on disk: in memory are only their offsets, 8 bytes a line.

    The last newline may be absent; Windows line ends are taken off. Pickles as its path, so that it can cross to
    worker processes.

    Raises:
        ManifestError: the file is missing or starts with a byte order mark; or, when a line is read, it is not UTF-8.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.bytes = self._map()
        self.offsets = line_offsets(self.bytes)  # int64 (lines + 1,): line i is bytes[offsets[i] : offsets[i + 1]]
        if self.bytes[:3].tobytes() == codecs.BOM_UTF8:
            raise ManifestError(located(self.path, 1, "starts with a byte order mark", "save it as UTF-8 without one"))

    def _map(self) -> np.ndarray:
        try:
            if self.path.stat().st_size == 0:
                return np.zeros(0, dtype=np.uint8)
            return np.memmap(self.path, dtype=np.uint8, mode="r")
        except OSError as error:
            mend = "check the folder and the split's name"
            raise ManifestError(f"{self.path}: cannot be read ({error.strerror}); {mend}") from error

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
        return {name: value for name, value in self.__dict__.items() if name != "bytes"}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self.bytes = self._map()


class TextLines(MappedLines):
    """The lines of a label file: line i belongs to row i of the manifest."""

    def line_number(self, index: int) -> int:
        """The line of entry `index` as an editor counts it (from 1)."""
        return index + 1


def line_offsets(data: np.ndarray) -> np.ndarray:
    """Byte offset of each line's start, and the end of the last: int64 (lines + 1,)."""
    starts = [np.zeros(1, dtype=np.int64)]
    for begin in range(0, len(data), CHUNK_BYTES):
        starts.append(np.flatnonzero(data[begin : begin + CHUNK_BYTES] == NEWLINE) + (begin + 1))
    offsets = np.concatenate(starts)
    if offsets[-1] != len(data):  # the last line has no newline
        offsets = np.append(offsets, len(data))
    return offsets


def chunks(offsets: np.ndarray, first: int = 0) -> Iterator[tuple[int, int]]:
    """Ranges (start, end) of whole lines from line `first` on, each about CHUNK_BYTES long and at least one line."""
    last = len(offsets) - 1
    while first < last:
        end = int(np.searchsorted(offsets, offsets[first] + CHUNK_BYTES, side="right")) - 1
        end = min(max(end, first + 1), last)
        yield first, end
        first = end
