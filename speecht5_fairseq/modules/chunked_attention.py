"""Attention for training, some heads at a time, with a backward pass that keeps no (L, T) tensor but the dropout mask.

torch's fused attention gives no gradient to an additive mask and, on a CPU, takes no dropout; it falls back to separate
operations, autograd keeps the result of each, and every one of them goes through fresh memory. Here both passes go
over chunks of heads that stay in the processor's cache, and the backward pass computes the probabilities again.

Shapes: B batch, H heads, b utterances and n heads of a chunk, L queries, T keys, d width of a head, R rows of the
relative table.
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

    Inputs: query (B, H, L, d), key and value (B, H, T, d), table (R, d) or None, places (L, T) int64 row of the table
    for each pair or None, bias (B or 1, 1, L or 1, T) additive without gradient or None, dropout probability.
    Output: (B, H, L, d), laid out as (B, L, H, d).
    """

    @staticmethod
    def forward(ctx, query, key, value, table, places, bias, dropout):  # noqa: D102
        output = torch.empty_like(query.transpose(1, 2), memory_format=torch.contiguous_format).transpose(1, 2)
        keeps = []
        for rows, heads in chunks(query, key):
            probs = _probabilities(query[rows, heads], key[rows, heads], table, places, of_rows(bias, rows))
            if dropout > 0:
                keeps.append(keep_mask(probs.shape, dropout, probs.device))
                probs.mul_(keeps[-1].view(torch.uint8))  # a product with booleans would first widen them
            output[rows, heads] = probs @ value[rows, heads]
        if dropout > 0:
            output /= 1.0 - dropout
        ctx.save_for_backward(query, key, value, table, places, bias, *keeps)
        ctx.kept = 1.0 - dropout
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):  # noqa: D102
        query, key, value, table, places, bias, *keeps = ctx.saved_tensors
        grads = [torch.empty_like(tensor) for tensor in (query, key, value)]
        grad_table = None if table is None else torch.zeros_like(table)
        for number, (rows, heads) in enumerate(chunks(query, key)):
            q, k, v = query[rows, heads], key[rows, heads], value[rows, heads]
            incoming = grad[rows, heads] / ctx.kept
            probs = _probabilities(q, k, table, places, of_rows(bias, rows))
            grad_scores = incoming @ v.transpose(-2, -1)
            used = probs
            if keeps:
                kept = keeps[number].view(torch.uint8)
                grad_scores.mul_(kept)
                used = probs * kept
            grads[2][rows, heads] = used.transpose(-2, -1) @ incoming
            # sums over the keys in float32: an error of theirs would be every key's, and add up in what follows
            grad_scores = torch.ops.aten._softmax_backward_data(grad_scores, probs, -1, probs.dtype)
            grad_query = grad_scores @ k
            if table is not None:
                shared = grad_scores.new_zeros(*grad_scores.shape[:3], table.size(0))
                shared.scatter_add_(-1, places.expand_as(grad_scores), grad_scores)  # (b, n, L, R)
                grad_query += shared @ table
                grad_table += shared.flatten(0, 2).T @ q.flatten(0, 2)
            grads[0][rows, heads] = grad_query
            grads[1][rows, heads] = grad_scores.transpose(-2, -1) @ q
        return *grads, grad_table, None, None, None


def chunks(query: Tensor, key: Tensor) -> Iterator[tuple[slice, slice]]:
    """(utterances, heads) that are done at a time, of query (B, H, L, d) and key (B, H, T, d)."""
    batch, heads, queries, _ = query.shape
    together = max(1, CHUNK.get(query.device.type, CHUNK["cuda"]) // (queries * key.size(2)))  # heads
    rows = max(1, together // heads)
    for row in range(0, batch, rows):
        for head in range(0, heads, min(together, heads)):
            yield slice(row, row + rows), slice(head, head + together)


def of_rows(bias: Tensor | None, rows: slice) -> Tensor | None:
    """The part of a bias (B or 1, 1, L or 1, T) for some utterances."""
    return bias if bias is None or bias.size(0) == 1 else bias[rows]


def _probabilities(
    query: Tensor, key: Tensor, table: Tensor | None, places: Tensor | None, bias: Tensor | None
) -> Tensor:
    """(b, n, L, d), (b, n, T, d) -> (b, n, L, T)."""
    if table is None:
        scores = query @ key.transpose(-2, -1)
    else:
        scores = torch.gather(query @ table.T, -1, places.expand(*query.shape[:2], *places.shape))
        scores.flatten(0, 1).baddbmm_(query.flatten(0, 1), key.flatten(0, 1).transpose(-2, -1))  # in place: a view
    if bias is not None:
        scores += bias
    return torch.softmax(scores, dim=-1)
