"""Losses of speaker identification: cross-entropy over the classes, with a margin in the angle or the cosine.

AM-softmax: Wang et al. 2018, arXiv 1801.05599. AAM-softmax (ArcFace): Deng et al. 2019, arXiv 1801.07698.
Shapes: B batch, C classes.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

LEAST_SQUARED_SINE = 1e-6  # below it the sine's gradient, cos / sin, grows without bound and is left out


class ClassLoss(NamedTuple):
    loss: Tensor  # () summed over the utterances
    correct: Tensor  # () utterances whose best class is right, no margin applied


def class_loss(
    logits: Tensor, target: Tensor, *, kind: str = "softmax", margin: float = 0.0, scale: float = 1.0
) -> ClassLoss:
    """Cross-entropy of the classes.

    Args:
        logits: (B, C); for the kinds with a margin, ``scale`` times the cosine of utterance and class.
        target: (B,) class.
        kind: "softmax", "am" (margin off the target's cosine) or "aam" (margin on to the target's angle, radians).
        margin: 0 for evaluation.
        scale: of the logits.
    """
    correct = (logits.argmax(-1) == target).sum()
    if kind != "softmax" and margin > 0:
        cosine = logits.gather(1, target[:, None]) / scale
        narrowed = cosine - margin if kind == "am" else add_angle(cosine, margin)
        logits = logits.scatter(1, target[:, None], (scale * narrowed).to(logits.dtype))
    return ClassLoss(F.cross_entropy(logits, target, reduction="sum"), correct)


def add_angle(cosine: Tensor, margin: float) -> Tensor:
    """cos(theta + margin) of cosines = cos(theta), any shape, with gradients that stay finite at theta = 0 and pi.

    Beyond theta = pi - margin, where cos(theta + margin) would rise again, a line goes on: cos(theta) - margin x
    sin(margin), as in ArcFace.
    """
    sine = (1 - cosine.square()).clamp(min=LEAST_SQUARED_SINE).sqrt()
    turned = cosine * math.cos(margin) - sine * math.sin(margin)
    return torch.where(cosine > math.cos(math.pi - margin), turned, cosine - margin * math.sin(margin))
