"""Text decoder post-net: states -> token logits by the tied embedding, without bias.

Shapes: N rows, L tokens, D model width, V vocabulary.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class TextDecoderPostnet(nn.Module):
    def __init__(self, *, embedding: nn.Embedding) -> None:
        super().__init__()
        self.embedding = embedding

    def forward(self, states: Tensor) -> Tensor:
        """states (N, L, D) -> logits (N, L, V)."""
        return F.linear(states, self.embedding.weight)
