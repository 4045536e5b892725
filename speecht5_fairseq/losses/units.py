"""Losses of masked-unit prediction and of the quantizer.

Shapes: P frames, U units, G groups, C entries of a group.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor
from torch.nn import functional as F

from ..constants import IGNORED_LABEL


class UnitLoss(NamedTuple):
    loss: Tensor  # () cross-entropy summed over the frames
    correct: Tensor  # () frames whose best guess is right
    frames: Tensor  # () frames counted


def unit_loss(logits: Tensor, units: Tensor) -> UnitLoss:
    """Cross-entropy of logits (P, U) against units (P,), ``IGNORED_LABEL`` where a frame has no unit."""
    counted = units.ne(IGNORED_LABEL)
    loss = F.cross_entropy(logits.float(), units, ignore_index=IGNORED_LABEL, reduction="sum")
    return UnitLoss(loss, (logits.argmax(-1).eq(units) & counted).sum(), counted.sum())


def diversity_loss(prob_perplexity: Tensor, code_counts: Tensor) -> Tensor:
    """(N - perplexity) / N with N = G x C: 0 when every entry of the codebook is as likely as any other."""
    total = code_counts.numel()
    return (total - prob_perplexity) / total
