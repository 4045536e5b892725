"""Losses of mel prediction.

Shapes: B batch, N mel frames, M mel bins.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ..outputs import SpeechDecoderOutput

STOP_WEIGHT = 5.0  # of the one positive stop frame of an utterance


class SpeechLoss(NamedTuple):
    l1: Tensor  # () mean absolute error of the coarse plus that of the refined mel, over valid frames and bins
    stop: Tensor  # () mean stop cross-entropy over valid frames


def speech_loss(output: SpeechDecoderOutput, target: Tensor) -> SpeechLoss:
    """L1 before and after the post-net, and the stop loss with weight 5 on the last valid frame.

    Args:
        output: of the speech decoder.
        target: (B, >= N, M) log-mel; frames past the output are those trimmed to a multiple of r.
    """
    size = output.coarse.size(1)
    positions = torch.arange(size, device=target.device)
    valid = positions < output.lengths[:, None]
    wanted = target[:, :size][valid].float()
    l1 = F.l1_loss(output.coarse[valid].float(), wanted) + F.l1_loss(output.refined[valid].float(), wanted)
    last = (positions == output.lengths[:, None] - 1)[valid].float()
    weight = torch.tensor(STOP_WEIGHT, device=target.device)
    stop = F.binary_cross_entropy_with_logits(output.stop_logits[valid].float(), last, pos_weight=weight)
    return SpeechLoss(l1, stop)
