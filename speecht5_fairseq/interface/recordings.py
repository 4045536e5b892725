"""Recordings in: files, arrays or tensors as 16 kHz waveforms, cut at pauses where they are long.

Shapes: S samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torchaudio.functional import resample

from ..constants import ENCODER_STRIDE, ENCODER_WINDOW, SAMPLE_RATE
from ..data.audio import read_audio
from ..data.errors import AudioError
from .arrays import array_of, is_file, is_one, listed

BATCH_SECONDS = 80  # of padded speech that the encoder hears at a time
LOUDEST = 2.0  # of samples in floats, which are in [-1, 1] but for what mixing and filters add
_HOP = ENCODER_STRIDE  # samples from one loudness to the next: cuts fall between encoder frames
_PAUSE = 0.3  # seconds over which the loudness of a cut is taken
_EARLIEST = 0.5  # of the longest stretch: no cut comes before


class Span(NamedTuple):
    """Samples ``start`` to ``end`` of a recording."""

    start: int
    end: int


def is_many(recordings: Any) -> bool:
    """Whether this is a list of recordings, not one: an array is one, of several channels perhaps."""
    return not isinstance(recordings, (np.ndarray, Tensor)) and not is_one(recordings)


def waveform_of(recording: Any, sample_rate: int, name: str = "the recording") -> Tensor:
    """One recording as float32 (S,) at 16 kHz.

    Args:
        recording: a path, or samples (S,) or (channels, S): floats in [-1, 1], or integers of their type's range.
        sample_rate: of samples, Hz; a file tells its own.
        name: says which recording, in errors.

    Raises:
        AudioError: unreadable, of another shape, type or range, empty, not finite, or too short for one frame of the
            encoder (25 ms).
    """
    if is_file(recording):
        wave, name = torch.from_numpy(read_audio(recording)), str(recording)
    else:
        wave = _resampled(_mono(torch.from_numpy(array_of(recording, name)), name), sample_rate, name)
    if len(wave) < ENCODER_WINDOW:
        raise AudioError(
            f"{name}: {len(wave)} samples at {SAMPLE_RATE} Hz, the encoder hears {ENCODER_WINDOW} at least; give a "
            "longer recording"
        )
    if not bool(wave.isfinite().all()):
        raise AudioError(f"{name}: holds NaN or infinity; record or convert it again")
    return wave


def _mono(samples: Tensor, name: str) -> Tensor:
    if samples.dim() == 2:
        if samples.size(0) > samples.size(1):
            raise AudioError(f"{name}: samples of shape {tuple(samples.shape)}; give (S,) or (channels, S)")
        scaled = _scaled(samples, name)
        return scaled.mean(0)
    if samples.dim() != 1:
        raise AudioError(f"{name}: samples of shape {tuple(samples.shape)}; give (S,) or (channels, S)")
    return _scaled(samples, name)


def _scaled(samples: Tensor, name: str) -> Tensor:
    """Integers to [-1, 1]; floats are there."""
    if samples.is_floating_point():
        peak = float(samples.abs().max()) if samples.numel() else 0.0
        if LOUDEST < peak < float("inf"):
            raise AudioError(
                f"{name}: samples of up to {peak:g}, and floats are in [-1, 1]; divide them by their full scale (32768 "
                "where they were 16 bits)"
            )
        return samples.float()
    if samples.dtype not in (torch.int16, torch.int32):
        raise AudioError(f"{name}: samples of type {samples.dtype}; give floats in [-1, 1], int16 or int32")
    return samples.float() / -float(torch.iinfo(samples.dtype).min)


def _resampled(wave: Tensor, rate: int, name: str) -> Tensor:
    if isinstance(rate, bool) or not isinstance(rate, (int, float, np.number)) or rate < 1 or rate != rate // 1:
        raise AudioError(f"{name}: sample_rate {rate!r}; give the samples' own, a whole number of Hz")
    return wave if rate == SAMPLE_RATE else resample(wave, int(rate), SAMPLE_RATE)


def cut_at_pauses(wave: Tensor, longest: float) -> list[Span]:
    """Stretches of at most ``longest`` seconds that cover a recording (S,); a short one is whole.

    Each cut is where the recording is quietest for 0.3 s, between half of ``longest`` and all of it after the cut
    before; the rest is halved rather than ended in a stub.

    Raises:
        ValueError: ``longest`` under a second.
    """
    if not longest >= 1:
        raise ValueError(f"longest_seconds {longest}: give a second or more")
    if len(wave) <= longest * SAMPLE_RATE:  # math.inf too: never
        return [Span(0, len(wave))]
    most, loudness = round(longest * SAMPLE_RATE), _loudness(wave)
    spans, start = [], 0
    while len(wave) - start > most:
        latest = min(most, (len(wave) - start) - round(0.25 * most))  # what follows is no stub
        earliest = min(round(_EARLIEST * most), latest - _HOP)
        first, last = (start + earliest) // _HOP, (start + latest) // _HOP
        cut = (first + int(loudness[first : last + 1].argmin())) * _HOP
        spans.append(Span(start, cut))
        start = cut
    return [*spans, Span(start, len(wave))]


def _loudness(wave: Tensor) -> Tensor:
    """Mean power around each hop, over the length of a pause."""
    width = round(_PAUSE * SAMPLE_RATE / _HOP) | 1
    power = F.pad(wave.square(), (0, -len(wave) % _HOP)).view(-1, _HOP).mean(1)
    return F.avg_pool1d(power[None, None], width, stride=1, padding=width // 2, count_include_pad=False)[0, 0]


def batches(sizes: Sequence[int], limit: int) -> list[list[int]]:
    """Indices in batches of padded size (number x longest) within ``limit``, longest first; one alone may exceed it."""
    found: list[list[int]] = []
    for index in sorted(range(len(sizes)), key=lambda index: sizes[index], reverse=True):
        if found and sizes[found[-1][0]] * (len(found[-1]) + 1) <= limit:
            found[-1].append(index)
        else:
            found.append([index])
    return found


@torch.no_grad()
def each_recording(
    recordings: Any,
    sample_rate: int,
    longest: float,
    compute: Callable[[list[Tensor], list[int]], list],
    combine: Callable[[list[Span], list], Any],
    *,
    overlap: int = 0,
) -> Any:
    """Read recordings, cut long ones, compute in batches, and put together what belongs together.

    Args:
        recordings: one, or a list of them.
        longest: seconds of a stretch.
        compute: of a batch of waveforms (S,), and whose they are: a result each.
        combine: of a recording's stretches and their results: its result.
        overlap: samples that a stretch reads of the next one.

    Returns:
        The result of one recording, or a list in the order of theirs.

    Raises:
        AudioError: see ``waveform_of``.
        ValueError: see ``cut_at_pauses``.
    """
    recordings = listed(recordings, "recordings")
    many = is_many(recordings)
    given = list(recordings) if many else [recordings]
    names = [f"recording {number}" if many else "the recording" for number in range(1, len(given) + 1)]
    waves = [waveform_of(one, sample_rate, name) for one, name in zip(given, names, strict=True)]
    spans = [cut_at_pauses(wave, longest) for wave in waves]
    flat = [(owner, span) for owner, several in enumerate(spans) for span in several]
    found: list[Any] = [None] * len(flat)
    for chosen in batches([span.end - span.start for _, span in flat], BATCH_SECONDS * SAMPLE_RATE):
        owners = [flat[index][0] for index in chosen]
        chosen_spans = [flat[index][1] for index in chosen]
        parts = [waves[owner][s.start : s.end + overlap] for owner, s in zip(owners, chosen_spans, strict=True)]
        for index, result in zip(chosen, compute(parts, owners), strict=True):
            found[index] = result
    results = iter(found)
    combined = [combine(several, [next(results) for _ in several]) for several in spans]
    return combined if many else combined[0]
