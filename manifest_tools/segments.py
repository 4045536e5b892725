"""Stretches of long recordings: each written to a file of its own, or named in its recording (``data/segments.py``)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from speecht5_fairseq.constants import ENCODER_WINDOW, SAMPLE_RATE
from speecht5_fairseq.data.audio import audio_info, read_audio, write_audio
from speecht5_fairseq.data.errors import AudioError
from speecht5_fairseq.data.segments import Segment as Stretch

from .headers import TAIL
from .parallel import parallel_map

FORMATS = ("flac", "wav")
UNCUT = "none"  # the format of segments that stay in their recordings
END_TOLERANCE = SAMPLE_RATE // 2  # samples that a segment may end after its recording: offsets are rounded


class Segment(NamedTuple):
    """A stretch of a recording, in samples at 16 kHz, and the name of its file, without the suffix."""

    source: str
    name: str
    start: int
    samples: int


class Folders(NamedTuple):
    """Where segments come from and go to; with the suffix `UNCUT` nowhere."""

    source: Path
    out: Path
    suffix: str
    listed: int = 0  # when the lists of segments were written (ns): what was cut before is cut again

    def row_path(self, segment: Segment, samples: int) -> str:
        """A manifest's path of a segment that has so many samples: below `out`, or uncut below `source`."""
        if self.suffix == UNCUT:
            return Stretch(segment.source, segment.start, samples).path()
        return f"{segment.name}.{self.suffix}"


def check_format(audio_format: str, formats: Sequence[str] = FORMATS) -> None:
    """Raises ValueError for an --audio-format that segments are not written in."""
    if audio_format not in formats:
        raise ValueError(f"--audio-format {audio_format!r}: choose one of {', '.join(formats)}")


def cut_segments(segments: Sequence[Segment], folders: Folders, split: str, n_jobs: int) -> list[int | str]:
    """Write the segments that are not there yet, recording by recording: the samples of each, or why it has none.

    With the suffix `UNCUT` nothing is written, and of each segment only the end is decoded.

    What is broken is told in the result; nothing is raised for it.
    """
    order = sorted(range(len(segments)), key=lambda index: segments[index].source)
    sources = [list(rows) for _, rows in groupby((segments[index] for index in order), key=lambda row: row.source)]
    work, total = partial(cut_source, folders=folders), len(sources)
    done = parallel_map(work, sources, total=total, n_jobs=n_jobs, description=f"cut {split}", unit="recording")
    results = [result for source in done for result in source]
    return [result for _, result in sorted(zip(order, results, strict=True), key=lambda pair: pair[0])]


def cut_source(segments: Sequence[Segment], folders: Folders) -> list[int | str]:
    """`cut_segments` for the segments of one recording."""
    source = folders.source / segments[0].source
    try:
        total, since = audio_info(source).samples, max(folders.listed, source.stat().st_mtime_ns)
    except (AudioError, OSError) as error:
        return [f"unreadable ({error})"] * len(segments)
    return [_cut(segment, source, total, since, folders) for segment in segments]


def _cut(segment: Segment, source: Path, total: int, since: int, folders: Folders) -> int | str:
    samples = min(segment.samples, total - segment.start)
    target = folders.out / f"{segment.name}.{folders.suffix}"
    if segment.samples - samples > END_TOLERANCE:
        end = (segment.start + segment.samples) / SAMPLE_RATE
        return f"past the end of its recording ({end:.2f} s of {total / SAMPLE_RATE:.2f} s)"
    if samples < ENCODER_WINDOW:
        return f"too short ({max(samples, 0)} samples, one encoder frame is {ENCODER_WINDOW})"
    uncut = folders.suffix == UNCUT
    if uncut or not _is_cut(target, since, samples):
        read = min(TAIL, samples) if uncut else samples
        try:
            wave = read_audio(source, start=segment.start + samples - read, frames=read)
        except AudioError as error:
            return f"unreadable ({error})"
        if not uncut:
            write_audio(target, wave)
    return samples


def _is_cut(target: Path, since: int, samples: int) -> bool:
    try:
        return target.stat().st_mtime_ns >= since and audio_info(target).samples == samples
    except (OSError, AudioError):
        return False
