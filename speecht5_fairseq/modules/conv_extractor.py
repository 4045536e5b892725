"""The wav2vec 2.0 extractor: seven convolutions without bias, a norm, GELU; waveform -> 50 frames a second.

Time stands before channels throughout, and every layer's rows are the next layer's rows times its stride, so that each
convolution is a matrix product on memory as it lies.

Shapes: B batch, S samples, R rows of a layer (the valid ones and some meaningless ones after them), K kernel of the
first layer, C channels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .gelu_products import GeluConv
from .masks import conv_lengths, valid_mask
from .precision import apply

ConvLayers = Sequence[tuple[int, int, int]]  # (channels, kernel, stride)


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
        states = self._first(waveform, conv_lengths(lengths, self.layers[:1]))
        for conv, norm, (_, _, stride) in list(zip(self.convs, self.norms, self.layers, strict=True))[1:]:
            states = norm(apply(GeluConv, states, conv.weight, stride))
        longest = int(conv_lengths(lengths, self.layers).max())
        return F.gelu(states[:, :longest])

    def _first(self, waveform: Tensor, lengths: Tensor) -> Tensor:
        """(B, S) -> (B, R, C) before GELU."""
        _, kernel, stride = self.layers[0]
        product = math.prod(layer[2] for layer in self.layers)
        size = -(-waveform.size(1) // product) * product
        padded = F.pad(waveform, (0, size - waveform.size(1) + kernel - stride))
        windows = padded.unfold(1, kernel, stride)  # (B, R, K)
        weight = self.convs[0].weight[:, 0]
        if isinstance(self.norms[0], nn.GroupNorm):
            return _linear_time_norm(windows, lengths, weight, self.norms[0])
        return self.norms[0](F.linear(windows, weight))


def _linear_time_norm(windows: Tensor, lengths: Tensor, weight: Tensor, norm: nn.GroupNorm) -> Tensor:
    """GroupNorm over each utterance's own time of the product windows (B, R, K) x weight' (K, C), without forming it.

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
    product = (gain[:, :, None] * kernel).transpose(1, 2).to(windows.dtype)  # (B, K, C)
    return torch.baddbmm(shift[:, None].to(windows.dtype), windows, product)
