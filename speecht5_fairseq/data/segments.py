"""Segments of long recordings: ``talks/1.flac:16000:32000`` is 32,000 samples of ``talks/1.flac`` from the 16,000th on.

Both numbers count samples at 16 kHz, as everything in a manifest, whatever the rate of the file. A segment is the same
samples as that stretch of the whole recording, resampled where it has another rate. The recording may lie in an archive
(``shards/0001.tar:talks/1.flac:16000:32000``). A file whose own name looks like that is read as that file.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from typing import NamedTuple

# Behind an archive's name comes a member, be its name two numbers. More digits would be 2000 years of audio.
_SEGMENT = re.compile(r"(?<!\.tar)(?<!\.zip):([0-9]{1,15}):([0-9]{1,15})$", re.IGNORECASE)


class Segment(NamedTuple):
    """A stretch of a recording: its path, and samples at 16 kHz."""

    recording: str
    start: int
    samples: int

    @property
    def end(self) -> int:
        """The first sample that is no longer of it."""
        return self.start + self.samples

    def path(self) -> str:
        """As a manifest names it."""
        return f"{self.recording}:{self.start}:{self.samples}"


def segment_of(path: str | Path) -> Segment | None:
    """The segment that a path names; None for the path of a whole recording, or of anything else."""
    text = str(path)
    found = _SEGMENT.search(text) if ":" in text else None  # seldom: rows come by the million
    if found is None or os.path.isfile(text):
        return None
    return Segment(text[: found.start()], int(found[1]), int(found[2]))


def recording_of(path: str | Path) -> str:
    """The path without a segment."""
    segment = segment_of(path)
    return str(path) if segment is None else segment.recording


def utterance_path(path: str | Path) -> PurePosixPath:
    """What tells an utterance from others, whatever the suffix: "talks/1.flac" -> "talks/1", and a segment of it, that
    of the module's head say, "talks/1-16000-32000".
    """
    segment = segment_of(path)
    if segment is None:
        return PurePosixPath(path).with_suffix("")
    whole = PurePosixPath(segment.recording).with_suffix("")
    return whole.with_name(f"{whole.name}-{segment.start}-{segment.samples}")
