"""Tables of utterances: UTF-8, tab-separated, the names of the columns in the first line."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..data.atomic import atomic_text
from ..data.errors import DataError, located

logger = logging.getLogger(__name__)


class ResultsTable:
    """The rows of one file, as text by column name. Columns can be added or replaced; the others stay as they are."""

    def __init__(self, path: Path, columns: Sequence[str], rows: Iterable[dict[str, str]]):
        self.path = path
        self.columns = list(columns)
        self.rows = list(rows)

    @classmethod
    def read(cls, path: Path, *, required: Sequence[str]) -> ResultsTable:
        """Of rows with one id, which a generation leaves that was interrupted while it went on, the last counts.

        Raises:
            DataError: with file and line, for a missing column, a doubled one, or a row of another width.
        """
        lines = _lines(path)
        columns = lines[0].split("\t")
        missing = [name for name in required if name not in columns]
        if missing or len(set(columns)) != len(columns):
            problem = f"no column {missing[0]!r}" if missing else "a column name stands twice"
            raise DataError(located(path, 1, f"{problem} (columns: {columns})", "generate the folder again"))
        rows = [_row(path, number, columns, line) for number, line in enumerate(lines[1:], 2)]
        return cls(path, columns, _last_of_each(path, rows) if "id" in columns else rows)

    def set_columns(self, names: Sequence[str], rows: Iterable[dict[str, str]]) -> None:
        """Give each row the named fields, empty where its dict lacks one; new columns come after the others."""
        self.columns += [name for name in names if name not in self.columns]
        for row, fields in zip(self.rows, rows, strict=True):
            row.update({name: one_field(fields.get(name, "")) for name in names})

    def write(self) -> None:
        """Write the file: complete, or not at all."""
        with atomic_text(self.path) as file:
            for line in (self.columns, *([row.get(name, "") for name in self.columns] for row in self.rows)):
                file.write("\t".join(line) + "\n")


def one_field(text: str) -> str:
    """`text` without what would break a row: every run of white space becomes one space."""
    return " ".join(text.split())


def read_texts(path: Path) -> dict[str, str]:
    """id -> text, from lines `id<TAB>text`. Raises DataError, with file and line, for another line or a doubled id."""
    texts: dict[str, str] = {}
    for number, line in enumerate(_lines(path), 1):
        name, tab, text = line.partition("\t")
        if not tab or not name:
            raise DataError(located(path, number, f"{line!r} is not an id, a tab and a text", "write id<TAB>text"))
        if name in texts:
            raise DataError(located(path, number, f"the id {name!r} stands twice", "keep one line for each id"))
        texts[name] = text.strip()
    return texts


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").removesuffix("\n").split("\n")  # texts may hold other line breaks
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 ({error}); convert it (`iconv -t UTF-8`)") from error


def _last_of_each(path: Path, rows: Sequence[dict[str, str]]) -> Iterable[dict[str, str]]:
    """The last row of each id, where the first stood."""
    last = {row["id"]: row for row in rows}
    if superseded := len(rows) - len(last):
        logger.warning(
            "%s: %d rows are superseded by later ones of their ids: the run that wrote them was interrupted; run it "
            "again to complete the table", path, superseded,
        )  # fmt: skip
    return last.values()


def _row(path: Path, number: int, columns: Sequence[str], line: str) -> dict[str, str]:
    fields = line.split("\t")
    if len(fields) != len(columns):
        problem = f"{len(fields)} fields for {len(columns)} columns"
        raise DataError(located(path, number, problem, "generate the folder again"))
    return dict(zip(columns, fields, strict=True))
