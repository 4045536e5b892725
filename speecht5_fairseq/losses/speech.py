"""Losses of mel prediction.

Shapes: B batch, N mel frames, M mel bins, L decoder steps, T encoder positions, W watched heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ..outputs import SpeechDecoderOutput

STOP_WEIGHT = 5.0  # of the one positive stop frame of an utterance


class SpeechLoss(NamedTuple):
    l1: Tensor  # () mean absolute error of the coarse plus that of the refined mel, over valid frames and bins
    l2: Tensor  # () mean squared error of both likewise
    stop: Tensor  # () mean stop cross-entropy over valid frames


def speech_loss(output: SpeechDecoderOutput, target: Tensor, *, stop_weight: float = STOP_WEIGHT) -> SpeechLoss:
    """L1 and L2 before and after the post-net, and the stop loss with a weight on the last valid frame.

    Args:
        output: of the speech decoder.
        target: (B, >= N, M) log-mel; frames past the output are those trimmed to a multiple of r.
        stop_weight: of the positive frame.
    """
    size = output.coarse.size(1)
    positions = torch.arange(size, device=target.device)
    valid = positions < output.lengths[:, None]
    wanted = target[:, :size][valid].float()
    both = [mel[valid].float() for mel in (output.coarse, output.refined)]
    last = (positions == output.lengths[:, None] - 1)[valid].float()
    weight = torch.tensor(stop_weight, device=target.device)
    return SpeechLoss(
        l1=sum(F.l1_loss(mel, wanted) for mel in both),
        l2=sum(F.mse_loss(mel, wanted) for mel in both),
        stop=F.binary_cross_entropy_with_logits(output.stop_logits[valid].float(), last, pos_weight=weight),
    )


def guided_attention_loss(attention: Sequence[Tensor], steps: Tensor, positions: Tensor, *, sigma: float) -> Tensor:
    """Attention far from the diagonal (Tachibana et al., arXiv 1710.08969), mean over the valid cells.

    A cell (i, j) of an utterance of I steps and J positions counts (1 - exp(-(i / I - j / J)^2 / (2 sigma^2))) x
    attention(i, j).

    Args:
        attention: (B, W, L, T) probabilities of each layer; none (all skipped by layerdrop) gives 0.
        steps: (B,) decoder steps, I.
        positions: (B,) encoder positions, J.
        sigma: width of the diagonal that costs little.
    """
    if not attention:
        return torch.zeros((), device=steps.device)
    weights = torch.cat(list(attention), dim=1)  # the heads of all layers side by side
    i = torch.arange(weights.size(2), device=steps.device)[None, :, None]
    j = torch.arange(weights.size(3), device=steps.device)[None, None, :]
    steps, positions = steps[:, None, None], positions[:, None, None]
    valid = (i < steps) & (j < positions)
    far = i / steps.clamp(min=1) - j / positions  # a target shorter than a step has no cell
    cost = (1.0 - torch.exp(-(far**2) / (2.0 * sigma**2))) * valid
    return (weights.float() * cost[:, None]).sum() / (valid.sum() * weights.size(1))


def focus_rate(attention: Sequence[Tensor], steps: Tensor) -> Tensor:
    """How sharply the most decided head attends (FastSpeech, arXiv 1905.09263): (B,), 1 / T (nowhere) to 1 (one place).

    The largest probability of each step, averaged over an utterance's steps; the best head of all counts.

    Args:
        attention: (B, W, L, T) of each layer.
        steps: (B,) decoder steps.
    """
    peaks = torch.cat(list(attention), dim=1).amax(-1)  # (B, W, L)
    valid = torch.arange(peaks.size(2), device=steps.device) < steps[:, None]
    return ((peaks * valid[:, None]).sum(-1) / steps[:, None].clamp(min=1)).amax(-1)
