"""Rows left out for their length: counted, logged, and listed in `<split>.left_out.tsv`."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path

import numpy as np

from ..constants import SAMPLE_RATE
from .atomic import atomic_text
from .errors import MAX_LISTED, ManifestError, listed
from .manifest import Manifest

logger = logging.getLogger(__name__)

ALLOW_OPTION = "--allow-left-out"  # the tasks' option that lets a split other than train shrink


class LeftOutRows:
    """Keeps the list of one manifest's left-out rows up to date, in memory and on disk."""

    def __init__(self, manifest: Manifest, *, allowed: bool) -> None:
        self.manifest = manifest
        self.allowed = allowed
        self.rows: dict[str, np.ndarray] = {}  # reason -> row indices

    def note(self, rows: np.ndarray, reason: str, lengths: np.ndarray) -> None:
        """Leave out `rows` (indices) for `reason`, which says what they are and how to keep them.

        `lengths` (all rows) are the samples of the recordings that it is about.

        Raises:
            ManifestError: names the rows where leaving out is not allowed.
        """
        if not len(rows):
            return
        if not self.allowed:
            mend = f"{reason}; correct the row, or let the split shrink with {ALLOW_OPTION}"
            problems = [str(self.manifest.error(i, _length(int(lengths[i])), mend)) for i in rows[:MAX_LISTED].tolist()]
            raise ManifestError(listed(problems, len(rows)))
        self.rows[reason] = rows
        hours = self.manifest.samples[rows].sum() / SAMPLE_RATE / 3600
        share = f"{len(rows):,} of {len(self.manifest):,} rows ({hours:.2f} h)"
        where = self.write()
        logger.warning("%s: left out %s: %s; listed in %s", self.manifest.file, share, reason, where or "no file")

    def write(self) -> Path | None:
        """Write the list beside the manifest, or where that is read-only into the working folder.

        Returns:
            The file; None where neither could be written.
        """
        for path in self._places():
            try:
                self._write_to(path)
            except OSError:
                continue
            return path
        return None

    def remove_stale(self) -> None:
        """Remove the list of an earlier run, beside the manifest, where this one leaves nothing out."""
        if not self.rows:
            with contextlib.suppress(OSError):
                self._places()[0].unlink()

    def _places(self) -> list[Path]:
        name = self.manifest.file.with_suffix(".left_out.tsv").name
        return [self.manifest.file.parent / name, Path.cwd() / name]

    def _write_to(self, path: Path) -> None:
        with atomic_text(path) as file:
            file.write("line\tpath\tsamples\treason\n")
            for reason, rows in self.rows.items():
                for index in rows.tolist():
                    row = self.manifest.row(index)
                    file.write(f"{self.manifest.line_number(index)}\t{row['path']}\t{row['samples']}\t{reason}\n")


def _length(samples: int) -> str:
    return f"{samples} samples ({samples / SAMPLE_RATE:.2f} s)"
