"""Errors about the user's data. Each message reads `FILE:LINE: what is wrong (value); how to mend it`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

MAX_LISTED = 20  # problems that one message spells out; the rest are counted
_LONGEST = 1000  # characters of a problem in a message: a line without an end must not fill the screen


class DataError(ValueError):
    """Something in the data that only the user can mend. Takes one string, so that worker processes can pass it on."""


class ManifestError(DataError):
    """A manifest or label file that breaks its format, or a row of one whose audio cannot be used."""


class AudioError(DataError):
    """An audio file that cannot be read as 16 kHz mono."""


class DictionaryError(DataError):
    """A dictionary file that breaks its format."""


def located(path: str | Path, line: int, problem: str, mend: str) -> str:
    """The one form of a message about line `line` (counted from 1) of the file `path`."""
    if len(problem) > _LONGEST:
        problem = f"{problem[:_LONGEST]}... ({len(problem):,} characters)"
    return f"{path}:{line}: {problem}; {mend}"


def listed(problems: Sequence[str], total: int | None = None) -> str:
    """Join `problems` into one message: the first MAX_LISTED, then how many of `total` are not shown."""
    total = len(problems) if total is None else total
    shown = list(problems[:MAX_LISTED])
    if total > len(shown):
        shown.append(f"... and {total - len(shown)} more problems of {total}")
    return "\n".join(shown)
