"""Own operations under autocast (fairseq's --amp)."""

from __future__ import annotations

import torch
from torch import Tensor


def apply(function: type[torch.autograd.Function], *inputs: object) -> Tensor:
    """``function.apply(*inputs)``; under autocast in its precision, as torch's own products are.

    The device is that of the first input.
    """
    device = inputs[0].device.type
    if not torch.is_autocast_enabled(device):
        return function.apply(*inputs)
    dtype = torch.get_autocast_dtype(device)
    cast = (x.to(dtype) if isinstance(x, Tensor) and x.is_floating_point() else x for x in inputs)
    with torch.autocast(device, enabled=False):
        return function.apply(*cast)
