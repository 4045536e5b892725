"""Attention for training, some heads at a time, with a backward pass that keeps no (L, T) tensor but the dropout mask.

torch's fused attention gives no gradient to an additive mask and, on a CPU, takes no dropout; it falls back to separate
operations, autograd keeps the result of each, and every one of them goes through fresh memory. Here both passes go
over chunks of heads that stay in the processor's cache, and the backward pass computes the probabilities again.

Shapes: B batch, H heads, n heads of a chunk, L queries, T keys, d width of a head, R rows of the relative table.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .randomness import keep_mask

CHUNK = {"cpu": 1 << 20, "cuda": 1 << 28}  # most scores at a time: 4 MiB in float32 stay in a core's cache


class ChunkedAttention(torch.autograd.Function):
    """dropout(softmax(q k' + gather(q table') + bias)) v; queries come already divided by sqrt(d).

    Inputs: query (B, H, L, d), key and value (B, H, T, d), table (R, d) or None, rows (L, T) int64 row of the table for
    each pair or None, bias (B or 1, 1, L or 1, T) additive without gradient or None, dropout probability.
    Output: (B, H, L, d), laid out as (B, L, H, d).
    """

    @staticmethod
    def forward(ctx, query, key, value, table, rows, bias, dropout):  # noqa: D102
        output = torch.empty_like(query.transpose(1, 2), memory_format=torch.contiguous_format).transpose(1, 2)
        keeps = []
        for row, heads in _chunks(query, key):
            probs = _probabilities(query[row, heads], key[row, heads], table, rows, _of_row(bias, row))
            if dropout > 0:
                keeps.append(keep_mask(probs.shape, dropout, probs.device))
                probs.mul_(keeps[-1])
            output[row, heads] = probs @ value[row, heads]
        if dropout > 0:
            output /= 1.0 - dropout
        ctx.save_for_backward(query, key, value, table, rows, bias, output, *keeps)
        ctx.kept = 1.0 - dropout
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):  # noqa: D102
        query, key, value, table, rows, bias, output, *keeps = ctx.saved_tensors
        total = (grad * output).sum(-1, keepdim=True)  # sum over the keys of probability x its gradient
        grads = [torch.empty_like(tensor) for tensor in (query, key, value)]
        grad_table = None if table is None else torch.zeros_like(table)
        for number, (row, heads) in enumerate(_chunks(query, key)):
            q, k, v = query[row, heads], key[row, heads], value[row, heads]
            incoming = grad[row, heads] / ctx.kept
            probs = _probabilities(q, k, table, rows, _of_row(bias, row))
            grad_scores = incoming @ v.transpose(-2, -1)
            used = probs
            if keeps:
                grad_scores.mul_(keeps[number])
                used = probs * keeps[number]
            grads[2][row, heads] = used.transpose(-2, -1) @ incoming
            grad_scores.sub_(total[row, heads]).mul_(probs)
            grad_query = grad_scores @ k
            if table is not None:
                shared = grad_scores.new_zeros(*grad_scores.shape[:2], table.size(0))
                shared.scatter_add_(-1, rows.expand_as(grad_scores), grad_scores)  # (n, L, R)
                grad_query += shared @ table
                grad_table += shared.flatten(0, 1).T @ q.flatten(0, 1)
            grads[0][row, heads] = grad_query
            grads[1][row, heads] = grad_scores.transpose(-2, -1) @ q
        return *grads, grad_table, None, None, None


def _chunks(query: Tensor, key: Tensor) -> Iterator[tuple[int, slice]]:
    """(utterance, heads) that are done at a time."""
    heads = query.size(1)
    step = max(1, CHUNK.get(query.device.type, CHUNK["cuda"]) // (query.size(2) * key.size(2)))
    for row in range(query.size(0)):
        for first in range(0, heads, step):
            yield row, slice(first, first + step)


def _of_row(bias: Tensor | None, row: int) -> Tensor | None:
    return bias if bias is None else bias[row if bias.size(0) > 1 else 0]


def _probabilities(
    query: Tensor, key: Tensor, table: Tensor | None, rows: Tensor | None, bias: Tensor | None
) -> Tensor:
    """(n, L, d), (n, T, d) -> (n, L, T)."""
    if table is None:
        scores = query @ key.transpose(-2, -1)
    else:
        scores = torch.gather(query @ table.T, -1, rows.expand(query.size(0), *rows.shape))
        scores.baddbmm_(query, key.transpose(-2, -1))
    if bias is not None:
        scores += bias
    return torch.softmax(scores, dim=-1)
