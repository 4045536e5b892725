"""One encoder layer and one decoder layer.

Shapes: B utterances, N rows of the decoder (B, or B x beam with the rows of an utterance side by side), T encoder
frames, L decoder positions, D model width, d width of a head, R rows of the relative table.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..outputs import DecoderOutput
from .adapters import linear_of_gelu
from .attention import KeyValue, MultiheadAttention
from .randomness import Dropout


class FeedForward(nn.Module):
    def __init__(self, *, dim: int, hidden: int, activation_dropout: float) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)
        self.activation_dropout = Dropout(activation_dropout)

    def forward(self, states: Tensor) -> Tensor:
        hidden = self.fc1(states)
        if not torch.is_grad_enabled() or (self.training and self.activation_dropout.p > 0):
            return self.fc2(self.activation_dropout(F.gelu(hidden)))  # nothing to keep, or the dropped tensor to keep
        return linear_of_gelu(self.fc2, hidden)


class _Layer(nn.Module):
    """What both layers share: dropout, residual and LayerNorm before (``pre_norm``) or after each part."""

    def __init__(self, *, dropout: float, pre_norm: bool) -> None:
        super().__init__()
        self.pre_norm = pre_norm
        self.dropout = Dropout(dropout)

    def _residual(self, states: Tensor, norm: nn.LayerNorm, part: Callable[[Tensor], Tensor]) -> Tensor:
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

    def forward(self, states: Tensor, *, bias: Tensor | None, relative_table: Tensor) -> Tensor:
        """states (B, T, D), bias (B, 1, 1, T) of the padding or None, relative_table (R, d) -> (B, T, D)."""

        def attend(inputs: Tensor) -> Tensor:
            table = self.norm_k(relative_table)
            return self.self_attn(inputs, self.self_attn.remember(inputs), bias=bias, relative_table=table).states

        states = self._residual(states, self.self_attn_layer_norm, attend)
        return self._residual(states, self.final_layer_norm, self.feed_forward)


class SelfMemory:
    """Keys and values of the positions a decoder layer has seen, one row a hypothesis.

    They stand in tensors with spare room that doubles when it is used up: a step copies its own position only.
    """

    FIRST_ROOM = 16  # positions

    def __init__(self) -> None:
        self.steps = 0
        self.room: KeyValue | None = None  # (N, H, >= steps, d)

    def extend(self, new: KeyValue) -> KeyValue:
        """Append positions (N, H, L, d); all seen so far."""
        start, self.steps = self.steps, self.steps + new.key.size(2)
        if self.room is None or self.room.key.size(2) < self.steps:
            self.room = KeyValue(*(self._larger(number, part, start) for number, part in enumerate(new)))
        for room, part in zip(self.room, new, strict=True):
            room[:, :, start : self.steps] = part
        return self._seen(self.steps)

    def reorder(self, rows: Tensor) -> None:
        if self.room is not None:
            self.room = KeyValue(*(part.index_select(0, rows) for part in self._seen(self.steps)))

    def _seen(self, steps: int) -> KeyValue:
        return KeyValue(*(part[:, :, :steps] for part in self.room))

    def _larger(self, number: int, like: Tensor, steps: int) -> Tensor:
        room = like.new_empty(*like.shape[:2], max(self.FIRST_ROOM, 2 * self.steps), like.size(3))
        if steps:
            room[:, :, :steps] = self.room[number][:, :, :steps]
        return room


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

    def forward(
        self, states: Tensor, *, memory: KeyValue, bias: Tensor | None, seen: SelfMemory | None = None, watch: int = 0
    ) -> DecoderOutput:
        """Decode whole sequences (``seen`` None, causal) or the newest position of each row (``seen`` given).

        Args:
            states: (N, L, D); L is 1 with ``seen``.
            memory: keys and values of the encoder states, (B, H, T, d).
            bias: (B, 1, 1, T) of the encoder's padding, or None.
            seen: earlier positions; extended in place.
            watch: heads whose cross-attention is wanted.
        """
        watched = []

        def attend_self(inputs: Tensor) -> Tensor:
            new = self.self_attn.remember(inputs)
            if seen is None:
                return self.self_attn(inputs, new, causal=True).states
            return self.self_attn(inputs, seen.extend(new)).states

        def attend_encoder(inputs: Tensor) -> Tensor:
            # The hypotheses of an utterance are so many queries to one memory: nothing is copied per hypothesis.
            folded = inputs.reshape(memory.key.size(0), -1, inputs.size(-1))
            attended = self.encoder_attn(folded, memory, bias=bias, watch=watch)
            watched.append(attended.weights)
            return attended.states.view_as(inputs)

        states = self._residual(states, self.self_attn_layer_norm, attend_self)
        states = self._residual(states, self.encoder_attn_layer_norm, attend_encoder)
        states = self._residual(states, self.final_layer_norm, self.feed_forward)
        return DecoderOutput(states, tuple(watched) if watch else ())
