"""GroupNorm with a group a channel, over each utterance's own time.

Shapes: B batch, C channels, T frames. The tensors here are the largest of the model (base, 10 s: 16 million numbers an
utterance), so the padded case has a backward pass of its own that makes no copy of them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class TimeGroupNorm(nn.GroupNorm):
    """Every channel normalised over the valid frames of its utterance, as if the utterance stood alone."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels)

    def forward(self, states: Tensor, lengths: Tensor | None = None) -> Tensor:
        """states (B, C, T), lengths (B,) valid frames or None for all -> (B, C, T), zero at padding."""
        if lengths is None:
            return super().forward(states)
        weight, bias = self.weight.to(states.dtype), self.bias.to(states.dtype)
        return _PaddedTimeNorm.apply(states, lengths, weight, bias, self.eps)


class _PaddedTimeNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, states, lengths, weight, bias, eps):
        output = torch.zeros_like(states)
        means, scales = [], []
        for row, out, length in zip(states, output, lengths.tolist(), strict=True):
            valid = row[:, :length]
            variance, mean = torch.var_mean(valid, dim=1, correction=0, keepdim=True)
            scale = torch.rsqrt(variance + eps)
            gain = weight[:, None] * scale
            out[:, :length] = torch.addcmul(bias[:, None] - mean * gain, valid, gain)
            means.append(mean)
            scales.append(scale)
        ctx.save_for_backward(states, lengths, weight, torch.stack(means), torch.stack(scales))
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        states, lengths, weight, means, scales = ctx.saved_tensors
        sums = torch.promote_types(states.dtype, torch.float32)  # half would overflow
        grad_states = torch.zeros_like(states)
        grad_weight = torch.zeros_like(means[0], dtype=sums)  # (C, 1)
        grad_bias = torch.zeros_like(grad_weight)
        rows = zip(states, grad, grad_states, lengths.tolist(), means, scales, strict=True)
        for row, grad_row, out, length, mean, scale in rows:
            normed = (row[:, :length] - mean).mul_(scale)
            incoming = grad_row[:, :length]
            total = incoming.sum(1, keepdim=True, dtype=sums)
            product = (incoming * normed).sum(1, keepdim=True, dtype=sums)
            grad_weight += product
            grad_bias += total
            # d normed / d states of a norm over `length` frames
            inner = incoming - (total / length).to(grad.dtype) - normed.mul_(product / length)
            out[:, :length] = inner.mul_(weight[:, None] * scale)
        return grad_states, None, grad_weight[:, 0].to(weight.dtype), grad_bias[:, 0].to(weight.dtype), None
