"""Convolution with a long kernel by Fourier transforms of short blocks (overlap-save), for a CPU in float32 or float64.

The position convolution sums 128 taps of 48 channels for every number; as transforms that is a few operations. Blocks,
and not the whole utterance, are transformed, so that the cost is linear and an utterance's numbers do not depend on how
far it was padded.

Shapes: B batch, G groups, g some of them, C channels of a group, D = G C channels, T time steps, K kernel, N block,
n blocks, F = N / 2 + 1 frequencies.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

SHORTEST_KERNEL = 32  # below, and for fewer time steps than FEWEST_STEPS, plain products take less time
FEWEST_STEPS = 256
CHANNELS = 192  # whose kernels are transformed at a time: their spectra stay in the cache


def takes_less(states: Tensor, kernel: int) -> bool:
    """Whether ``long_convolution`` of states (B, D, T) takes less time than torch's own."""
    plain = states.dtype in (torch.float32, torch.float64) and not torch.is_autocast_enabled("cpu")
    steps = states.size(0) * states.size(2)
    return states.device.type == "cpu" and plain and kernel >= SHORTEST_KERNEL and steps >= FEWEST_STEPS


def long_convolution(states: Tensor, weight: Tensor, bias: Tensor, *, padding: int, groups: int) -> Tensor:
    """torch's conv1d of stride 1: states (B, D, T), weight (D, C, K), bias (D,) -> (B, D, T + 2 padding - K + 1)."""
    batch, dim, steps = states.shape
    channels, kernel = weight.shape[1:]
    block = 1 << (2 * kernel - 1).bit_length()
    hop = block - kernel + 1  # results of a block that no wrapped product has reached
    wanted = steps + 2 * padding - kernel + 1
    blocks = -(-wanted // hop)
    padded = F.pad(states, (padding, (blocks - 1) * hop + block - padding - steps))
    spectra = torch.fft.rfft(padded.unfold(-1, block, hop))  # (B, D, n, F)
    spectra = spectra.unflatten(1, (groups, channels)).permute(1, 4, 0, 3, 2)  # (G, F, B, n, C)
    parts = []
    together = max(1, CHANNELS // channels)
    for some, kernels in zip(
        spectra.split(together), weight.unflatten(0, (groups, channels)).split(together), strict=True
    ):
        conjugate = torch.fft.rfft(kernels, n=block).conj().permute(0, 3, 2, 1)  # (g, F, C in, C out)
        product = some.flatten(2, 3).flatten(0, 1) @ conjugate.flatten(0, 1)  # (g F, B n, C)
        product = product.view(*some.shape[:4], channels).permute(2, 0, 4, 3, 1)  # (B, g, C, n, F)
        parts.append(torch.fft.irfft(product, n=block)[..., :hop].flatten(3).flatten(1, 2))
    return torch.cat(parts, dim=1)[..., :wanted] + bias[:, None]
