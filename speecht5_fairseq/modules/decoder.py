"""The shared Transformer decoder, over whole sequences (``decoder_steps`` has it position by position).

Shapes: B batch, T encoder frames, L decoder positions, D model width.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..outputs import DecoderOutput
from .attention import padding_bias
from .recomputation import recomputed
from .transformer_layer import DecoderLayer


class Watch(NamedTuple):
    """Which cross-attention the caller wants to see: the first ``heads`` of the last ``layers`` layers."""

    layers: int
    heads: int


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
        recompute: bool = False,
    ) -> None:
        """``recompute``: layers keep their inputs alone for the backward pass."""
        super().__init__()
        self.recompute = recompute
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

    def watched_heads(self, number: int, watch: Watch | None) -> int:
        """Heads of layer ``number`` whose cross-attention ``watch`` asks for."""
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
            heads = self.watched_heads(number, watch)
            states, weights = recomputed(_decode, layer, states, memory, bias, heads, when=self.recompute)
            attention += weights
        return DecoderOutput(self.layer_norm(states), tuple(attention))


def _decode(layer: DecoderLayer, states: Tensor, memory: Tensor, bias: Tensor | None, watch: int) -> DecoderOutput:
    """One layer with its keys and values of the encoder states (B, T, D)."""
    return layer(states, memory=layer.encoder_attn.remember(memory), bias=bias, watch=watch)
