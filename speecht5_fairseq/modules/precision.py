"""Own operations under autocast (fairseq's --amp), and where torch.compile takes their place."""

from __future__ import annotations

import torch
from torch import Tensor


def apply(function: type[torch.autograd.Function], *inputs: object) -> Tensor:
    """``function.apply(*inputs)``; under autocast in its precision, as torch's own products are (float64 stays).

    The device is that of the first input.
    """
    device = inputs[0].device.type
    if not torch.is_autocast_enabled(device):
        return function.apply(*inputs)
    dtype = torch.get_autocast_dtype(device)
    cast = (x.to(dtype) if _is_cast(x) else x for x in inputs)
    with torch.autocast(device, enabled=False):
        return function.apply(*cast)


def _is_cast(value: object) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point() and value.dtype != torch.float64


def fused_by_compiler() -> bool:
    """Whether torch.compile is at work: on torch's operations, since it cannot look into own ones."""
    return torch.compiler.is_compiling()
