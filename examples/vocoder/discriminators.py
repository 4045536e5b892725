"""HiFi-GAN's discriminators and what both sides learn from them (Kong, Kim, Bae 2020, arXiv 2010.05646).

Differences from the paper: widths scale with `width`, and weight norm stands in every discriminator (the paper has
spectral norm in the first of the multi-scale ones).

Shapes: B batch, S samples, P period, C channels, T positions.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool1d, leaky_relu, pad

from speecht5_fairseq.modules.hifigan import add_weight_norm

PERIODS = (2, 3, 5, 7, 11)
SCALES = 3  # the waveform itself, and at a half and a quarter of its rate
_SLOPE = 0.1


class Judgement(NamedTuple):
    """What one discriminator says: `scores` (B, T or T x P), and the `features` of its layers."""

    scores: Tensor
    features: list[Tensor]


class _Discriminator(nn.Module):
    """Convolutions, each followed by a leaky ReLU, and one that scores."""

    def __init__(self, convs: list[nn.Module], score: nn.Module) -> None:
        super().__init__()
        self.convs = nn.ModuleList(convs)
        self.score = score

    def forward(self, states: Tensor) -> Judgement:
        features = []
        for conv in self.convs:
            states = leaky_relu(conv(states), _SLOPE)
            features.append(states)
        return Judgement(self.score(states).flatten(1), features)


class PeriodDiscriminator(_Discriminator):
    """Sees every P-th sample side by side: the waveform folded to (B, 1, S / P, P).

    Args:
        period: P.
        width: channels after the first convolution (the paper: 32).
    """

    def __init__(self, *, period: int, width: int) -> None:
        widths = [1, width, 4 * width, 16 * width, 32 * width]
        convs = [
            nn.Conv2d(before, after, (5, 1), stride=(3, 1), padding=(2, 0))
            for before, after in zip(widths, widths[1:], strict=False)
        ]
        convs.append(nn.Conv2d(widths[-1], widths[-1], (5, 1), padding=(2, 0)))
        super().__init__(convs, nn.Conv2d(widths[-1], 1, (3, 1), padding=(1, 0)))
        self.period = period

    def forward(self, wave: Tensor) -> Judgement:
        """(B, S) -> Judgement."""
        wave = pad(wave[:, None], (0, -wave.size(1) % self.period), mode="reflect")
        return super().forward(wave.unflatten(2, (-1, self.period)))


class ScaleDiscriminator(_Discriminator):
    """Sees the waveform averaged over 2 ** `halvings` samples, by convolutions of wide strides and many groups.

    Args:
        halvings: how often the rate is halved first.
        width: channels after the first convolution, a multiple of 8 (the paper: 128).
    """

    def __init__(self, *, halvings: int, width: int) -> None:
        groups = max(width // 8, 1)
        plan = (  # (channels in, channels out, kernel, stride, groups)
            (1, width, 15, 1, 1),
            (width, width, 41, 2, min(4, groups)),
            (width, 2 * width, 41, 2, groups),
            (2 * width, 4 * width, 41, 4, groups),
            (4 * width, 8 * width, 41, 4, groups),
            (8 * width, 8 * width, 41, 1, groups),
            (8 * width, 8 * width, 5, 1, 1),
        )
        convs = [
            nn.Conv1d(before, after, kernel, stride=stride, padding=kernel // 2, groups=groups)
            for before, after, kernel, stride, groups in plan
        ]
        super().__init__(convs, nn.Conv1d(8 * width, 1, 3, padding=1))
        self.halvings = halvings

    def forward(self, wave: Tensor) -> Judgement:
        """(B, S) -> Judgement."""
        wave = wave[:, None]
        for _ in range(self.halvings):
            wave = avg_pool1d(wave, 4, 2, padding=2)
        return super().forward(wave)


class Discriminators(nn.Module):
    """All of both kinds, with weight norm.

    Args:
        period_width: of the PeriodDiscriminators.
        scale_width: of the ScaleDiscriminators.
    """

    def __init__(self, *, period_width: int, scale_width: int) -> None:
        super().__init__()
        periods = [PeriodDiscriminator(period=period, width=period_width) for period in PERIODS]
        scales = [ScaleDiscriminator(halvings=halvings, width=scale_width) for halvings in range(SCALES)]
        self.members = nn.ModuleList([*periods, *scales])
        add_weight_norm(self)

    def forward(self, wave: Tensor) -> list[Judgement]:
        """(B, S) -> one Judgement a discriminator."""
        return [member(wave) for member in self.members]


def discriminator_loss(real: list[Judgement], made: list[Judgement]) -> Tensor:
    """Least squares: 1 for recordings, 0 for what the generator made (Mao et al. 2017, arXiv 1611.04076)."""
    pairs = zip(real, made, strict=True)
    return sum((1 - r.scores).square().mean() + m.scores.square().mean() for r, m in pairs)


def adversarial_loss(made: list[Judgement]) -> Tensor:
    """Least squares: the generator wants 1."""
    return sum((1 - judgement.scores).square().mean() for judgement in made)


def feature_loss(real: list[Judgement], made: list[Judgement]) -> Tensor:
    """L1 between the layers' features of a recording and of what the generator made of its mel."""
    total = torch.zeros((), device=made[0].scores.device)
    for r, m in zip(real, made, strict=True):
        for theirs, ours in zip(r.features, m.features, strict=True):
            total = total + (theirs.detach() - ours).abs().mean()
    return total
