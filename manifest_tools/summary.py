"""Tables that the tools print."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from speecht5_fairseq.constants import SAMPLE_RATE


class SplitSize(NamedTuple):
    """How much audio one split holds, of how many speakers where they are known, and what it does without."""

    split: str
    rows: int
    samples: int
    speakers: int | None = None
    left_out: Mapping[str, int] | None = None  # kind of reason -> recordings; None where nothing was counted

    @property
    def without(self) -> int:
        """Recordings that are left out."""
        return sum((self.left_out or {}).values())

    @property
    def hours(self) -> float:
        """Hours of audio."""
        return self.samples / SAMPLE_RATE / 3600


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Columns aligned by spaces: the first to the left, the others to the right."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) if column == 0 else cell.rjust(width) for column, (cell, width) in enumerate(pairs))
        for pairs in (list(zip(row, widths, strict=True)) for row in cells)
    )


def size_table(sizes: Sequence[SplitSize]) -> str:
    """Rows, hours and mean seconds of every split; speakers where they are known, and what is left out and why."""
    columns: list[tuple[object, ...]] = [
        ("split", *(size.split for size in sizes)),
        ("rows", *(size.rows for size in sizes)),
        ("hours", *(f"{size.hours:.3f}" for size in sizes)),
        ("mean s", *(f"{size.samples / SAMPLE_RATE / max(size.rows, 1):.2f}" for size in sizes)),
    ]
    if any(size.speakers is not None for size in sizes):
        columns.append(("speakers", *("" if size.speakers is None else size.speakers for size in sizes)))
    if any(size.left_out is not None for size in sizes):
        columns.append(("left out", *("" if size.left_out is None else size.without for size in sizes)))
    header, *rows = zip(*columns, strict=True)
    why = [
        f"left out of {size.split}: " + ", ".join(f"{count} {kind}" for kind, count in size.left_out.items())
        for size in sizes
        if size.left_out
    ]
    return "\n".join((table(list(map(str, header)), rows), *why))
