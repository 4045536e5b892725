"""Speech decoder post-net: states -> coarse mel, stop logits and refined mel.

Shapes: B batch, N mel frames, r reduction factor, M mel bins, D model width, C post-net channels.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..constants import MEL_BINS, MEL_FLOOR
from ..outputs import SpeechDecoderOutput
from .masks import valid_mask
from .randomness import Dropout


class ValidBatchNorm(nn.BatchNorm1d):
    """BatchNorm over the valid frames only, so that padding is in no statistic."""

    def forward(self, states: Tensor, valid: Tensor) -> Tensor:
        """states (B, C, N), valid (B, N) -> (B, C, N), zero at padding."""
        rows = states.transpose(1, 2)
        normed = torch.zeros_like(rows)
        normed[valid] = super().forward(rows[valid]).to(normed.dtype)
        return normed.transpose(1, 2)


class SpeechDecoderPostnet(nn.Module):
    """Linear to r frames of mel and r stop logits a step; convolutions refine the mel.

    Args:
        dim: D.
        reduction: r.
        channels: C.
        layers: convolutions (kernel 5).
        dropout: after every convolution.
        prediction: what the Linear gives: "mel" the log-mel itself; from the source's log-mel, for enhancement, a
            "residual" that is added to it, or a "mask" of its magnitudes between 0 and 1.

    Raises:
        ValueError: a prediction from the source with r above 1.
    """

    KERNEL = 5

    def __init__(
        self, *, dim: int, reduction: int, channels: int, layers: int, dropout: float, prediction: str = "mel"
    ) -> None:
        super().__init__()
        if prediction != "mel" and reduction != 1:
            raise ValueError(
                f"--speech-prediction {prediction} works frame by frame, not with --reduction-factor {reduction}; "
                "give --reduction-factor 1"
            )
        self.reduction = reduction
        self.prediction = prediction
        self.feat_out = nn.Linear(dim, MEL_BINS * reduction)
        self.prob_out = nn.Linear(dim, reduction)
        widths = [MEL_BINS, *[channels] * (layers - 1), MEL_BINS]
        self.convs = nn.ModuleList(
            nn.Conv1d(before, after, self.KERNEL, padding=self.KERNEL // 2, bias=False)
            for before, after in zip(widths, widths[1:], strict=False)
        )
        self.norms = nn.ModuleList(ValidBatchNorm(width) for width in widths[1:])
        self.dropout = Dropout(dropout)

    def coarse(self, states: Tensor, source: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Mel before the convolutions, and stop logits.

        Args:
            states: (B, N / r, D).
            source: (B, N, M) log-mel of the source, for a prediction from it.

        Returns:
            (B, N, M) and (B, N).
        """
        return self.predicted(self.feat_out(states), source), self.prob_out(states).flatten(1)

    def predicted(self, numbers: Tensor, source: Tensor | None) -> Tensor:
        """What the mel Linear gives, (B, N / r, r x M), as mel (B, N, M); ``source`` as in ``coarse``."""
        predicted = numbers.unflatten(-1, (self.reduction, MEL_BINS)).flatten(1, 2)
        if self.prediction == "residual":
            predicted = source + predicted
        elif self.prediction == "mask":  # a product of magnitudes is a sum of their logarithms
            predicted = (source + F.logsigmoid(predicted) / math.log(10)).clamp(min=math.log10(MEL_FLOOR))
        return predicted

    def forward(self, states: Tensor, frame_lengths: Tensor, source: Tensor | None = None) -> SpeechDecoderOutput:
        """states (B, N / r, D), frame_lengths (B,) valid mel frames -> mel (B, N, M) twice and stop logits (B, N)."""
        coarse, stop_logits = self.coarse(states, source)
        return SpeechDecoderOutput(coarse, self.refine(coarse, frame_lengths), stop_logits, frame_lengths)

    def refine(self, coarse: Tensor, frame_lengths: Tensor) -> Tensor:
        """Add the convolutions' correction to coarse (B, N, M); frames past the end count as silence in them."""
        valid = valid_mask(frame_lengths, coarse.size(1))
        states = (coarse * valid[:, :, None]).transpose(1, 2)
        for number, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            states = norm(conv(states), valid)
            if number < len(self.convs) - 1:
                states = torch.tanh(states)
            states = self.dropout(states)
        return coarse + states.transpose(1, 2)
