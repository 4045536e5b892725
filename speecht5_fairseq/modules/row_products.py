"""Products of a few rows with a weight that is read again at every step of decoding.

With so few rows a product takes the time that its weight takes to be read, so what counts is how the weight lies in
memory, and its width in bytes. Shapes: N rows, I inputs, O outputs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .adapters import AdaptedLinear
from .precision import has_bfloat16

PACKED_FOR = 16  # rows that oneDNN lays a weight out for; it takes any number of them


class RowProduct:
    """What some Linears make of the same rows, side by side; a copy of their weights, which later changes do not reach.

    Low-rank updates are folded into the copies; a bottleneck behind a Linear comes after its product.

    Args:
        linears: of one input width I; O is the sum of their outputs.
        dtype: of the product; None for the weights' own.

    Raises:
        ValueError: a bottleneck behind one Linear of several.
    """

    def __init__(self, linears: Sequence[nn.Linear], dtype: torch.dtype | None = None) -> None:
        adapted = [linear for linear in linears if isinstance(linear, AdaptedLinear) and linear.adapter is not None]
        if adapted and len(linears) > 1:
            raise ValueError("a bottleneck stands behind one Linear, not behind the joined product of several")
        self.behind = adapted[0].adapter if adapted else None
        weight = torch.cat([_weight(linear) for linear in linears])
        self.dtype = weight.dtype if dtype is None else dtype
        self.bias = torch.cat([linear.bias.detach() for linear in linears]).to(self.dtype)
        weight = weight.to(self.dtype)
        self.packed = _pack(weight)
        # MKL multiplies some rows faster by a weight whose inputs, not outputs, are a column apart.
        on_cpu = weight.device.type == "cpu"
        self.weight = None if self.packed is not None else weight.t().contiguous().t() if on_cpu else weight

    def __call__(self, rows: Tensor) -> Tensor:
        """rows (..., I) -> (..., O) of the same dtype."""
        inputs = rows.to(self.dtype)
        if self.packed is None:
            outputs = F.linear(inputs, self.weight, self.bias)
        else:
            outputs = torch.ops.mkldnn._linear_pointwise(inputs, self.packed, self.bias, "none", [], "")
        outputs = outputs.to(rows.dtype)
        return outputs if self.behind is None else self.behind(outputs)


def _weight(linear: nn.Linear) -> Tensor:
    return linear.folded_weight() if isinstance(linear, AdaptedLinear) else linear.weight.detach()


def _pack(weight: Tensor) -> Tensor | None:
    """A weight on a CPU as oneDNN wants to read it, where that is the fastest: it is what torch.compile calls.

    Of float32, MKL is as fast with AVX-512, and slower without (of AMD, up to twice).
    """
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return None
    packed = {
        torch.bfloat16: has_bfloat16(weight.device),
        torch.float32: torch.backends.cpu.get_cpu_capability() == "AVX2",
    }
    return torch.ops.mkldnn._reorder_linear_weight(weight, PACKED_FOR) if packed.get(weight.dtype) else None
