"""Lengths, padding masks and span masks.

Shapes: B batch, T frames.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .randomness import utterance_generators


def valid_mask(lengths: Tensor, size: int) -> Tensor:
    """(B,) lengths -> (B, size) bool, True at valid positions."""
    return torch.arange(size, device=lengths.device) < lengths[:, None]


def padding_mask(lengths: Tensor, size: int) -> Tensor | None:
    """(B,) lengths -> (B, size) bool, True at padding; None when there is none, so that callers can skip the work."""
    mask = ~valid_mask(lengths, size)
    return mask if bool(mask.any()) else None


def zero_padding(states: Tensor, mask: Tensor | None) -> Tensor:
    """Zero the padded rows of states (B, T, D) by mask (B, T)."""
    return states if mask is None else states.masked_fill(mask[:, :, None], 0.0)


def conv_lengths(lengths: Tensor, layers: Sequence[tuple[int, int, int]]) -> Tensor:
    """Lengths after a stack of (channels, kernel, stride) convolutions without padding: floor((n - k) / s) + 1 each."""
    for _, kernel, stride in layers:
        lengths = torch.div(lengths - kernel, stride, rounding_mode="floor") + 1
    return lengths.clamp(min=0)


def span_mask(
    lengths: Tensor, size: int, *, probability: float, span: int, min_spans: int, seeds: Tensor, stream: str
) -> Tensor:
    """Choose spans of ``span`` positions; without overlap about ``probability`` of an utterance would be covered.

    An utterance of n positions gets probability * n / span spans, rounded up or down at random to be right on average,
    at least ``min_spans`` and at most as many as it has starts for, which are drawn without replacement (wav2vec 2.0's
    static spans; they may overlap). Drawn from the utterance's own seed: its mask does not depend on its batch.

    Args:
        lengths: (B,) valid positions.
        size: positions of the result.
        probability: share of positions in spans before overlaps.
        span: positions of one span; cut to the utterance where that is shorter.
        min_spans: spans an utterance has at least.
        seeds: (B,) one seed an utterance.
        stream: name of the purpose; two purposes draw numbers of their own.

    Returns:
        (B, size) bool on the device of ``lengths``, True where masked.
    """
    rows = torch.zeros(len(lengths), size, dtype=torch.bool)
    generators = utterance_generators(seeds, torch.device("cpu"), stream=stream)
    for row, length, generator in zip(rows, lengths.tolist(), generators, strict=True):
        width = min(span, length)
        places = length - width + 1  # possible starts
        if width == 0:
            continue
        extra = float(torch.rand((), generator=generator))  # rounds the count up or down, right on average
        count = min(max(min_spans, int(probability * length / span + extra)), places)
        starts = torch.randperm(places, generator=generator)[:count]
        row[(starts[:, None] + torch.arange(width)).flatten()] = True
    return rows.to(lengths.device)
