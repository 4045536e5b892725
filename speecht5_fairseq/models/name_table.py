"""Two columns of tensor names, ours and those of another layout, read in either direction."""

from __future__ import annotations

import re
from collections.abc import Mapping


class NameTable:
    """Which of our names is which of theirs.

    A row is how names begin on both sides, up to a dot or the end; what follows is the same in both. ``{n}`` stands for
    a number, in one order on both sides. Of several rows that a name begins with, the longest counts.

    Args:
        rows: ours -> theirs.
    """

    def __init__(self, rows: Mapping[str, str]) -> None:
        self._to_theirs = _compiled(rows.items())
        self._to_ours = _compiled((theirs, ours) for ours, theirs in rows.items())

    def theirs(self, name: str) -> str | None:
        """Their name of one of our tensors; None where it has none."""
        return _translated(name, self._to_theirs)

    def ours(self, name: str) -> str | None:
        """Our name of one of their tensors; None where it has none."""
        return _translated(name, self._to_ours)


def under(ours: str, theirs: str, rows: Mapping[str, str]) -> dict[str, str]:
    """Rows for the parts of one net: both sides with the net's own name before them."""
    return {f"{ours}.{one}": f"{theirs}.{other}" for one, other in rows.items()}


def _compiled(rows) -> list[tuple[re.Pattern, str]]:
    longest_first = sorted(rows, key=lambda row: len(row[0]), reverse=True)
    return [(re.compile(re.escape(start).replace(r"\{n\}", r"(\d+)") + r"(?=\.|$)"), to) for start, to in longest_first]


def _translated(name: str, rows: list[tuple[re.Pattern, str]]) -> str | None:
    for pattern, to in rows:
        if found := pattern.match(name):
            start = to
            for number in found.groups():
                start = start.replace("{n}", number, 1)
            return start + name[found.end() :]
    return None
