"""Small trained additions to a Linear whose own weight is left as it is.

A low-rank update beside the product (LoRA, Hu et al., arXiv 2106.09685), and a bottleneck behind it (Houlsby et al.,
arXiv 1902.00751, normalised first as by Bapna and Firat, arXiv 1909.08478). Both start as nothing: what multiplies last
is zero. ``weight`` and ``bias`` keep their names, so that the tensors of a model without additions still fit.

Shapes: I inputs, O outputs, r rank, W width of the bottleneck.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .gelu_products import GeluLinear
from .precision import apply, fused_by_compiler
from .randomness import Dropout

# Linears that take a low-rank update: name of the option -> attribute in an attention or a feed-forward net.
TARGETS = {"q": "q_proj", "k": "k_proj", "v": "v_proj", "out": "out_proj", "fc1": "fc1", "fc2": "fc2"}
LAST = ("out_proj", "fc2")  # what an attention and a feed-forward net end with: a bottleneck stands behind them


class Bottleneck(nn.Module):
    """states + up(relu(down(norm(states)))), with ``up`` zero at the start."""

    def __init__(self, *, dim: int, width: int) -> None:
        super().__init__()
        self.layer_norm = nn.LayerNorm(dim)
        self.down = nn.Linear(dim, width)
        self.up = nn.Linear(width, dim)
        nn.init.normal_(self.down.weight, std=0.02)
        for zero in (self.down.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(zero)

    def forward(self, states: Tensor) -> Tensor:
        """(..., O) -> (..., O)."""
        return states + self.up(F.relu(self.down(self.layer_norm(states))))


class AdaptedLinear(nn.Linear):
    """A Linear with a low-rank update, a bottleneck behind it, or both: (..., I) -> (..., O).

    Attributes:
        lora_a: (r, I), or None without a low-rank update.
        lora_b: (O, r), zero at the start, or None.
        scale: alpha / r.
        adapter: the bottleneck, or None.
    """

    def __init__(self, linear: nn.Linear) -> None:
        """Takes over the parameters of ``linear``, the same objects."""
        super().__init__(linear.in_features, linear.out_features, bias=linear.bias is not None, device="meta")
        self.weight, self.bias = linear.weight, linear.bias
        self.register_parameter("lora_a", None)
        self.register_parameter("lora_b", None)
        self.register_module("adapter", None)
        self.lora_dropout = Dropout(0.0)
        self.scale = 0.0

    def add_low_rank(self, *, rank: int, alpha: float, dropout: float) -> None:
        """``dropout`` acts on what goes into the update, not on what goes into the product."""
        self.lora_a = nn.Parameter(self.weight.new_empty(rank, self.in_features))
        self.lora_b = nn.Parameter(self.weight.new_zeros(self.out_features, rank))
        nn.init.kaiming_uniform_(self.lora_a, a=math.sqrt(5))  # as a Linear's own weight
        self.lora_dropout = Dropout(dropout)
        self.scale = alpha / rank

    def add_bottleneck(self, width: int) -> None:
        self.adapter = Bottleneck(dim=self.out_features, width=width)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs = super().forward(inputs)
        if self.lora_a is not None:
            outputs = self._updated(outputs, F.linear(self.lora_dropout(inputs), self.lora_a))
        return outputs if self.adapter is None else self.adapter(outputs)

    def of_gelu(self, states: Tensor) -> Tensor:
        """forward(gelu(states)) that keeps no more than GELU's input for the backward pass, unless dropout needs it."""
        if self.training and self.lora_dropout.p > 0:
            return self(F.gelu(states))
        outputs = apply(GeluLinear, states, self.weight, self.bias)
        if self.lora_a is not None:
            no_bias = self.lora_a.new_zeros(len(self.lora_a))
            outputs = self._updated(outputs, apply(GeluLinear, states, self.lora_a, no_bias))
        return outputs if self.adapter is None else self.adapter(outputs)

    def _updated(self, outputs: Tensor, narrow: Tensor) -> Tensor:
        """outputs (..., O), narrow (..., r) -> (..., O)."""
        return outputs + self.scale * F.linear(narrow, self.lora_b)

    @torch.no_grad()
    def folded_weight(self) -> Tensor:
        """The weight with the low-rank update in it: (O, I)."""
        if self.lora_a is None:
            return self.weight
        update = self.scale * (self.lora_b.double() @ self.lora_a.double())
        return (self.weight.double() + update).to(self.weight.dtype)

    def folded(self) -> nn.Linear:
        """A plain Linear with the low-rank update in its weight; the bias is the same object.

        Raises:
            ValueError: a bottleneck, which no Linear can stand for.
        """
        if self.adapter is not None:
            raise ValueError("a bottleneck is no linear map: it cannot be folded into the weight before it")
        linear = nn.Linear(self.in_features, self.out_features, bias=self.bias is not None, device="meta")
        linear.weight, linear.bias = self.weight, self.bias
        if self.lora_a is not None:
            linear.weight = nn.Parameter(self.folded_weight())
        return linear


def linear_of_gelu(linear: nn.Linear, states: Tensor) -> Tensor:
    """linear(gelu(states)), with whatever was added to ``linear``: (..., I) -> (..., O)."""
    if fused_by_compiler():
        return linear(F.gelu(states))
    if isinstance(linear, AdaptedLinear):
        return linear.of_gelu(states)
    return apply(GeluLinear, states, linear.weight, linear.bias)


def add_low_rank(part: nn.Module, *, targets: Collection[str], rank: int, alpha: float, dropout: float) -> None:
    """Give the Linears that ``targets`` names (keys of ``TARGETS``) a low-rank update, in every layer of ``part``."""
    for linear in _adapted(part, {TARGETS[target] for target in targets}):
        linear.add_low_rank(rank=rank, alpha=alpha, dropout=dropout)


def add_bottlenecks(part: nn.Module, *, width: int) -> None:
    """Put a bottleneck behind every attention and feed-forward net of ``part``, before the residual sum."""
    for linear in _adapted(part, LAST):
        linear.add_bottleneck(width)


def fold(model: nn.Module) -> None:
    """Replace every ``AdaptedLinear`` of ``model`` by its ``folded`` Linear."""
    for holder, name, linear in list(_linears(model, TARGETS.values())):
        if isinstance(linear, AdaptedLinear):
            setattr(holder, name, linear.folded())


def _adapted(part: nn.Module, names: Collection[str]) -> Iterator[AdaptedLinear]:
    for holder, name, linear in list(_linears(part, names)):
        if not isinstance(linear, AdaptedLinear):
            linear = AdaptedLinear(linear)
            setattr(holder, name, linear)
        yield linear


def _linears(part: nn.Module, names: Collection[str]) -> Iterator[tuple[nn.Module, str, nn.Linear]]:
    """(holder, attribute, Linear) of every Linear below ``part`` under one of the names."""
    for holder in part.modules():
        for name, child in holder.named_children():
            if name in names and isinstance(child, nn.Linear):
                yield holder, name, child
