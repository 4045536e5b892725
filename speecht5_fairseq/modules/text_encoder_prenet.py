"""Text encoder pre-net: tokens -> states of model width.

Shapes: B batch, L tokens, D model width.
"""

from __future__ import annotations

from torch import Tensor, nn

from ..outputs import EncoderOutput
from .positions import ScaledPositions


class TextEncoderPrenet(nn.Module):
    """Unscaled embedding, scaled interleaved positions, dropout."""

    def __init__(self, *, embedding: nn.Embedding, dropout: float) -> None:
        super().__init__()
        self.embedding = embedding
        self.positions = ScaledPositions(embedding.embedding_dim, dropout)

    def forward(self, tokens: Tensor) -> EncoderOutput:
        """tokens (B, L), padded at the end with the embedding's padding index."""
        padding = tokens.eq(self.embedding.padding_idx)
        states = self.positions(self.embedding(tokens))
        return EncoderOutput(states, (~padding).sum(1), padding if bool(padding.any()) else None)
