"""The folder that generated speech goes to: one wav and one mel an utterance, and a table that grows with them.

    OUT/<subset>/<id>.wav, <id>.npy (log10-mel, frames x bins), <id>.png (with pictures), results.tsv, run.json

An interrupted run leaves whole files and whole lines; the next one with the same settings goes on after them.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath
from typing import BinaryIO

from ..data.archives import inside
from ..data.atomic import atomic_text, locked
from ..data.segments import segment_of, utterance_path

COLUMNS = (
    "id", "wav", "mel", "frames", "stop_step", "hit_limit", "focus_rate", "length_ratio", "seconds", "reference",
    "speaker", "text", "source", "inputs", "status",
)  # fmt: skip
TABLE = "results.tsv"
SETTINGS = "run.json"
LOCK = ".lock"  # stays there, empty
PICTURE = ".png"
SUFFIXES = (".wav", ".npy", PICTURE)  # of an utterance's files
DONE = "ok"  # the status of an utterance that was generated; any other says what went wrong


class ResultsFolder:
    """Reads what earlier runs left, takes in what this one makes; until ``close`` no other process does so.

    Args:
        folder: OUT/<subset>; made where there is none.
        settings: what decides all results, as JSON values. What decides one row's stands in its column "inputs".
        names: the manifest's ids, where they are known: results of which it has none are another manifest's.
        overwrite: remove the results of another run or manifest instead of refusing to mix them.

    Attributes:
        rows: id -> fields by column, of this run and of the earlier ones that it goes on from.
        columns: ours, then those that scoring added.

    Raises:
        ValueError: the folder holds results of other settings, of another manifest or of another job, or another run
            writes there.
    """

    def __init__(
        self, folder: Path, settings: dict, *, names: Sequence[str] | None = None, overwrite: bool = False
    ) -> None:
        self.folder = folder
        self.table = folder / TABLE
        self.rows: dict[str, dict[str, str]] = {}
        self.columns: tuple[str, ...] = COLUMNS
        self._lock = lock_folder(folder)
        settings = json.loads(json.dumps(settings))  # as they will be read again
        stored = self._stored_settings()
        if stored == settings:
            self.rows = self._read()
        other = self._other(stored, settings, names)
        if other and not overwrite:
            raise ValueError(
                f"{folder} holds the results of another {other}; give another --results-path, or --overwrite-results "
                "to replace them"
            )
        if other:
            self.rows, self.columns = {}, COLUMNS
            self._remove_all()
        self._write_all(self.rows.values())
        with atomic_text(folder / SETTINGS) as file:
            json.dump(settings, file, indent=1)

    def is_done(self, name: str, inputs: str, *, picture: bool = False) -> bool:
        """Whether an utterance need not be generated again: it came from the same inputs and has all its files."""
        row = self.rows.get(name)
        if row is None or row["status"] != DONE or row["inputs"] != inputs:
            return False
        files = [self.folder / row[column] for column in ("wav", "mel") if row[column]]
        return all(file.is_file() for file in [*files, *([self.path(name, PICTURE)] if picture else [])])

    @property
    def failed(self) -> dict[str, str]:
        """id -> what went wrong."""
        return {name: row["status"] for name, row in self.rows.items() if row["status"] != DONE}

    def path(self, name: str, suffix: str) -> Path:
        """File of an utterance; `name` may hold folders."""
        return self.folder / f"{name}{suffix}"

    def remove(self, name: str) -> None:
        """Remove what an earlier run made of an utterance: none of it may stand beside what this run makes.

        A picture goes in any case: the table does not name it. Other files of utterances that the table does not have
        stay.
        """
        for suffix in SUFFIXES if name in self.rows else (PICTURE,):
            self.path(name, suffix).unlink(missing_ok=True)

    def add(self, name: str, **fields: object) -> None:
        """Append an utterance to the table: one write of one line, so that a kill leaves whole lines."""
        row = dict.fromkeys(self.columns, "") | {"id": name} | {key: str(value) for key, value in fields.items()}
        self.rows[name] = row
        with open(self.table, "a", encoding="utf-8", newline="") as file:
            file.write(self._lines([row]))
            file.flush()
            os.fsync(file.fileno())

    def close(self, order: Iterable[str]) -> None:
        """End: rewrite the table with one line an utterance, in the order of the manifest; others are forgotten."""
        self.rows = {name: self.rows[name] for name in order if name in self.rows}
        self._write_all(self.rows.values())
        self._lock.close()

    def _other(self, stored: dict | None, settings: dict, names: Sequence[str] | None) -> str:
        """What the folder's results are of that this run is not; empty where it may go on."""
        if not (found := self._names()):
            return ""
        if stored is None:
            return f"job, or of a run that has lost its {SETTINGS}"
        if stored != settings:
            differ = sorted(name for name in {*stored, *settings} if stored.get(name) != settings.get(name))
            return f"run (other: {', '.join(differ)})"
        if names is not None and set(found).isdisjoint(" ".join(name.split()) for name in names):  # as in the table
            return f"manifest (none of its {len(set(found))} utterances, such as {found[0]}, is in this one)"
        return ""

    def _stored_settings(self) -> dict | None:
        try:
            return json.loads((self.folder / SETTINGS).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError:  # not ours to trust: as good as other settings
            return {}

    def _read(self) -> dict[str, dict[str, str]]:
        """Whole lines of the table, with the columns that scoring added; of an utterance with several, the last."""
        try:
            text = self.table.read_text(encoding="utf-8")
        except FileNotFoundError:
            return {}
        whole = text[: text.rfind("\n") + 1]
        reader = csv.DictReader(io.StringIO(whole), delimiter="\t", quoting=csv.QUOTE_NONE)
        self.columns += tuple(name for name in reader.fieldnames or () if name not in COLUMNS)
        return {row["id"]: {name: row.get(name) or "" for name in self.columns} for row in reader if row.get("status")}

    def _remove_all(self) -> None:
        """Remove the files of every utterance in the table, whoever wrote it."""
        for name in self._names():
            if is_below(name):
                for suffix in SUFFIXES:
                    self.path(name, suffix).unlink(missing_ok=True)

    def _names(self) -> list[str]:
        """The ids in the table's whole lines; another job's table has them in the first column too."""
        try:
            lines = self.table.read_text(encoding="utf-8", errors="replace").split("\n")[1:-1]
        except FileNotFoundError:
            return []
        return [name for name in (line.partition("\t")[0] for line in lines) if name]

    def _write_all(self, rows: Iterable[dict[str, str]]) -> None:
        with atomic_text(self.table) as file:
            file.write("\t".join(self.columns) + "\n" + self._lines(rows))

    def _lines(self, rows: Iterable[dict[str, str]]) -> str:
        # no tab or line end in a field
        clean = ([" ".join(row[name].split()) for name in self.columns] for row in rows)
        return "".join("\t".join(fields) + "\n" for fields in clean)


def lock_folder(folder: Path) -> BinaryIO:
    """Make a folder of results, and keep other runs out until the returned file is closed or the process ends.

    Raises:
        ValueError: another run writes there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        return locked(folder / LOCK)
    except BlockingIOError as error:
        raise ValueError(f"another run writes to {folder}; wait for its end, or give another --results-path") from error


def is_below(path: str) -> bool:
    """Whether a path in a table stays below the table's folder, as all of ours do."""
    return not PurePath(path).is_absolute() and ".." not in PurePath(path).parts


def unique_names(paths: Iterable[str]) -> list[str]:
    """An id for each path: the path without its suffix, below no folder but the output's own; a repeated one gets the
    number of its row (from 1): "a/x.wav", "b/x.wav", "a/x.flac" -> "a/x", "b/x", "a/x-3". Of a path into an archive the
    member's counts; a segment "a/x.wav:160:320" is "a/x-160-320".
    """
    names: list[str] = []
    seen: set[str] = set()
    for number, path in enumerate(paths, start=1):
        packed, segment = inside(path), segment_of(path)
        if packed is not None:
            path = packed.member if segment is None else segment._replace(recording=packed.member).path()
        parts = [part for part in utterance_path(path).parts if part not in ("/", "..", ".")]
        name = "/".join(parts) or "utterance"
        if name in seen or name in ("results", "run"):
            name = f"{name}-{number}"
        while name in seen:  # somebody's own name looks like a number of ours
            name += "-again"
        seen.add(name)
        names.append(name)
    return names
