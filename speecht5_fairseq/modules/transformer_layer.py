"""One encoder layer and one decoder layer.

Shapes: B batch, T encoder frames, L decoder positions, D model width, H heads, d width of a head, R rows of the
relative table.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..outputs import DecoderOutput
from .adapters import linear_of_gelu
from .attention import KeyValue, MultiheadAttention
from .positions import Relative
from .randomness import Dropout


class FeedForward(nn.Module):
    def __init__(self, *, dim: int, hidden: int, activation_dropout: float) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)
        self.activation_dropout = Dropout(activation_dropout)

    def forward(self, states: Tensor) -> Tensor:
        hidden = self.fc1(states)
        if not torch.is_grad_enabled():
            return self.fc2(self.activation_dropout(torch.ops.aten.gelu_(hidden)))  # nothing to keep
        if self.training and self.activation_dropout.p > 0:
            return self.fc2(self.activation_dropout(F.gelu(hidden)))  # the dropped tensor is kept
        return linear_of_gelu(self.fc2, hidden)


class _Layer(nn.Module):
    """What both layers share: dropout, residual and LayerNorm before (``pre_norm``) or after each part."""

    def __init__(self, *, dropout: float, pre_norm: bool) -> None:
        super().__init__()
        self.pre_norm = pre_norm
        self.dropout = Dropout(dropout)

    def residual(self, states: Tensor, norm: nn.LayerNorm, part: Callable[[Tensor], Tensor]) -> Tensor:
        if self.pre_norm:
            return states + self.dropout(part(norm(states)))
        return norm(states + self.dropout(part(states)))


class EncoderLayer(_Layer):
    """Self-attention with relative positions, then a feed-forward net."""

    def __init__(
        self,
        *,
        dim: int,
        hidden: int,
        heads: int,
        dropout: float,
        attention_dropout: float,
        activation_dropout: float,
        pre_norm: bool,
    ) -> None:
        super().__init__(dropout=dropout, pre_norm=pre_norm)
        self.self_attn = MultiheadAttention(dim=dim, heads=heads, dropout=attention_dropout)
        self.self_attn_layer_norm = nn.LayerNorm(dim)
        self.feed_forward = FeedForward(dim=dim, hidden=hidden, activation_dropout=activation_dropout)
        self.final_layer_norm = nn.LayerNorm(dim)
        # The released checkpoints normalise the relative vectors a layer in pre-norm only.
        self.norm_k = nn.LayerNorm(dim // heads) if pre_norm else nn.Identity()

    def forward(self, states: Tensor, *, bias: Tensor | None, relative: Relative) -> Tensor:
        """states (B, T, D), bias (B, 1, 1, T) of the padding or None -> (B, T, D)."""

        def attend(inputs: Tensor) -> Tensor:
            normed = relative._replace(table=self.norm_k(relative.table))
            return self.self_attn(inputs, self.self_attn.remember(inputs), bias=bias, relative=normed).states

        states = self.residual(states, self.self_attn_layer_norm, attend)
        return self.residual(states, self.final_layer_norm, self.feed_forward)


class DecoderLayer(_Layer):
    """Causal self-attention, cross-attention to the encoder, then a feed-forward net."""

    def __init__(
        self,
        *,
        dim: int,
        hidden: int,
        heads: int,
        dropout: float,
        attention_dropout: float,
        activation_dropout: float,
        pre_norm: bool,
    ) -> None:
        super().__init__(dropout=dropout, pre_norm=pre_norm)
        self.self_attn = MultiheadAttention(dim=dim, heads=heads, dropout=attention_dropout)
        self.self_attn_layer_norm = nn.LayerNorm(dim)
        self.encoder_attn = MultiheadAttention(dim=dim, heads=heads, dropout=attention_dropout)
        self.encoder_attn_layer_norm = nn.LayerNorm(dim)
        self.feed_forward = FeedForward(dim=dim, hidden=hidden, activation_dropout=activation_dropout)
        self.final_layer_norm = nn.LayerNorm(dim)

    def forward(self, states: Tensor, *, memory: KeyValue, bias: Tensor | None, watch: int = 0) -> DecoderOutput:
        """Decode whole sequences.

        Args:
            states: (B, L, D).
            memory: keys and values of the encoder states, (B, H, T, d).
            bias: (B, 1, 1, T) of the encoder's padding, or None.
            watch: heads whose cross-attention is wanted.
        """
        watched = []

        def attend_self(inputs: Tensor) -> Tensor:
            return self.self_attn(inputs, self.self_attn.remember(inputs), causal=True).states

        def attend_encoder(inputs: Tensor) -> Tensor:
            attended = self.encoder_attn(inputs, memory, bias=bias, watch=watch)
            watched.append(attended.weights)
            return attended.states

        states = self.residual(states, self.self_attn_layer_norm, attend_self)
        states = self.residual(states, self.encoder_attn_layer_norm, attend_encoder)
        states = self.residual(states, self.final_layer_norm, self.feed_forward)
        return DecoderOutput(states, tuple(watched) if watch else ())
