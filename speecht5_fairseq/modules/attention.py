"""Multi-head attention with an optional key-side relative term, and its memory of keys and values.

Shapes: B batch (rows), L queries, T keys, D model width, H heads, d = D / H, R rows of the relative table.

score(i, j) = (q_i . k_j + q_i . table[clip(i - j)]) / sqrt(d). There are only R distinct table vectors, so the relative
term is one (L, R) product a head and a gather: no (L, T, d) tensor is built.

Two computations give the same numbers. Without gradient (evaluation) torch's scaled_dot_product_attention takes the
relative term as its additive mask; with one, torch has no fused attention for a mask that learns, so that training uses
``chunked_attention``, which keeps no (L, T) tensor for the backward pass but the dropout mask.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .chunked_attention import ChunkedAttention
from .positions import relative_rows
from .precision import apply, fused_by_compiler


class KeyValue(NamedTuple):
    key: Tensor  # (B, H, T, d)
    value: Tensor  # (B, H, T, d)


class Attended(NamedTuple):
    states: Tensor  # (B, L, D)
    weights: Tensor | None  # (B, W, L, T) probabilities of the first W heads before dropout; None when none is watched


def padding_bias(padding_mask: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    """(B, T) True at padding -> additive (B, 1, 1, T) with -inf there; None stays None."""
    if padding_mask is None:
        return None
    bias = torch.zeros(padding_mask.shape, dtype=dtype, device=padding_mask.device)
    return bias.masked_fill(padding_mask, float("-inf"))[:, None, None, :]


class MultiheadAttention(nn.Module):
    """Attention whose keys and values are made apart from its queries, so that decoding can keep them."""

    def __init__(self, *, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"embed_dim {dim} is no multiple of attention_heads {heads}; choose heads that divide it")
        self.heads = heads
        self.dropout = dropout
        self.q_proj = nn.Linear(dim, dim)
        self.k_proj = nn.Linear(dim, dim)
        self.v_proj = nn.Linear(dim, dim)
        self.out_proj = nn.Linear(dim, dim)

    def _split(self, states: Tensor) -> Tensor:
        return states.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, L, D) -> (B, H, L, d)

    def remember(self, states: Tensor) -> KeyValue:
        """Keys and values of states (B, T, D)."""
        return KeyValue(self._split(self.k_proj(states)), self._split(self.v_proj(states)))

    def forward(
        self,
        states: Tensor,
        memory: KeyValue,
        *,
        bias: Tensor | None = None,
        causal: bool = False,
        relative_table: Tensor | None = None,
        watch: int = 0,
    ) -> Attended:
        """Attend from states to a memory.

        Args:
            states: (B, L, D) the queries' inputs.
            memory: keys and values to attend to.
            bias: additive, broadcastable to (B, H, L, T); -inf forbids.
            causal: query i sees keys 0..i only (needs L = T).
            relative_table: (R, d) vectors of relative positions; not together with ``causal``.
            watch: W, heads whose probabilities are wanted; not together with the two above.
        """
        attended = self.attend(
            self.q_proj(states), memory, bias=bias, causal=causal, relative_table=relative_table, watch=watch
        )
        return attended._replace(states=self.out_proj(attended.states))

    def attend(
        self,
        queries: Tensor,
        memory: KeyValue,
        *,
        bias: Tensor | None = None,
        causal: bool = False,
        relative_table: Tensor | None = None,
        watch: int = 0,
    ) -> Attended:
        """What the heads make of queries (B, L, D), side by side: ``forward`` without its first and last product."""
        query = self._split(queries)
        dropout = self.dropout if self.training else 0.0
        weights = _weights(query, memory, bias, watch) if watch else None
        if watch == self.heads and dropout == 0:
            mixed = weights.to(memory.value.dtype) @ memory.value
        elif relative_table is not None:
            mixed = _relative_attention(query, memory, relative_table, bias, dropout)
        elif dropout > 0 and query.device.type == "cpu" and not fused_by_compiler():  # torch's fused ones have none
            mixed = _chunked_attention(query, memory, bias, causal, dropout)
        else:
            mixed = F.scaled_dot_product_attention(
                query, memory.key, memory.value, attn_mask=bias, dropout_p=dropout, is_causal=causal
            )
        return Attended(mixed.transpose(1, 2).flatten(2), weights)


def _weights(query: Tensor, memory: KeyValue, bias: Tensor | None, heads: int) -> Tensor:
    """Probabilities (B, W, L, T) of the first heads, float32 at least: fused attention gives none."""
    query = query[:, :heads] * query.size(-1) ** -0.5
    scores = query @ memory.key[:, :heads].transpose(-2, -1)
    scores = scores if bias is None else scores + bias
    return torch.softmax(scores, dim=-1, dtype=torch.promote_types(scores.dtype, torch.float32))


def _chunked_attention(query: Tensor, memory: KeyValue, bias: Tensor | None, causal: bool, dropout: float) -> Tensor:
    query = query * query.size(-1) ** -0.5
    if causal:
        order = query.new_full((query.size(2), memory.key.size(2)), float("-inf")).triu(1)[None, None]
        bias = order if bias is None else bias + order
    return apply(ChunkedAttention, query, memory.key, memory.value, None, None, bias, dropout)


def _relative_attention(query: Tensor, memory: KeyValue, table: Tensor, bias: Tensor | None, dropout: float) -> Tensor:
    query = query * query.size(-1) ** -0.5
    rows = relative_rows(query.size(2), memory.key.size(2), table.size(0), query.device)
    learns = torch.is_grad_enabled() and not fused_by_compiler()
    if learns and (query.requires_grad or memory.key.requires_grad or memory.value.requires_grad):
        return apply(ChunkedAttention, query, memory.key, memory.value, table, rows, bias, dropout)
    relative = torch.gather(query @ table.T, -1, rows.expand(*query.shape[:2], *rows.shape))
    relative = relative if bias is None else relative.add_(bias)
    return F.scaled_dot_product_attention(
        query, memory.key, memory.value, attn_mask=relative, dropout_p=dropout, scale=1.0
    )
