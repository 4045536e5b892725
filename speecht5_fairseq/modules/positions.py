"""Positions: two layouts of sinusoids, and the table of relative positions of the encoder.

Shapes: L positions, D model width, d width of a head, R entries of the relative table (2 x the largest distance).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .randomness import Dropout


def halved_sinusoid(positions: Tensor, dim: int) -> Tensor:
    """fairseq's layout: all sines, then all cosines. positions (L,) -> (L, dim)."""
    half = dim // 2
    rates = torch.exp(torch.arange(half, device=positions.device) * -(math.log(10_000) / (half - 1)))
    angles = positions[:, None].float() * rates
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def interleaved_sinusoid(positions: Tensor, dim: int) -> Tensor:
    """The Transformer paper's layout: sine on even channels, cosine on odd ones. positions (L,) -> (L, dim)."""
    rates = torch.exp(torch.arange(0, dim, 2, device=positions.device) * -(math.log(10_000) / dim))
    angles = positions[:, None].float() * rates
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)


class SinusoidalPositions(nn.Module):
    """Fixed positions in fairseq's layout, numbered from 2 as fairseq does after its padding symbol (index 1)."""

    FIRST = 2

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, states: Tensor, offset: int = 0) -> Tensor:
        """Add positions offset, offset + 1, ... to states (B, L, D)."""
        positions = torch.arange(states.size(1), device=states.device) + (self.FIRST + offset)
        return states + halved_sinusoid(positions, self.dim).to(states.dtype)


class ScaledPositions(nn.Module):
    """Interleaved sinusoids times a learned scalar (arXiv 1809.08895), numbered from 0, then dropout."""

    def __init__(self, dim: int, dropout: float) -> None:
        super().__init__()
        self.dim = dim
        self.alpha = nn.Parameter(torch.tensor(1.0))
        self.dropout = Dropout(dropout)

    def forward(self, states: Tensor) -> Tensor:
        """Add alpha x positions 0, 1, ... to states (B, L, D)."""
        positions = torch.arange(states.size(1), device=states.device)
        table = interleaved_sinusoid(positions, self.dim).to(states.dtype)
        return self.dropout(states + self.alpha * table)


class Relative(NamedTuple):
    """What attention wants to know of relative positions, for L queries and T keys."""

    table: Tensor  # (R, d) vectors of the distances
    rows: Tensor  # (L, T) int64, the table's row for each pair


class RelativePositions(nn.Module):
    """Key-side relative positions (arXiv 1803.02155): one vector for each distance i - j in [-max, max - 1]."""

    def __init__(self, head_dim: int, max_distance: int) -> None:
        super().__init__()
        self.max_distance = max_distance
        self.vectors = nn.Embedding(2 * max_distance, head_dim)

    def forward(self, length: int) -> Relative:
        """For ``length`` positions that attend to each other; row m of the table belongs to distance m - max."""
        return relative(self.vectors.weight, length, length)


def relative(table: Tensor, queries: int, keys: int) -> Relative:
    """The table (R, d) with its row for each pair of a query and a key: of their distance, clipped at both ends."""
    half = len(table) // 2
    position = torch.arange(max(queries, keys), device=table.device)
    distance = position[:queries, None] - position[None, :keys]
    return Relative(table, distance.clamp_(-half, half - 1).add_(half))
