"""The wav2vec 2.0 extractor: seven convolutions without bias, a norm, GELU; waveform -> 50 frames a second.

Time stands before channels throughout, and every layer's rows are the next layer's rows times its stride, so that each
convolution is a matrix product on memory as it lies.

Without a gradient the layers run over a few frames at a time on a CPU: what lies between them never leaves the cache,
and the first layer's output, by far the largest tensor of the model, is never whole.

Shapes: B batch, S samples, R rows of a layer (the valid ones and some meaningless ones after them), K kernel of the
first layer, T frames, C channels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .gelu_products import GeluConv, Taps, taps
from .masks import conv_lengths, valid_mask
from .precision import apply, to_product

ConvLayers = Sequence[tuple[int, int, int]]  # (channels, kernel, stride)
FRAMES = 128  # of all utterances, at a time: 8 MiB of the base model's first layer


class ConvExtractor(nn.Module):
    """Args: the layers, and whether each has a LayerNorm ("large") or the first one a GroupNorm over time ("base")."""

    def __init__(self, *, layers: ConvLayers, layer_norm: bool) -> None:
        super().__init__()
        self.layers = tuple(layers)
        self.convs = nn.ModuleList()
        self.norms = nn.ModuleList()
        previous = 1
        for number, (channels, kernel, stride) in enumerate(layers):
            if not stride <= kernel <= 2 * stride:
                raise ValueError(f"extractor layer {number}: kernel {kernel} must be {stride} to {2 * stride}")
            conv = nn.Conv1d(previous, channels, kernel, stride, bias=False)
            nn.init.kaiming_normal_(conv.weight)
            self.convs.append(conv)
            first = nn.LayerNorm(channels) if layer_norm else nn.GroupNorm(channels, channels)
            self.norms.append(first if number == 0 or layer_norm else nn.Identity())
            previous = channels

    def forward(self, waveform: Tensor, lengths: Tensor) -> Tensor:
        """waveform (B, S), zero at padding, lengths (B,) samples -> (B, T, C) with T frames of the longest."""
        windows, first = self._first(waveform, lengths)
        weights = [self._taps(number) for number in range(1, len(self.layers))]
        longest = int(conv_lengths(lengths, self.layers).max())
        if torch.is_grad_enabled() or waveform.device.type != "cpu":
            return F.gelu(self._further(first(windows), weights)[:, :longest])
        some = max(1, FRAMES // len(waveform))
        rows = [self._rows(start, some) for start in range(0, longest, some)]
        parts = [self._further(first(windows[:, part]), weights)[:, :some] for part in rows]
        return F.gelu(torch.cat(parts, dim=1)[:, :longest])

    def _taps(self, number: int) -> Taps:
        weight = self.convs[number].weight
        return Taps(*(to_product(some) for some in taps(weight, self.layers[number][2])))

    def _further(self, states: Tensor, weights: Sequence[Taps]) -> Tensor:
        """What the other layers make of the first one's rows (B, R, C); R is a multiple of their strides' product."""
        for (near, far), norm in zip(weights, self.norms[1:], strict=True):
            states = norm(apply(GeluConv, states, near, far))
        return states

    def _rows(self, start: int, frames: int) -> slice:
        """Rows of the first layer for ``frames`` frames from ``start``, with what their last kernels read beyond."""
        jump = math.prod(stride for _, _, stride in self.layers[1:])
        reach = 1
        for _, kernel, stride in reversed(self.layers[1:]):
            reach = (reach - 1) * stride + kernel
        beyond = -(-(reach - jump) // jump) if len(self.layers) > 1 else 0
        return slice(start * jump, (start + frames + beyond) * jump)

    def _first(self, waveform: Tensor, lengths: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """(B, S) -> windows (B, R, K), and what makes of some of them the first layer's output before GELU."""
        _, kernel, stride = self.layers[0]
        product = math.prod(layer[2] for layer in self.layers)
        size = -(-waveform.size(1) // product) * product
        padded = F.pad(waveform, (0, size - waveform.size(1) + kernel - stride))
        windows = padded.unfold(1, kernel, stride)
        weight, norm = self.convs[0].weight[:, 0], self.norms[0]
        if not isinstance(norm, nn.GroupNorm):
            return windows, lambda some: norm(F.linear(some, weight))
        shift, folded = _linear_time_norm(windows, conv_lengths(lengths, self.layers[:1]), weight, norm)
        return windows, lambda some: torch.baddbmm(shift, some, folded)


def _linear_time_norm(windows: Tensor, lengths: Tensor, weight: Tensor, norm: nn.GroupNorm) -> tuple[Tensor, Tensor]:
    """GroupNorm over each utterance's own time of the product windows (B, R, K) x weight' (K, C), without forming it.

    Returns the bias (B, 1, C) and the weights (B, K, C) of a product that gives it.

    The mean and the variance of a linear function follow from the mean and the covariance of the windows; the norm is
    then a scale of the weights and a bias of each utterance.
    """
    valid = valid_mask(lengths, windows.size(1))[:, :, None]
    wide = windows.double() * valid
    count = lengths[:, None].double()
    mean = wide.sum(1) / count  # (B, K)
    covariance = wide.transpose(1, 2) @ wide / count[:, :, None] - mean[:, :, None] * mean[:, None, :]
    kernel = weight.double()
    variance = ((kernel @ covariance) * kernel).sum(-1)  # (B, C)
    gain = norm.weight.double() * torch.rsqrt(variance.clamp(min=0) + norm.eps)
    shift = norm.bias.double() - gain * (mean @ kernel.T)
    return shift[:, None].to(windows.dtype), (gain[:, :, None] * kernel).transpose(1, 2).to(windows.dtype)
