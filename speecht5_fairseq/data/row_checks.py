"""The checks of one manifest row each: audio, speaker vector, units, text, class. They return problems, never raise."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ..constants import ENCODER_STRIDE, ENCODER_WINDOW, SAMPLE_RATE
from .audio import audio_info, read_audio
from .classes import ClassLabels
from .errors import MAX_LISTED, AudioError, ManifestError
from .labels import TextLabels, UnitLabels
from .manifest import Manifest
from .speaker import read_speaker

SILENT_PEAK = 1e-4  # full scale is 1: quieter than -80 dB, three steps of 16 bits
UNIT_SLACK = 2.5  # units that a count may differ from the samples' own: the extractor's edge and rounding


@dataclass
class LabelCounts:
    """What the labels hold, summed over the rows."""

    units: int = 0
    tokens: int = 0
    unknown: Counter = field(default_factory=Counter)  # symbol that the dictionary lacks -> times
    too_long: int = 0  # texts that CTC cannot align
    too_long_rows: list[str] = field(default_factory=list)  # the first of them, FILE:LINE and why


def named_counts(unknown: Mapping[str, int]) -> str:
    """Unknown symbols with their numbers, as they are reported."""
    return ", ".join(f"{symbol!r} x {count}" for symbol, count in unknown.items())


def check_audio(manifest: Manifest, index: int, path_column: str, samples_column: str, resample: bool) -> list[str]:
    """One audio file of a row: below the root, there, decodes, has the row's length, neither silent nor NaN."""
    expected = int(manifest.counts[samples_column][index])
    try:
        path = manifest.path(index, path_column)
        info = audio_info(path)
        if info.samples != expected:
            problem = f"{samples_column} is {expected}, the audio has {info.samples} at 16 kHz ({path})"
            return [str(manifest.error(index, problem, "correct the row's sample count"))]
        wave = read_audio(path, resample=resample)
    except ManifestError as error:
        return [str(error)]
    except AudioError as error:
        return [str(manifest.blame(index, error))]
    if not np.isfinite(wave).all():
        return [str(manifest.error(index, f"the audio holds NaN or infinity ({path})", "convert it again"))]
    peak = float(np.abs(wave).max())
    if peak < SILENT_PEAK:
        problem = f"the audio is silent: its peak is {peak:.1g} of full scale ({path})"
        return [str(manifest.error(index, problem, "record or convert it again, or delete the row"))]
    return []


def check_speaker(manifest: Manifest, index: int) -> list[str]:
    """The speaker vector of a row: a finite (512,) array."""
    try:
        read_speaker(manifest.path(index, "speaker"))
    except ManifestError as error:
        return [str(error)]
    except AudioError as error:
        return [str(manifest.blame(index, error))]
    return []


def check_units(manifest: Manifest, labels: UnitLabels, index: int, counts: LabelCounts) -> list[str]:
    """The units of a row: all in the dictionary, and as many as the audio has encoder frames."""
    try:
        found = len(labels.classes(index))
    except ManifestError as error:
        return [str(error)]
    counts.units += found
    samples = int(manifest.samples[index])
    expected = labels.expected(samples)
    if abs(found - expected) <= UNIT_SLACK:
        return []
    rate = found / samples * SAMPLE_RATE
    problem = f"{found} units for {samples} samples, about {expected:.0f} expected ({rate:.1f} a second)"
    mend = f"make the units at {labels.rate} a second, or set --unit-rate to theirs"
    return [str(labels.error(index, problem, mend))]


def check_class(labels: ClassLabels, index: int) -> list[str]:
    """The class of a row: one that the dictionary has."""
    try:
        labels.number(index)
    except ManifestError as error:
        return [str(error)]
    return []


def check_text(labels: TextLabels, index: int, counts: LabelCounts) -> list[str]:
    """The text of a row: not empty, not of unknown symbols only; unknown symbols are counted."""
    try:
        pieces = labels.pieces(index)
    except ManifestError as error:
        return [str(error)]
    unknown = labels.unknown(pieces)
    counts.tokens += len(pieces)
    counts.unknown.update(unknown)
    if not pieces:
        return [str(labels.error(index, f"no text ({labels.lines[index]!r})", "write the text or delete the row"))]
    if len(unknown) == len(pieces):
        problem = f"every symbol is unknown to the dictionary ({' '.join(pieces[:10])!r})"
        return [str(labels.error(index, problem, "encode the text with the dictionary's own sentencepiece model"))]
    return []


def count_too_long(manifest: Manifest, labels: TextLabels, index: int, counts: LabelCounts) -> None:
    """Count the text of a row that has more symbols than its frames can hold: CTC learns nothing of it.

    CTC needs a frame for each symbol and one for the blank between two equal neighbours.
    """
    try:
        symbols = [labels.dictionary.index(piece) for piece in labels.pieces(index)]
    except ManifestError:  # `check_text` tells of it
        return
    needed = len(symbols) + sum(first == second for first, second in itertools.pairwise(symbols))
    frames = max(0, (int(manifest.samples[index]) - ENCODER_WINDOW) // ENCODER_STRIDE + 1)
    if needed <= frames:
        return
    counts.too_long += 1
    if len(counts.too_long_rows) < MAX_LISTED:
        place = f"{manifest.file}:{manifest.line_number(index)}"
        counts.too_long_rows.append(f"{place}: {len(symbols)} symbols need {needed} frames, it has {frames}")
