"""The structural check of a manifest's rows and the parser of their sample counts, vectorised over the mapped bytes."""

from __future__ import annotations

import numpy as np

from .columns import Columns
from .errors import MAX_LISTED, ManifestError, listed, located
from .lines import CARRIAGE_RETURN, NEWLINE, MappedLines, chunks

_TAB = 9  # byte values
_SPACE = 32
_MAX_DIGITS = 15  # of a sample count; more would be 2000 years of audio


class RowReader:
    """Reads all rows of a manifest, chunk by chunk; no Python object per row."""

    def __init__(self, lines: MappedLines, columns: Columns) -> None:
        self.lines = lines
        self.columns = columns
        self.width = row_width(lines)
        self.count_columns = [name for _, name in columns.audio]
        self.problems: list[str] = []
        self.bad_rows = 0

    def read(self) -> dict[str, np.ndarray]:
        """Sample counts by column name: int64 (rows,) each.

        Raises:
            ManifestError: lists the first rows that break the format.
        """
        parts: dict[str, list[np.ndarray]] = {name: [] for name in self.count_columns}
        for start, end in chunks(self.lines.offsets, first=1):
            for name, values in self._read_chunk(start, end).items():
                parts[name].append(values)
            self.lines.release()
        if self.bad_rows:
            raise ManifestError(listed(self.problems, self.bad_rows))
        return {name: np.concatenate(values) for name, values in parts.items()}

    def _read_chunk(self, start: int, end: int) -> dict[str, np.ndarray]:
        """Counts of the lines `start` to `end`; bad lines are noted and left at 0."""
        offsets = self.lines.offsets[start : end + 1]
        data = np.asarray(self.lines.bytes[offsets[0] : offsets[-1]])
        begins, stops = _row_bounds(data, offsets - offsets[0])
        tabs = np.flatnonzero(data == _TAB)
        before = np.searchsorted(tabs, begins)
        widths = np.searchsorted(tabs, stops) - before + 1
        bad = ~self._right_width(widths)
        counts = {name: np.zeros(end - start, dtype=np.int64) for name in self.count_columns}
        good = np.flatnonzero(~bad)
        for number, name in enumerate(self.columns.names[: self.width]):
            field_begins = begins[good] if number == 0 else tabs[before[good] + number - 1] + 1
            last = number == self.width - 1 and not self.columns.open_ended
            field_stops = stops[good] if last else _field_stops(tabs, before[good] + number, stops[good])
            if name in counts:
                counts[name][good] = _parse_integers(data, field_begins, field_stops)
                bad[good] |= counts[name][good] <= 0
            else:
                bad[good] |= _blank(data, field_begins, field_stops)
        bad |= self._undecodable(data, offsets - offsets[0])
        self._note(start + np.flatnonzero(bad))
        return counts

    def _right_width(self, widths: np.ndarray) -> np.ndarray:
        if self.columns.open_ended:
            return widths >= self.columns.required
        return (widths == self.width) & (self.columns.required <= self.width <= len(self.columns.names))

    @staticmethod
    def _undecodable(data: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        bad = np.zeros(len(offsets) - 1, dtype=bool)
        if (data < 128).all():
            return bad
        raw = data.tobytes()
        if not _is_utf8(raw):
            for row, (begin, stop) in enumerate(zip(offsets[:-1], offsets[1:], strict=True)):
                bad[row] = not _is_utf8(raw[begin:stop])
        return bad

    def _note(self, bad: np.ndarray) -> None:
        self.bad_rows += len(bad)
        for index in bad[: MAX_LISTED - len(self.problems)]:
            self.problems.append(self._describe(int(index)))

    def _describe(self, index: int) -> str:
        """What is wrong with one line, in words. Slow and plain: only for lines already known to be bad."""
        try:
            text = self.lines[index]
        except ManifestError as error:
            return str(error)
        names = self.columns.names
        fields = text.split("\t")
        least, most = self.columns.required, None if self.columns.open_ended else len(names)
        if not text.strip():
            return located(self.lines.path, index + 1, f"empty line ({text!r})", "delete the line")
        if len(fields) < least or (most is not None and len(fields) > most):
            expected = ", ".join(names[:least]) + "".join(f"[, {name}]" for name in names[least:])
            problem = f"{len(fields)} columns where there should be {expected} ({text!r})"
            return located(self.lines.path, index + 1, problem, "separate exactly these fields with single tabs")
        if most is not None and len(fields) != self.width:
            problem = f"{len(fields)} columns where the first row has {self.width} ({text!r})"
            return located(self.lines.path, index + 1, problem, "give every row the same columns")
        return self._describe_fields(index, dict(zip(names, fields, strict=False)))

    def _describe_fields(self, index: int, fields: dict[str, str]) -> str:
        for name, value in fields.items():
            if name not in self.count_columns:
                if not value.strip(" "):
                    mend = f"write the {name} or delete the row"
                    return located(self.lines.path, index + 1, f"empty {name} ({value!r})", mend)
            elif not (value.isascii() and value.removeprefix("-").isdigit() and len(value) <= _MAX_DIGITS):
                mend = "write the number of samples, digits only"
                return located(self.lines.path, index + 1, f"{name} is not an integer ({value!r})", mend)
            elif int(value) <= 0:
                mend = "write the number of samples of the audio, or delete the row"
                return located(self.lines.path, index + 1, f"{name} is not positive ({value!r})", mend)
        raise AssertionError(f"{self.lines.path}:{index + 1} was taken for a bad row, but no rule says why")


def row_width(lines: MappedLines) -> int:
    """Columns of a manifest: the first row says whether the optional ones are there."""
    return lines[1].count("\t") + 1


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _row_bounds(data: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First byte and end of each row's text in `data`, without its line end."""
    begins, stops = offsets[:-1], offsets[1:].copy()
    for byte in (NEWLINE, CARRIAGE_RETURN):
        stops -= (stops > begins) & (data[stops - 1] == byte)
    return begins, stops


def _field_stops(tabs: np.ndarray, numbers: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """The tab number `numbers` where it lies within the row, else the row's end."""
    if not len(tabs):
        return stops
    return np.where(numbers < len(tabs), np.minimum(tabs[np.minimum(numbers, len(tabs) - 1)], stops), stops)


def _parse_integers(data: np.ndarray, begins: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """The decimal numbers in data[begins:stops]; 0 where a field is empty, too long or holds anything but digits."""
    widths = stops - begins
    valid = (widths > 0) & (widths <= _MAX_DIGITS)
    values = np.zeros(len(begins), dtype=np.int64)
    for place in range(int(widths[valid].max(initial=0))):
        inside = valid & (place < widths)
        digits = data[begins[inside] + place].astype(np.int64) - ord("0")
        values[inside] = values[inside] * 10 + digits
        valid[inside] &= (digits >= 0) & (digits <= 9)
    values[~valid] = 0
    return values


def _blank(data: np.ndarray, begins: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """Whether the field has no character but spaces."""
    blank = begins == stops
    for field in np.flatnonzero(~blank & (data[np.minimum(begins, len(data) - 1)] == _SPACE)):
        blank[field] = (data[begins[field] : stops[field]] == _SPACE).all()
    return blank
