"""Masked-unit head (HuBERT, arXiv 2106.07447): cosine similarity of a frame to each unit's embedding.

Shapes: P frames, D model width, F width of the comparison, U units.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class UnitHead(nn.Module):
    """logit(frame, unit) = cos(projection(frame), embedding(unit)) / 0.1, as one product of normalised matrices."""

    TEMPERATURE = 0.1

    def __init__(self, *, dim: int, final_dim: int, units: int) -> None:
        super().__init__()
        self.projection = nn.Linear(dim, final_dim)
        self.embeddings = nn.Parameter(torch.empty(units, final_dim).uniform_())

    def forward(self, states: Tensor) -> Tensor:
        """states (P, D) -> logits (P, U), float32 whatever the precision of the model."""
        frames = self.projection(states)
        with torch.autocast(states.device.type, enabled=False):
            frames = F.normalize(frames.float(), dim=-1)
            units = F.normalize(self.embeddings.float(), dim=-1)
            return frames @ units.T / self.TEMPERATURE
