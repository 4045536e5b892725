"""The shared Transformer encoder.

Shapes: B batch, T frames or tokens, D model width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .attention import padding_bias
from .positions import RelativePositions
from .randomness import Dropout
from .recomputation import recomputed
from .transformer_layer import EncoderLayer


class TransformerEncoder(nn.Module):
    """Post-norm: LayerNorm on the input and none at the end. Pre-norm: a final LayerNorm and none on the input."""

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
        max_distance: int,
        pre_norm: bool,
        recompute: bool = False,
    ) -> None:
        """``recompute``: layers keep their inputs alone for the backward pass."""
        super().__init__()
        self.pre_norm = pre_norm
        self.recompute = recompute
        self.layerdrop = layerdrop
        self.dropout = Dropout(dropout)
        self.relative_positions = RelativePositions(dim // heads, max_distance)
        self.layer_norm = nn.LayerNorm(dim)
        self.layers = nn.ModuleList(
            EncoderLayer(
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

    def forward(self, states: Tensor, padding_mask: Tensor | None, *, layer: int | None = None) -> Tensor:
        """Encode.

        Args:
            states: (B, T, D) from a pre-net.
            padding_mask: (B, T) True at padding, or None.
            layer: stop after this many layers and return their plain output (for features); None runs all.

        Returns:
            (B, T, D)
        """
        if not self.pre_norm:
            states = self.layer_norm(states)
        states = self.dropout(states)
        bias = padding_bias(padding_mask, states.dtype)
        relative = self.relative_positions(states.size(1))
        for encoder_layer in self.layers[:layer]:
            if self.training and torch.rand(()) < self.layerdrop:
                continue
            states = recomputed(encoder_layer, states, bias=bias, relative=relative, when=self.recompute)
        if self.pre_norm and layer is None:
            states = self.layer_norm(states)
        return states
