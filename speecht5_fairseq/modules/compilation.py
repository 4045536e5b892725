"""torch.compile for the layers of a stack, in place: tensors keep their names, checkpoints and copies are as ever.

A compiled layer takes torch's operations where others have own ones for the same (``fused_by_compiler``): the compiler
fuses them and computes what is cheap again in the backward pass, and it cannot look into ours.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

import torch
from torch import Tensor, nn

logger = logging.getLogger(__name__)


def compile_layers(layers: Iterable[nn.Module], *, device: str) -> None:
    """Have each layer compiled at its first call, for batches of any size.

    Where nothing can be compiled, one warning says why, and the layers run as they are.

    Args:
        device: where they will run, "cpu" or "cuda".
    """
    why = obstacle(device)
    if why is not None:
        logger.warning("no effect: --compile-layers; torch.compile does not work here (%s)", why)
        return
    for layer in layers:
        layer.compile(dynamic=True)


def obstacle(device: str) -> str | None:
    """Why torch.compile does not work on ``device``, a C++ compiler that is not there, say; None where it does."""
    try:
        torch.compile(_probe)(torch.ones(2, device=device))
    except (RuntimeError, OSError, ImportError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return f"{type(error).__name__}: {lines[0] if lines else 'no reason given'}"
    return None


def _probe(numbers: Tensor) -> Tensor:
    return numbers.sin() + 1
