"""Random draws that belong to an utterance and not to its batch.

Masks and codebook noise are drawn from a generator seeded by the utterance (the dataset's hash of seed, epoch and
index), so they are the same on one process or several, alone or in a batch, and after a resume. Dropout is not: its
masks (``keep_mask``) and layerdrop come from torch's global generator, whose state a checkpoint does not need, because
fairseq seeds it before every update.
"""

from __future__ import annotations

import math
import random
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from .precision import fused_by_compiler

_SEED_MASK = (1 << 63) - 1  # torch.Generator takes a non-negative 64-bit seed


def utterance_generators(seeds: Tensor, device: torch.device, *, stream: str) -> list[torch.Generator]:
    """One generator an utterance; ``stream`` names the purpose, so that two purposes never share their numbers.

    Args:
        seeds: (B,) int64.
        device: where the numbers are drawn.
        stream: any short name.
    """
    salt = zlib.crc32(stream.encode()) << 20
    return [torch.Generator(device).manual_seed((seed ^ salt) & _SEED_MASK) for seed in seeds.tolist()]


def utterance_uniform(seeds: Tensor, lengths: Tensor, shape: tuple[int, ...], *, stream: str) -> Tensor:
    """Uniform numbers in [0, 1), (B, T, *rest) for ``shape`` = (T, *rest); past an utterance's length they are 0.

    Args:
        seeds: (B,) int64.
        lengths: (B,) positions drawn for each utterance.
        shape: (T, *rest) of one utterance.
        stream: name of the purpose.
    """
    noise = torch.zeros(len(seeds), *shape, device=lengths.device)
    generators = utterance_generators(seeds, lengths.device, stream=stream)
    for row, length, generator in zip(noise, lengths.tolist(), generators, strict=True):
        row[:length] = torch.rand((length, *shape[1:]), device=lengths.device, generator=generator)
    return noise


def fresh_seeds(count: int, device: torch.device) -> Tensor:
    """(count,) seeds from torch's global generator, for callers that bring none."""
    return torch.randint(_SEED_MASK, (count,), device=device)


@contextmanager
def kept_generators(device: torch.device) -> Iterator[None]:
    """Whatever the block draws from the global generators of torch (CPU and ``device``), numpy and Python, they go on
    after it as if it had drawn nothing.
    """
    python, array = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(array)


def keep_mask(shape: Sequence[int], dropout: float, device: torch.device) -> Tensor:
    """Booleans from torch's global generator, False with probability ``dropout`` (on a CPU rounded to 1/65,536).

    On a CPU torch draws one number after another; here each draw of 64 bits serves four entries.
    """
    if device.type != "cpu":
        return torch.empty(shape, dtype=torch.bool, device=device).bernoulli_(1.0 - dropout)
    count = math.prod(shape)
    bits = torch.empty((count + 3) // 4, dtype=torch.int64).random_(-(1 << 63), None)
    return (bits.view(torch.int16)[:count] >= round(dropout * 65536) - 32768).view(*shape)


class Dropout(nn.Dropout):
    """torch's dropout, with masks from ``keep_mask``."""

    def forward(self, states: Tensor) -> Tensor:
        if not self.training or self.p in (0.0, 1.0) or states.device.type != "cpu" or fused_by_compiler():
            return super().forward(states)
        kept = keep_mask(states.shape, self.p, states.device).view(torch.uint8)  # faster to multiply with than booleans
        return states * kept * (1.0 / (1.0 - self.p))
