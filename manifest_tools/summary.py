"""Tables that the tools print."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from speecht5_fairseq.constants import SAMPLE_RATE


class SplitSize(NamedTuple):
    """How much audio one split holds."""

    split: str
    rows: int
    samples: int

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
    """Rows, hours and mean seconds of every split."""
    return table(
        ("split", "rows", "hours", "mean s"),
        (
            (size.split, size.rows, f"{size.hours:.3f}", f"{size.samples / SAMPLE_RATE / max(size.rows, 1):.2f}")
            for size in sizes
        ),
    )
