"""Big text files in blocks of whole lines: work that several processes share, and that a progress bar can count."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

BLOCK_BYTES = 1 << 22  # some seconds of encoding: what a stop costs, and how often the bar moves
SMALL_TEXT = 4  # blocks


class Block(NamedTuple):
    """Whole lines of one file."""

    path: Path
    start: int  # bytes
    end: int

    def lines(self) -> Iterator[str]:
        """The lines, without their ends. Raises ValueError naming the file and the byte when it is not UTF-8."""
        with self.path.open("rb") as file:
            file.seek(self.start)
            content = file.read(self.end - self.start)
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError as error:
            place = self.start + error.start
            raise ValueError(f"{self.path}: not UTF-8 ({error.reason} at byte {place}); convert it to UTF-8") from error
        return (line.rstrip("\n") for line in io.StringIO(text, newline=None))

    def line_number(self, index: int) -> int:
        """Where in the file, from 1, the block's line `index` is. For messages: the file is read up to the block."""
        with self.path.open("rb") as file:
            before = iter(lambda: file.read(min(BLOCK_BYTES, self.start - file.tell())), b"")
            return sum(part.count(b"\n") for part in before) + index + 1


def blocks_of(paths: Sequence[Path]) -> list[Block]:
    """The blocks of `paths` in order, about BLOCK_BYTES each; they depend on the files alone."""
    blocks = []
    for path in paths:
        size, start = path.stat().st_size, 0
        with path.open("rb") as file:
            while start < size:
                file.seek(min(start + BLOCK_BYTES, size) - 1)
                file.readline()  # to the end of the line that the last byte belongs to
                blocks.append(Block(path, start, file.tell()))
                start = file.tell()
    return blocks


def processes_for(blocks: Sequence[Block], n_jobs: int) -> int:
    """`n_jobs`, or 1 for text that is encoded before other processes have started: many blocks may be small files."""
    return n_jobs if sum(block.end - block.start for block in blocks) >= SMALL_TEXT * BLOCK_BYTES else 1


def lines_of(paths: Sequence[Path], description: str) -> Iterator[str]:
    """All lines of `paths`, a block in memory at a time, with progress on stderr."""
    for block in tqdm(blocks_of(paths), desc=description, unit="block"):
        yield from block.lines()
