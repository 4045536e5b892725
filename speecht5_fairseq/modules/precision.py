"""Own operations under autocast (fairseq's --amp) and under torch.compile; what the device has of half precision."""

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
    cast = [to_product(x) if isinstance(x, Tensor) else x for x in inputs]
    with torch.autocast(device, enabled=False):
        return function.apply(*cast)


def to_product(tensor: Tensor) -> Tensor:
    """``tensor`` as autocast's products would take it; itself without autocast, and where it is float64 or integers."""
    device = tensor.device.type
    if not tensor.is_floating_point() or tensor.dtype == torch.float64 or not torch.is_autocast_enabled(device):
        return tensor
    return tensor.to(torch.get_autocast_dtype(device))


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 itself; where it does not, torch widens the numbers, which is slow."""
    if device.type == "cpu":
        return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)


def has_half_weights() -> bool:
    """Whether the CPU multiplies float32 by weights that are kept in float16, half as much to read."""
    return torch.backends.quantized.engine in ("fbgemm", "x86")


def fused_by_compiler() -> bool:
    """Whether torch.compile is at work: on torch's operations, since it cannot look into own ones."""
    return torch.compiler.is_compiling()
