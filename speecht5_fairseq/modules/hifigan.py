"""HiFi-GAN generator (Kong, Kim, Bae 2020, arXiv 2010.05646): log-mel -> waveform.

Shapes: B batch, N mel frames, M mel bins, C channels, S samples (S = N * MEL_HOP), T positions between two layers.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu
from torch.nn.utils import parametrizations

from ..constants import MEL_BINS, MEL_HOP

_EDGE_KERNEL = 7  # of the first and the last convolution
_LAST_SLOPE = 0.01  # before the last convolution: the published code has torch's default there, not its own slope


class HifiganSizes(NamedTuple):
    """The sizes of a generator; as they stand, those of the public 16 kHz SpeechT5 vocoder.

    Attributes:
        channels: after the first convolution; every upsampling halves them.
        upsample_rates: strides of the upsampling layers; their product is MEL_HOP.
        upsample_kernels: kernel of each upsampling layer.
        block_kernels: kernel of each residual block after an upsampling layer; their outputs are averaged.
        block_dilations: dilations of the convolutions of each of these blocks.
        slope: of the leaky ReLUs.
        normalize: whether the mel is normalised by `mean` and `scale` first.
    """

    channels: int = 512
    upsample_rates: tuple[int, ...] = (4, 4, 4, 4)
    upsample_kernels: tuple[int, ...] = (8, 8, 8, 8)
    block_kernels: tuple[int, ...] = (3, 7, 11)
    block_dilations: tuple[tuple[int, ...], ...] = ((1, 3, 5), (1, 3, 5), (1, 3, 5))
    slope: float = 0.1
    normalize: bool = True

    def check(self) -> None:
        """Hold that a generator of these sizes exists and gives MEL_HOP samples a frame.

        Raises:
            ValueError: naming the size, its value and what it has to be.
        """
        product = math.prod(self.upsample_rates)
        if product != MEL_HOP:
            raise ValueError(f"upsample_rates {self.upsample_rates} multiply to {product}, not to the hop {MEL_HOP}")
        pairs = (("upsample_kernels", "upsample_rates"), ("block_dilations", "block_kernels"))
        for name, other in pairs:
            if len(getattr(self, name)) != len(getattr(self, other)):
                raise ValueError(f"{name} {getattr(self, name)} and {other} {getattr(self, other)} differ in length")
        for kernel, rate in zip(self.upsample_kernels, self.upsample_rates, strict=True):
            if kernel < rate or (kernel - rate) % 2:
                raise ValueError(f"upsample_kernels: {kernel} is not its rate {rate} plus an even number")
        if not self.block_kernels or any(kernel % 2 == 0 for kernel in self.block_kernels):
            raise ValueError(f"block_kernels {self.block_kernels} must be odd, and at least one")
        if self.channels % 2 ** len(self.upsample_rates):
            raise ValueError(f"channels {self.channels} cannot be halved {len(self.upsample_rates)} times")


class _ResidualBlock(nn.Module):
    """Pairs of convolutions, the first of each pair dilated, around residual connections."""

    def __init__(self, *, channels: int, kernel: int, dilations: tuple[int, ...], slope: float) -> None:
        super().__init__()
        self.slope = slope
        self.dilated = nn.ModuleList(
            nn.Conv1d(channels, channels, kernel, dilation=dilation, padding=dilation * (kernel // 2))
            for dilation in dilations
        )
        self.plain = nn.ModuleList(nn.Conv1d(channels, channels, kernel, padding=kernel // 2) for _ in dilations)

    def forward(self, states: Tensor) -> Tensor:
        """(B, C, T) -> (B, C, T)."""
        for dilated, plain in zip(self.dilated, self.plain, strict=True):
            inner = dilated(leaky_relu(states, self.slope))
            states = states + plain(leaky_relu(inner, self.slope))
        return states


class HifiganGenerator(nn.Module):
    """Transposed convolutions upsample the mel; residual blocks of several kernels refine after each.

    The weights are plain; `add_weight_norm` splits them for training, and exporting or loading multiplies them again
    (`generation.hifigan_checkpoint.without_weight_norm`).

    Args:
        sizes: checked; a ValueError names what does not fit.
    """

    def __init__(self, *, sizes: HifiganSizes) -> None:
        super().__init__()
        sizes.check()
        self.sizes = sizes
        self.register_buffer("mean", torch.zeros(MEL_BINS))
        self.register_buffer("scale", torch.ones(MEL_BINS))
        self.input_conv = nn.Conv1d(MEL_BINS, sizes.channels, _EDGE_KERNEL, padding=_EDGE_KERNEL // 2)
        self.upsamples = nn.ModuleList()
        self.blocks = nn.ModuleList()
        channels = sizes.channels
        for rate, kernel in zip(sizes.upsample_rates, sizes.upsample_kernels, strict=True):
            padding = (kernel - rate) // 2  # T inputs give exactly T * rate outputs
            self.upsamples.append(nn.ConvTranspose1d(channels, channels // 2, kernel, stride=rate, padding=padding))
            channels //= 2
            self.blocks.extend(
                _ResidualBlock(channels=channels, kernel=kernel, dilations=dilations, slope=sizes.slope)
                for kernel, dilations in zip(sizes.block_kernels, sizes.block_dilations, strict=True)
            )
        self.output_conv = nn.Conv1d(channels, 1, _EDGE_KERNEL, padding=_EDGE_KERNEL // 2)

    def forward(self, mel: Tensor) -> Tensor:
        """Log10-mel (B, N, M) -> waveforms (B, S) in (-1, 1). Frames of padding reach their neighbours."""
        if self.sizes.normalize:
            mel = (mel - self.mean) / self.scale
        states = self.input_conv(mel.transpose(1, 2))
        parallel = len(self.sizes.block_kernels)
        for number, upsample in enumerate(self.upsamples):
            states = upsample(leaky_relu(states, self.sizes.slope))
            blocks = self.blocks[number * parallel : (number + 1) * parallel]
            states = sum(block(states) for block in blocks) / parallel
        return self.output_conv(leaky_relu(states, _LAST_SLOPE)).tanh().squeeze(1)


def add_weight_norm(net: nn.Module) -> None:
    """Split the weight of every convolution of `net` into length and direction, as HiFi-GAN is trained.

    Source: Salimans, Kingma 2016, arXiv 1602.07868.
    """
    for module in list(net.modules()):
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.ConvTranspose1d):
            parametrizations.weight_norm(module)
