"""Products of a few rows with a weight that is read again at every step of decoding.

With so few rows a product takes the time that its weight takes to be read, so what counts is how the weight lies in
memory, and its width in bytes. Shapes: N rows, I inputs, O outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .adapters import AdaptedLinear
from .precision import has_bfloat16, has_half_weights

PACKED_FOR = 16  # rows that oneDNN lays a weight out for; it takes any number of them


class RowProduct:
    """What some Linears make of the same rows, side by side; a copy of their weights, which later changes do not reach.

    Low-rank updates are folded into the copies; a bottleneck behind a Linear comes after its product.

    Args:
        linears: of one input width I; O is the sum of their outputs.
        dtype: of the product; None for the weights' own. float16 on a CPU is that of the weights alone: they are
            widened as they are read, and rows, products and sums are float32.

    Raises:
        ValueError: a bottleneck behind one Linear of several.
    """

    def __init__(self, linears: Sequence[nn.Linear], dtype: torch.dtype | None = None) -> None:
        adapted = [linear for linear in linears if isinstance(linear, AdaptedLinear) and linear.adapter is not None]
        if adapted and len(linears) > 1:
            raise ValueError("a bottleneck stands behind one Linear, not behind the joined product of several")
        self.behind = adapted[0].adapter if adapted else None
        weight = torch.cat([_weight(linear) for linear in linears])
        bias = torch.cat([linear.bias.detach() for linear in linears])
        self.kept_in = weight.dtype if dtype is None else dtype
        self.dtype, self.multiply = _fastest(weight, bias, self.kept_in)

    def __call__(self, rows: Tensor) -> Tensor:
        """rows (..., I) -> (..., O) of the same dtype."""
        outputs = self.multiply(rows.to(self.dtype)).to(rows.dtype)
        return outputs if self.behind is None else self.behind(outputs)


def _weight(linear: nn.Linear) -> Tensor:
    return linear.folded_weight() if isinstance(linear, AdaptedLinear) else linear.weight.detach()


def _fastest(weight: Tensor, bias: Tensor, dtype: torch.dtype) -> tuple[torch.dtype, Callable[[Tensor], Tensor]]:
    """Of which numbers the rows must be, and what multiplies them, in the way that is fastest for few of them."""
    on_cpu = weight.device.type == "cpu"
    if on_cpu and dtype == torch.float16 and has_half_weights():
        halves = torch.ops.quantized.linear_prepack_fp16(weight.float(), bias.float())
        return torch.float32, lambda rows: torch.ops.quantized.linear_dynamic_fp16(rows, halves)
    weight, bias = weight.to(dtype), bias.to(dtype)
    if on_cpu and _is_for_onednn(dtype):
        packed = torch.ops.mkldnn._reorder_linear_weight(weight, PACKED_FOR)
        return dtype, lambda rows: torch.ops.mkldnn._linear_pointwise(rows, packed, bias, "none", [], "")
    # MKL multiplies some rows faster by a weight whose inputs, not outputs, are a column apart.
    laid_out = weight.t().contiguous().t() if on_cpu else weight
    return dtype, lambda rows: F.linear(rows, laid_out, bias)


def _is_for_onednn(dtype: torch.dtype) -> bool:
    """Whether a CPU's fastest product is oneDNN's, by a weight as it wants to read it: what torch.compile calls.

    Of float32, MKL is as fast with AVX-512, and slower without (of AMD, up to twice).
    """
    if not torch.backends.mkldnn.is_available():
        return False
    if dtype == torch.float32:
        return torch.backends.cpu.get_cpu_capability() == "AVX2"
    return dtype == torch.bfloat16 and has_bfloat16(torch.device("cpu"))
