"""The shared Transformer decoder and the state it keeps between steps.

Shapes: B utterances, K hypotheses of each, N = B x K rows (those of an utterance side by side), T encoder frames,
L decoder positions, D model width.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..outputs import DecoderOutput
from .attention import KeyValue, padding_bias
from .transformer_layer import DecoderLayer, SelfMemory


class Watch(NamedTuple):
    """Which cross-attention the caller wants to see: the first ``heads`` of the last ``layers`` layers."""

    layers: int
    heads: int


class DecoderState:
    """What step-by-step decoding keeps: the encoder's keys and values once an utterance, the decoder's once a row."""

    def __init__(self, memories: list[KeyValue], bias: Tensor | None) -> None:
        self.memories = memories  # a layer: (B, H, T, d)
        self.bias = bias  # (B, 1, 1, T) or None
        self.seen = [SelfMemory() for _ in memories]  # a layer: (N, H, steps, d)
        self.steps = 0

    def reorder(self, rows: Tensor) -> None:
        """Row n continues what row ``rows[n]`` was; rows (N',) may repeat or leave out."""
        for layer in self.seen:
            layer.reorder(rows)

    def keep_utterances(self, index: Tensor) -> None:
        """Keep the utterances ``index`` (B',) of the encoder side; ``reorder`` does the same for the rows."""
        self.memories = [KeyValue(*(part.index_select(0, index) for part in memory)) for memory in self.memories]
        self.bias = None if self.bias is None else self.bias.index_select(0, index)


class TransformerDecoder(nn.Module):
    """Post-norm: nothing at the ends. Pre-norm: a final LayerNorm."""

    def __init__(
        self,
        *,
        layers: int,
        dim: int,
        hidden: int,
        heads: int,
        dropout: float,
        attention_dropout: float,
        activation_dropout: float,
        layerdrop: float,
        pre_norm: bool,
    ) -> None:
        super().__init__()
        self.layerdrop = layerdrop
        self.everything = Watch(layers, heads)
        self.layer_norm = nn.LayerNorm(dim) if pre_norm else nn.Identity()
        self.layers = nn.ModuleList(
            DecoderLayer(
                dim=dim,
                hidden=hidden,
                heads=heads,
                dropout=dropout,
                attention_dropout=attention_dropout,
                activation_dropout=activation_dropout,
                pre_norm=pre_norm,
            )
            for _ in range(layers)
        )

    def start(self, memory: Tensor, padding_mask: Tensor | None) -> DecoderState:
        """State before the first step, for encoder states (B, T, D) and their padding (B, T) or None."""
        memories = [layer.encoder_attn.remember(memory) for layer in self.layers]
        # Every step multiplies by them head by head: a view across heads would be copied each time.
        memories = [KeyValue(*(part.contiguous() for part in memory)) for memory in memories]
        return DecoderState(memories, padding_bias(padding_mask, memory.dtype))

    def step(self, states: Tensor, state: DecoderState, watch: Watch | None = None) -> DecoderOutput:
        """Decode the newest position of each row, states (N, 1, D) -> (N, 1, D); ``state`` advances."""
        attention = []
        for number, (layer, memory, seen) in enumerate(zip(self.layers, state.memories, state.seen, strict=True)):
            heads = self._watched_heads(number, watch)
            states, weights = layer(states, memory=memory, bias=state.bias, seen=seen, watch=heads)
            attention += weights
        state.steps += 1
        return DecoderOutput(self.layer_norm(states), tuple(attention))

    def _watched_heads(self, number: int, watch: Watch | None) -> int:
        return 0 if watch is None or number < len(self.layers) - watch.layers else watch.heads

    def forward(
        self, states: Tensor, memory: Tensor, padding_mask: Tensor | None, watch: Watch | None = None
    ) -> DecoderOutput:
        """Decode whole sequences, causally.

        Args:
            states: (B, L, D) from a decoder pre-net.
            memory: (B, T, D) encoder states.
            padding_mask: (B, T) True at the encoder's padding, or None.
            watch: the cross-attention that is wanted beside the states.

        Returns:
            (B, L, D); padding of the decoder side needs no mask, since it comes last.
        """
        bias = padding_bias(padding_mask, memory.dtype)
        attention = []
        for number, layer in enumerate(self.layers):
            if self.training and torch.rand(()) < self.layerdrop:
                continue
            heads = self._watched_heads(number, watch)
            states, weights = layer(states, memory=layer.encoder_attn.remember(memory), bias=bias, watch=heads)
            attention += weights
        return DecoderOutput(self.layer_norm(states), tuple(attention))
