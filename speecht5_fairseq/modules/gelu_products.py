"""GELU and the product behind it as one operation that keeps only GELU's input.

Autograd would keep GELU's input and its output, the largest tensors of a model; the output is one cheap pass over the
input, so the backward pass computes it again.

Shapes: B batch, R rows (time steps), s stride, k kernel, C channels in, O channels out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

TILE = 1 << 22  # most numbers at a time on a CPU: 16 MiB in float32 stay in the cache


class GeluLinear(torch.autograd.Function):
    """linear(gelu(states), weight, bias): states (..., C), weight (O, C), bias (O,) -> (..., O)."""

    @staticmethod
    def forward(ctx, states, weight, bias):  # noqa: D102
        ctx.save_for_backward(states, weight)
        flat = states.reshape(-1, states.size(-1))
        output = flat.new_empty(len(flat), len(weight))
        for rows, _ in _tiles(flat):
            torch.addmm(bias, F.gelu(flat[rows]), weight.T, out=output[rows])
        return output.view(*states.shape[:-1], -1)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):  # noqa: D102
        states, weight = ctx.saved_tensors
        flat, grad = states.reshape(-1, states.size(-1)), grad.reshape(-1, len(weight))
        grad_states = torch.empty_like(flat)
        grad_weight = torch.zeros_like(weight) if ctx.needs_input_grad[1] else None  # frozen parts have none
        for rows, _ in _tiles(flat):
            torch.ops.aten.gelu_backward(grad[rows] @ weight, flat[rows], grad_input=grad_states[rows])
            if grad_weight is not None:
                grad_weight.addmm_(grad[rows].T, F.gelu(flat[rows]))
        return grad_states.view_as(states), grad_weight, grad.sum(0)


class Taps(NamedTuple):
    """The weight of a convolution as two matrices: its taps below the stride, and the others."""

    near: Tensor  # (s C, O)
    far: Tensor  # ((k - s) C, O)


def taps(weight: Tensor, stride: int) -> Taps:
    """(O, C, k) -> its taps, laid out for ``GeluConv``."""
    by_tap = weight.permute(2, 1, 0)
    return Taps(*(some.reshape(-1, len(weight)).contiguous() for some in (by_tap[:stride], by_tap[stride:])))


class GeluConv(torch.autograd.Function):
    """Convolution of gelu(states) over time, time before channels: (B, R, C), two ``Taps`` -> (B, R / s, O).

    R is a multiple of s, and s <= k <= 2 s. Row t of the result reads rows s t .. s t + k - 1; where these end past R,
    at the end of an utterance, the row is meaningless and its gradient must be zero.

    s rows of the input side by side are a row of a matrix: the taps below s are a product with that matrix, the others
    one with the same matrix from its second row on. Nothing is copied or padded.
    """

    @staticmethod
    def forward(ctx, states, near, far):  # noqa: D102
        ctx.save_for_backward(states, near, far)
        windows = states.reshape(-1, len(near))
        output = windows.new_empty(len(windows), near.size(1))
        for rows, reach in _tiles(windows):
            active = F.gelu(windows[rows.start : reach])
            torch.mm(active[: rows.stop - rows.start], near, out=output[rows])
            shifted = active[1:, : len(far)]
            output[rows.start : rows.start + len(shifted)].addmm_(shifted, far)
        return output.view(states.size(0), -1, near.size(1))

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):  # noqa: D102
        states, near, far = ctx.saved_tensors
        windows = states.reshape(-1, len(near))
        grad = grad.reshape(-1, near.size(1))
        grad_windows, grad_near, grad_far = torch.empty_like(windows), torch.zeros_like(near), torch.zeros_like(far)
        carried = grad.new_zeros(len(far))  # of the last row, for the first window of the next tile
        for rows, reach in _tiles(windows):
            here, active = grad[rows], F.gelu(windows[rows.start : reach])
            shifted = active[1:, : len(far)]
            grad_near.addmm_(active[: len(here)].T, here)
            grad_far.addmm_(shifted.T, here[: len(shifted)])
            grad_active = here @ near.T
            grad_active[0, : len(far)] += carried
            grad_active[1:, : len(far)].addmm_(here[:-1], far.T)
            carried = far @ here[-1]
            torch.ops.aten.gelu_backward(grad_active, windows[rows], grad_input=grad_windows[rows])
        return grad_windows.view_as(states), grad_near, grad_far


def _tiles(windows: Tensor) -> Iterator[tuple[slice, int]]:
    """Rows of a tile, all of like size, and where the rows end that it reads: one further, except at the very end."""
    count = math.ceil(windows.numel() / TILE) if windows.device.type == "cpu" else 1
    step = max(1, math.ceil(len(windows) / max(1, count)))
    for start in range(0, len(windows), step):
        stop = min(start + step, len(windows))
        yield slice(start, stop), min(stop + 1, len(windows))
