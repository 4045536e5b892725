"""What results are of, in a table and beside it: files by size and time, texts, names."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from ..data.errors import ManifestError
from ..data.manifest import TextLines


def plain(path: str | Path | None) -> str:
    """The path without "..", as a table for other programs has it; empty for none."""
    return os.path.normpath(path) if path else ""


def states_of(files: Iterable[Path]) -> dict[str, list[int]]:
    """Absolute path -> size in bytes and time of change in ns."""
    return {str(file.absolute()): [file.stat().st_size, file.stat().st_mtime_ns] for file in files}


def digest(parts: Iterable[str]) -> str:
    """A short name of these strings in their order."""
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=8).hexdigest()


def raw_line(lines: TextLines, row: int) -> str:
    """The text of a row; empty where it is not UTF-8, which verification tells of."""
    try:
        return lines[row]
    except ManifestError:
        return ""
