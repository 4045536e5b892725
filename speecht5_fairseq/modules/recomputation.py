"""Parts that keep their inputs for the backward pass, and compute the rest again there.

What comes out is the same bit for bit: dropout draws the same numbers again, and autocast is as it was. The layers of
the encoder and the decoder do so. The extractor's convolutions do not: when their backward pass begins, all else is
gone, and the gradients of the widest two take as much as would be saved.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch.utils.checkpoint import checkpoint

Result = TypeVar("Result")


def recomputed(part: Callable[..., Result], *inputs: Any, when: bool, **options: Any) -> Result:
    """``part(*inputs, **options)``; ``when`` there is a gradient to come, nothing inside is kept for it."""
    if not (when and torch.is_grad_enabled()):
        return part(*inputs, **options)
    return checkpoint(part, *inputs, use_reentrant=False, **options)
