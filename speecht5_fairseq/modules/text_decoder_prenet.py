"""Text decoder pre-net: previous tokens -> states of model width.

Shapes: N rows, L tokens, D model width.
"""

from __future__ import annotations

from torch import Tensor, nn

from .positions import SinusoidalPositions
from .randomness import Dropout


class TextDecoderPrenet(nn.Module):
    """Unscaled embedding, fairseq's sinusoidal positions, dropout."""

    def __init__(self, *, embedding: nn.Embedding, dropout: float) -> None:
        super().__init__()
        self.embedding = embedding
        self.positions = SinusoidalPositions(embedding.embedding_dim)
        self.dropout = Dropout(dropout)

    def forward(self, tokens: Tensor, offset: int = 0) -> Tensor:
        """tokens (N, L) standing at positions offset, offset + 1, ... -> (N, L, D)."""
        return self.dropout(self.positions(self.embedding(tokens), offset))
