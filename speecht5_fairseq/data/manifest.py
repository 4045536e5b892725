"""Manifests: the only code that knows the TSV format.

The first line is the audio root; every other line is one utterance, its fields separated by tabs, its paths relative
to the root. A relative root is taken from the manifest's own folder. A path may lead into an archive (see
``archives``): ``shards/0001.tar:speaker/utterance.flac``. One that leads out of the root is refused where it is
resolved (see ``paths``).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from .atomic import atomic_text
from .columns import JOB_COLUMNS, Columns
from .errors import DataError, ManifestError, located
from .lines import MappedLines, TextLines
from .paths import path_problem
from .row_reader import RowReader, row_width

__all__ = ["JOB_COLUMNS", "Columns", "Manifest", "ManifestError", "TextLines", "write_manifest"]


class Manifest:
    """A manifest kept on disk: in memory are the rows' offsets and sample counts, 8 bytes each, mapped from an index
    beside a large file, so that processes share them (see ``line_index``).

    Attributes:
        root: folder that the rows' paths are relative to.
        width: columns of this file.
        outside: paths may lead out of the root.
    """

    def __init__(self, lines: MappedLines, columns: Columns, root: Path, *, outside: bool = False) -> None:
        self.lines = lines
        self.columns = columns
        self.root = root
        self.outside = outside
        self.width = row_width(lines)

    @classmethod
    def open(
        cls, path: str | Path, columns: Columns, *, root: str | Path | None = None, outside: bool = False
    ) -> Manifest:
        """Open and check the structure of every row (not the audio: see `checks.verify`).

        Args:
            columns: `JOB_COLUMNS[job]`.
            root: replaces the audio root of the first line, for a data set that was moved; relative to the working
                folder.
            outside: let paths lead out of the root, ``--allow-outside-root``.

        Raises:
            ManifestError: lists the first rows that break the format, as `FILE:LINE: problem (value); mend`.
        """
        read = partial(_read_rows, columns=columns, with_root=root is None)
        lines = MappedLines(path, read=read, reading=f"rows of {columns}")
        folder = Path(root).absolute() if root is not None else _read_root(lines)
        return cls(lines, columns, lines.path.absolute().parent / folder, outside=outside)

    @property
    def counts(self) -> dict[str, np.ndarray]:
        """int64 (rows,) for each samples column."""
        return self.lines.arrays

    @property
    def file(self) -> Path:
        """The manifest file itself."""
        return self.lines.path

    @property
    def samples(self) -> np.ndarray:
        """Samples (at 16 kHz) of each row's first audio file: int64 (rows,)."""
        return self.counts[self.columns.audio[0][1]]

    def __len__(self) -> int:
        return len(self.lines) - 1

    def has(self, column: str) -> bool:
        """Whether the rows of this file have the column."""
        return column in self.columns.names[: self.width]

    def row(self, index: int) -> dict[str, str | int]:
        """The fields of row `index` by column name; sample counts as int."""
        if not 0 <= index < len(self):
            raise IndexError(f"{self.file} has {len(self)} rows; there is no row index {index}")
        fields = dict(zip(self.columns.names, self.lines[index + 1].split("\t"), strict=False))
        return {name: int(value) if name in self.counts else value for name, value in fields.items()}

    def path(self, index: int, column: str = "path") -> Path:
        """Absolute path in a path column (audio or speaker vector) of row `index`.

        Raises:
            ManifestError: it leads out of the root, or can be no path, see ``paths``.
        """
        written = str(self.row(index)[column])
        if (problem := self._problem(written, column)) is not None:
            raise self.error(index, *problem)
        return self.root / written

    def length(self, index: int, column: str = "path") -> int:
        """Samples (at 16 kHz) that row `index` states for the audio in a path column."""
        return int(self.counts[dict(self.columns.audio)[column]][index])

    def files(self, index: int) -> list[str]:
        """Absolute paths of everything that row `index` names: its audio, and its speaker vector where there is one.

        A path that ``path`` refuses is empty, which is the path of no file.
        """
        names = [path for path, _ in self.columns.audio] + (["speaker"] if self.has("speaker") else [])
        fields = self.lines[index + 1].split("\t")
        return [self._joined(fields[self.columns.names.index(name)], name) for name in names]

    def file_of(self, index: int, column: str = "path") -> str:
        """As ``path``, but empty for one that it refuses, of which a verification tells."""
        written = str(self.row(index)[column])
        return "" if self._problem(written, column) else str(self.root / written)

    def _joined(self, written: str, column: str) -> str:
        return "" if self._problem(written, column) else os.path.join(self.root, written)

    def _problem(self, written: str, column: str) -> tuple[str, str] | None:
        return path_problem(written, str(self.root), vector=column == "speaker", outside=self.outside)

    def line_number(self, index: int) -> int:
        """The line of row `index` as an editor counts it (the first row stands on line 2)."""
        return index + 2

    def error(self, index: int, problem: str, mend: str) -> ManifestError:
        """A ManifestError about row `index`."""
        return ManifestError(located(self.file, self.line_number(index), problem, mend))

    def blame(self, index: int, error: DataError) -> ManifestError:
        """`error`, which names a file and its mend, with the line of row `index` in front."""
        return ManifestError(f"{self.file}:{self.line_number(index)}: {error}")


def write_manifest(path: str | Path, root: str | Path, rows: Iterable[Sequence[str | int | Path]]) -> int:
    """Write a manifest atomically: it appears under `path` complete or not at all.

    Args:
        rows: fields in the job's column order; paths relative to `root`.

    Returns:
        The number of rows.

    Raises:
        ManifestError: a field is empty or holds a tab or a line end.
    """
    count = 0
    with atomic_text(path) as file:
        file.write(_field(path, 1, root) + "\n")
        for count, row in enumerate(rows, start=1):
            file.write("\t".join(_field(path, count + 1, field) for field in row) + "\n")
    return count


def _field(path: str | Path, line: int, value: str | int | Path) -> str:
    text = str(value)
    if not text or any(separator in text for separator in "\t\n\r"):
        mend = "rename the file: a field must not be empty or hold a tab or a line end"
        raise ManifestError(located(path, line, f"the field {text!r} cannot be written", mend))
    return text


def _read_rows(lines: MappedLines, columns: Columns, with_root: bool) -> dict[str, np.ndarray]:
    """The sample counts of a manifest's rows, all checked."""
    if with_root:
        _read_root(lines)
    if len(lines) < 2:
        raise ManifestError(located(lines.path, 2, "the manifest has no row", "write one line for each utterance"))
    return RowReader(lines, columns).read()


def _read_root(lines: MappedLines) -> Path:
    mend = "put the folder that the paths are relative to on the first line, alone"
    root = lines[0] if len(lines) else ""
    if not root.strip():
        raise ManifestError(located(lines.path, 1, f"no audio root ({root!r})", mend))
    if "\t" in root:
        raise ManifestError(located(lines.path, 1, f"a row stands where the audio root should be ({root!r})", mend))
    problem = path_problem(root, root, vector=False, outside=True)
    if problem is not None:
        raise ManifestError(located(lines.path, 1, *problem))
    return Path(root)
