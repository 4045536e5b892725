"""Attention with a relative term, with a backward pass that keeps one (L, T) tensor a head instead of six.

torch's fused attention gives no gradient to an additive mask, so with a learned bias it falls back to separate
operations and autograd keeps the result of each. Here the forward pass keeps only the attention probabilities; the sign
of an entry tells whether dropout dropped it, so the dropout mask costs nothing.

Shapes: B batch, H heads, L queries, T keys, d width of a head, R rows of the relative table.
"""

from __future__ import annotations

import torch
from torch.autograd.function import once_differentiable


class RelativeAttention(torch.autograd.Function):
    """softmax(q k' + gather(q table') + bias) v; queries come already divided by sqrt(d).

    Inputs: query (B, H, L, d), key and value (B, H, T, d), table (R, d), rows (L, T) int64 row of the table for each
    pair, bias additive without gradient or None, dropout probability. Output: (B, H, L, d).
    """

    @staticmethod
    def forward(ctx, query, key, value, table, rows, bias, dropout):  # noqa: D102
        scores = torch.gather(query @ table.T, -1, rows.expand(*query.shape[:2], *rows.shape))
        if bias is not None:
            scores += bias
        scores.flatten(0, 1).baddbmm_(query.flatten(0, 1), key.flatten(0, 1).transpose(1, 2))  # in place: a view
        probs = torch.softmax(scores, dim=-1)
        del scores
        kept = 1.0 - dropout
        if dropout > 0:
            drop = torch.empty_like(probs, dtype=torch.bool).bernoulli_(dropout)
            probs = torch.where(drop, -probs, probs)
        ctx.save_for_backward(query, key, value, table, rows, probs)
        ctx.kept = kept
        return (probs.clamp(min=0) if dropout > 0 else probs) @ value / kept

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):  # noqa: D102
        query, key, value, table, rows, signed = ctx.saved_tensors
        grad = grad / ctx.kept
        used = signed if ctx.kept == 1.0 else signed.clamp(min=0)
        grad_value = used.transpose(-2, -1) @ grad
        grad_probs = grad @ value.transpose(-2, -1)
        # softmax: p (g - sum p g), where g is zero for dropped entries
        weighted = grad_probs.mul_(used)
        total = weighted.sum(-1, keepdim=True)
        grad_scores = weighted.sub_(signed.abs() * total) if ctx.kept < 1.0 else weighted.sub_(signed * total)
        shared = grad_scores.new_zeros(*grad_scores.shape[:3], table.size(0))
        shared.scatter_add_(-1, rows.expand_as(grad_scores), grad_scores)  # (B, H, L, R)
        grad_query = grad_scores @ key + shared @ table
        grad_key = grad_scores.transpose(-2, -1) @ query
        grad_table = shared.flatten(0, 2).T @ query.flatten(0, 2)
        return grad_query, grad_key, grad_value, grad_table, None, None, None
