"""CTC head: encoder states -> logits over the vocabulary, ``<ctc_blank>`` included.

Shapes: B batch, T frames, D model width, V vocabulary.
"""

from __future__ import annotations

from torch import Tensor, nn

from .randomness import Dropout


class CTCHead(nn.Module):
    def __init__(self, *, dim: int, vocabulary: int, dropout: float) -> None:
        super().__init__()
        self.dropout = Dropout(dropout)
        self.projection = nn.Linear(dim, vocabulary)

    def forward(self, states: Tensor) -> Tensor:
        """states (B, T, D) -> logits (B, T, V)."""
        return self.projection(self.dropout(states))
