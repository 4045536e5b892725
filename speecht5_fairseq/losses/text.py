"""Losses over tokens: cross-entropy with label smoothing, and CTC.

Shapes: B batch, T encoder frames, L tokens, V vocabulary.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class TokenLoss(NamedTuple):
    loss: Tensor  # () smoothed, summed over the tokens
    nll: Tensor  # () negative log-likelihood, summed over the tokens
    correct: Tensor  # () tokens whose best guess is right
    tokens: Tensor  # () tokens counted


def token_loss(logits: Tensor, target: Tensor, *, padding: int, smoothing: float) -> TokenLoss:
    """Label-smoothed cross-entropy: 1 - s of the mass on the target, s spread evenly over the other V - 1 symbols.

    Args:
        logits: (B, L, V); computed on in float32.
        target: (B, L), ``padding`` where nothing counts.
        padding: index that is not counted.
        smoothing: s in [0, 1).
    """
    counted = target.ne(padding)
    logits, target = logits[counted].float(), target[counted]
    nll = F.cross_entropy(logits, target, reduction="sum")
    loss = nll
    if smoothing > 0:  # torch spreads its share over all V symbols, the target too
        spread = smoothing * logits.size(-1) / (logits.size(-1) - 1)
        loss = F.cross_entropy(logits, target, reduction="sum", label_smoothing=spread)
    return TokenLoss(loss, nll, (logits.argmax(-1) == target).sum(), counted.sum())


def ctc_loss(
    logits: Tensor, lengths: Tensor, target: Tensor, target_lengths: Tensor, *, blank: int, zero_infinity: bool
) -> Tensor:
    """CTC loss of each utterance, (B,), in float32.

    Args:
        logits: (B, T, V).
        lengths: (B,) valid frames.
        target: (B, L) symbols without blank; entries past ``target_lengths`` are ignored.
        target_lengths: (B,) symbols.
        blank: index of the blank.
        zero_infinity: an utterance with more symbols than its frames can hold counts 0 and not infinity.
    """
    log_probs = logits.float().log_softmax(-1).transpose(0, 1)
    with torch.backends.cudnn.flags(enabled=False):  # its CTC wants other types of targets and lengths
        return F.ctc_loss(
            log_probs, target, lengths, target_lengths, blank=blank, reduction="none", zero_infinity=zero_infinity
        )


def ctc_needs_frames(target: Tensor, target_lengths: Tensor) -> Tensor:
    """(B,) frames that CTC needs at least: one a symbol, and a blank between two equal neighbours."""
    inside = torch.arange(target.size(1), device=target.device)[1:] < target_lengths[:, None]
    repeats = (target[:, 1:].eq(target[:, :-1]) & inside).sum(1)
    return target_lengths + repeats
