"""Tables of recordings, CSV or TSV: which column holds the path, the text, the speaker, the split."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from speecht5_fairseq.data.errors import located

SPLIT_NAMES = {
    "train": "train",
    "valid": "valid",
    "dev": "valid",
    "validation": "valid",
    "val": "valid",
    "test": "test",
}
ROLES = ("path", "text", "speaker", "split")


class Columns(NamedTuple):
    """Names of columns in the first line of a table; None: the table has no such column.

    delimiter: one character; None: a comma for .csv, a tab otherwise. Commas and semicolons may stand in quotes.
    """

    path: str
    text: str | None = None
    speaker: str | None = None
    split: str | None = None
    delimiter: str | None = None


class Entry(NamedTuple):
    """What a table says of a recording."""

    text: str | None
    speaker: str | None
    split: str | None


def read_rows(
    path: Path, wanted: Mapping[str, str], delimiter: str | None = None
) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, role -> value) of every row of a table with a first line of names. wanted: role -> name of its column.

    Raises ValueError naming file and line: a column that is not there, a row of another width, another encoding.
    """
    delimiter = delimiter or ("," if path.suffix.lower() == ".csv" else "\t")
    with _open(path) as file:
        # a quote in a file that is separated by tabs is a quotation mark of its text
        quoting = csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL
        reader = csv.reader(file, delimiter=delimiter, quoting=quoting, strict=quoting == csv.QUOTE_MINIMAL)
        try:
            header = next(reader, [])
            places = {role: _place(path, header, name) for role, name in wanted.items()}
            for fields in reader:
                if not any(fields):
                    continue
                if len(fields) != len(header):
                    problem = f"{len(fields)} fields, the first line names {len(header)} columns ({fields[:3]} ...)"
                    raise ValueError(located(path, reader.line_num, problem, "mend the row, or check --delimiter"))
                yield reader.line_num, {role: fields[place] for role, place in places.items()}
        except csv.Error as error:
            raise ValueError(located(path, reader.line_num, str(error), "mend the quotes of the row")) from error
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}: not UTF-8 ({error.reason}); convert it to UTF-8") from error


def read_entries(path: Path, columns: Columns) -> dict[str, Entry]:
    """Path of a recording -> what the table says of it. Raises ValueError as `read_rows`, and for a path twice."""
    wanted = {role: name for role in ROLES if (name := columns._asdict()[role]) is not None}
    entries: dict[str, Entry] = {}
    for line, row in read_rows(path, wanted, columns.delimiter):
        name, split = row["path"].strip(), row.get("split")
        for role, column in (("path", columns.path), ("speaker", columns.speaker)):
            if column is not None and not row[role].strip():
                raise ValueError(
                    located(path, line, f"no {role} in column {column!r}", "fill it in, or delete the row")
                )
        if name in entries:
            raise ValueError(located(path, line, f"a second row for {name!r}", "delete one"))
        if split is not None and split.strip().lower() not in SPLIT_NAMES:
            raise ValueError(located(path, line, f"the split {split!r}", f"write one of {', '.join(SPLIT_NAMES)}"))
        named = None if split is None else SPLIT_NAMES[split.strip().lower()]
        speaker = row["speaker"].strip() if "speaker" in row else None
        entries[name] = Entry(row.get("text"), speaker, named)
    return entries


def _open(path: Path) -> TextIO:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such table; check its name")
    return open(path, encoding="utf-8-sig", newline="")


def _place(path: Path, header: list[str], name: str) -> int:
    if header.count(name) != 1:
        mend = "name one of these with the column options, or check --delimiter"
        raise ValueError(
            located(path, 1, f"{header.count(name)} columns {name!r} in {', '.join(header) or 'nothing'}", mend)
        )
    return header.index(name)


def add_column_options(parser: argparse.ArgumentParser) -> None:
    """Add --path-column, --text-column, --speaker-column, --split-column, --delimiter; see `column_options`."""
    parser.add_argument(
        "--path-column", metavar="NAME", help="the table's first line names columns; this one has the paths"
    )
    parser.add_argument("--text-column", metavar="NAME", help="has the texts (default: none are read)")
    parser.add_argument(
        "--speaker-column",
        metavar="NAME",
        help="has the speakers, who are held out whole; they go to OUT/speakers.tsv, a --speaker-table of "
        "manifest_tools.speaker_vectors",
    )
    parser.add_argument(
        "--split-column", metavar="NAME", help=f"has the splits: {', '.join(SPLIT_NAMES)} (default: by chance)"
    )
    parser.add_argument("--delimiter", metavar="CHARACTER", help="between columns (default: comma for .csv, else tab)")


def column_options(options: dict[str, Any]) -> Columns | None:
    """Take the options out of a parsed command line; None where the table has no names. ValueError for no effect."""
    given = {role: options.pop(f"{role}_column") for role in ROLES} | {"delimiter": options.pop("delimiter")}
    if given["path"] is None:
        if any(value is not None for value in given.values()):
            raise ValueError("column options and --delimiter have no effect without --path-column: give it too")
        return None
    if given["delimiter"] is not None:
        given["delimiter"] = given["delimiter"].replace("\\t", "\t")
        if len(given["delimiter"]) != 1:
            raise ValueError(f"--delimiter {given['delimiter']!r}: give one character (\\t: a tab)")
    return Columns(**given)
