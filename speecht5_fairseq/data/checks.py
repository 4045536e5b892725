"""Verification of a split before its first use: every row that would fail later, or worse, teach nonsense silently."""

from __future__ import annotations

import logging
import os
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
from tqdm import tqdm

from ..constants import SAMPLE_RATE
from .classes import ClassLabels
from .columns import JOB_COLUMNS
from .errors import DataError, ManifestError, listed
from .file_states import digest, file_states
from .labels import TextLabels, UnitLabels, check_count
from .manifest import Manifest
from .row_checks import (
    LabelCounts,
    check_audio,
    check_class,
    check_speaker,
    check_text,
    check_units,
    count_too_long,
    named_counts,
)
from .stamp import Stamp
from .unit_record import record_problems

logger = logging.getLogger(__name__)

LEVELS = ("full", "quick", "off")
QUICK_ROWS = 256  # evenly spaced rows that the level "quick" checks
_CHUNK = 1024  # rows handed to the thread pool at a time
_STORED = ("checked", "units", "tokens", "unknown", "too_long", "too_long_rows")  # of a report, in the stamp
_COMMON = 20  # unknown symbols that a report names


@dataclass
class Report:
    """What a verification found.

    Attributes:
        name: the manifest file.
        checked: rows checked; 0 at level "off".
        hours: of audio, by the rows' sample counts.
        units, tokens: of the checked rows' labels.
        unknown: symbols that the dictionary lacks, with their counts; the commonest 20.
        too_long: texts that are longer than CTC can align with their frames; `too_long_rows` are the first of them.
        problems: `FILE:LINE: what is wrong (value); mend`, in order; the first thousand.
        total_problems: all of them.
        bad_rows: row index -> what is wrong with it.
        from_stamp: nothing was read, an earlier verification still holds.
    """

    name: str
    rows: int
    hours: float
    checked: int = 0
    units: int = 0
    tokens: int = 0
    unknown: dict[str, int] = field(default_factory=dict)
    too_long: int = 0
    too_long_rows: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    total_problems: int = 0
    bad_rows: dict[int, str] = field(default_factory=dict)
    from_stamp: bool = False

    def add(self, problems: Sequence[str]) -> None:
        """Take problems in; beyond a thousand they are only counted."""
        self.total_problems += len(problems)
        self.problems.extend(problems[: max(0, 1000 - len(self.problems))])

    def raise_problems(self) -> None:
        """Make an error of the problems.

        Raises:
            ManifestError: lists them, if there are any.
        """
        if self.total_problems:
            raise ManifestError(listed(self.problems, self.total_problems))

    def log(self) -> None:
        """The summary, and a warning of texts that are no error: cross-entropy learns of them, CTC does not."""
        logger.info(self.summary())
        if self.too_long:
            problem = "texts have more symbols than their speech has encoder frames; CTC learns nothing of them"
            mend = "correct or delete the rows, or make larger pieces"
            rows = listed(self.too_long_rows, self.too_long)
            logger.warning("%s: %d %s; %s:\n%s", self.name, self.too_long, problem, mend, rows)

    def summary(self) -> str:
        """One line for the log."""
        parts = [f"{self.name}: {self.rows:,} rows, {self.hours:.2f} h"]
        parts += [f"{count:,} {what}" for what, count in (("units", self.units), ("tokens", self.tokens)) if count]
        if self.unknown:
            parts.append(f"unknown symbols: {named_counts(self.unknown)}")
        parts.append("verified before" if self.from_stamp else f"{self.checked:,} rows verified")
        if self.total_problems:
            parts.append(f"{self.total_problems:,} problems")
        return "; ".join(parts)


def verify(
    manifest: Manifest,
    *,
    text: TextLabels | None = None,
    units: UnitLabels | None = None,
    classes: ClassLabels | None = None,
    audio: Sequence[str] | None = None,
    level: str = "full",
    resample: bool = True,
    progress: bool = True,
) -> Report:
    """Check a split. A split that passes gets a stamp, and is not checked again until a file of it changes: manifest,
    labels, dictionaries, and by size and time the audio and speaker vectors of the rows that `level` looks at. Where
    there is a units.json, the units must be those that it tells of, and of these rows.

    Args:
        text, units, classes: the labels that the job needs.
        audio: path columns whose files must be there; None for all.
        level: "full" decodes every file; "quick" checks 256 rows in the same way; "off" only compares the counts.
        resample: whether other sample rates than 16 kHz pass.

    Returns:
        A report, with the problems in it: call `raise_problems()` to stop at them.

    Raises:
        ManifestError: the number of labels is not the number of rows, or the audio root does not exist.
        DataError: an unknown `level`.
    """
    if level not in LEVELS:
        raise DataError(f"--verify-data is {level!r}; choose one of {', '.join(LEVELS)}")
    labels = [part for part in (text, units) if part is not None]
    for part in labels:
        check_count(manifest, part)
    report = Report(str(manifest.file), len(manifest), float(manifest.samples.sum()) / SAMPLE_RATE / 3600)
    if level == "off":
        return report
    if not os.path.isdir(manifest.root):  # which a name that is too long does not upset
        mend = "correct the first line, or give the folder that the data was moved to with --audio-root"
        raise ManifestError(f"{manifest.file}:1: the audio root is no folder ({manifest.root}); {mend}")
    checker = _Checker(manifest, text, units, classes, resample, audio)
    stamp = checker.stamp(level)
    passed = stamp.load(level, LEVELS[: LEVELS.index(level) + 1], _STORED)
    if passed is not None:
        report = replace(report, from_stamp=True, **passed)
        report.log()
        return report
    if units is not None and units.record is not None:
        report.add(record_problems(units.record, manifest, units.lines.path))
    checker.run(_rows(manifest, level), report, progress)
    report.log()
    if not report.total_problems:
        stamp.save(level, {name: getattr(report, name) for name in _STORED})
    return report


class _Checker:
    """Checks rows: labels in the calling thread, files in a pool (soundfile decodes without Python's lock)."""

    def __init__(
        self,
        manifest: Manifest,
        text: TextLabels | None,
        units: UnitLabels | None,
        classes: ClassLabels | None,
        resample: bool,
        audio: Sequence[str] | None,
    ) -> None:
        self.manifest = manifest
        columns = manifest.columns.audio
        self.audio = [pair for pair in columns if audio is None or pair[0] in audio]
        self.text = text
        self.units = units
        self.classes = classes
        self.resample = resample
        self.counts = LabelCounts()

    def run(self, rows: np.ndarray, report: Report, progress: bool) -> None:
        """Check `rows` (indices) and fill in the report, problems in the order of the rows."""
        threads = min(16, os.cpu_count() or 1)
        bar = tqdm(total=len(rows), desc=f"verify {self.manifest.file.name}", unit="row", disable=not progress)
        with bar, ThreadPoolExecutor(threads) as pool:
            for chunk in _chunks(rows):
                for index, problems in zip(chunk, pool.map(self.files, chunk), strict=True):
                    problems = problems + self.labels(index)
                    report.add(problems)
                    if problems:
                        report.bad_rows[index] = "; ".join(problems)
                    bar.update()
        report.checked = len(rows)
        report.units, report.tokens = self.counts.units, self.counts.tokens
        report.too_long, report.too_long_rows = self.counts.too_long, self.counts.too_long_rows
        report.unknown = dict(self.counts.unknown.most_common(_COMMON))

    def files(self, index: int) -> list[str]:
        """Problems of a row's audio and speaker vector."""
        problems = []
        for path_column, samples_column in self.audio:
            problems += check_audio(self.manifest, index, path_column, samples_column, self.resample)
        if self.manifest.has("speaker"):
            problems += check_speaker(self.manifest, index)
        return problems

    def labels(self, index: int) -> list[str]:
        """Problems of a row's units, text and class; counts what they hold."""
        problems = []
        if self.units is not None:
            problems += check_units(self.manifest, self.units, index, self.counts)
        if self.classes is not None:
            problems += check_class(self.classes, index)
        if self.text is not None:
            problems += check_text(self.text, index, self.counts)
            if self.manifest.columns == JOB_COLUMNS["s2t"]:
                count_too_long(self.manifest, self.text, index, self.counts)
        return problems

    def stamp(self, level: str) -> Stamp:
        """The stamp of exactly these checks on exactly these files, as they are before the checks begin."""
        settings = {
            "root": str(self.manifest.root),
            "outside": self.manifest.outside,
            "columns": list(self.manifest.columns.names),
            "audio": [path for path, _ in self.audio],
            "resample": self.resample,
            "unit_rate": self.units.rate if self.units else None,
            **({"units": told} if (told := _told_units(self.units)) else {}),
            "classes": _fingerprint(self.classes.names) if self.classes else None,
            "text_symbols": _fingerprint(self.text.dictionary.symbols) if self.text else None,
            "normaliser": self.text.normaliser if self.text else None,
        }
        files = [file for labels in (self.text, self.units) if labels is not None for file in labels.files]
        return Stamp(self.manifest.file, files, settings, _digests(self.manifest, level))


def _told_units(units: UnitLabels | None) -> list[str]:
    """What units.json says of the labels; empty where there is none."""
    record = None if units is None else units.record
    return [] if record is None else list(record.splits[units.lines.path.stem])


def _rows(manifest: Manifest, level: str) -> np.ndarray:
    """Indices of the rows that a level checks."""
    rows = np.arange(len(manifest))
    if level == "quick" and len(rows) > QUICK_ROWS:
        rows = np.unique(np.linspace(0, len(rows) - 1, QUICK_ROWS).astype(np.int64))
    return rows


def _digests(manifest: Manifest, level: str) -> dict[str, str]:
    """Level -> digest of the files of its rows; those of a full verification serve a quick one too."""
    states = file_states(manifest, _rows(manifest, level))
    found = {level: digest(states)}
    if level == "full":
        found["quick"] = digest(states[_rows(manifest, "quick")])
    return found


def _fingerprint(symbols: list[str]) -> int:
    return zlib.crc32("\n".join(symbols).encode())


def _chunks(rows: np.ndarray) -> Iterator[list[int]]:
    return (rows[start : start + _CHUNK].tolist() for start in range(0, len(rows), _CHUNK))
