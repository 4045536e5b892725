"""Speech decoder pre-net: previous mel frames and a speaker vector -> states of model width.

Shapes: B batch, N mel frames (a multiple of r), r reduction factor, M mel bins, D model width, E speaker entries.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..constants import MEL_BINS, SPEAKER_DIM
from .positions import ScaledPositions
from .randomness import Dropout


def previous_frames(frames: Tensor, reduction: int) -> Tensor:
    """What the decoder hears before each step: the last of every r frames, one step late, a zero frame first.

    frames (B, N, M) -> (B, N / r, M)
    """
    last = frames[:, reduction - 1 :: reduction]
    return F.pad(last, (0, 0, 1, -1))


class SpeechDecoderPrenet(nn.Module):
    """Two Linear-ReLU-dropout layers, Linear to D, scaled positions; then the speaker vector is mixed in.

    Args:
        dim: D.
        hidden: width of the two layers.
        layer_dropout: dropout of the two layers.
        dropout: after the positions.
    """

    def __init__(self, *, dim: int, hidden: int, layer_dropout: float, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(MEL_BINS, hidden), nn.Linear(hidden, hidden)])
        self.layer_dropout = Dropout(layer_dropout)
        self.projection = nn.Linear(hidden, dim)
        self.positions = ScaledPositions(dim, dropout)
        self.speaker_projection = nn.Linear(SPEAKER_DIM + dim, dim)

    def forward(self, frames: Tensor, speaker: Tensor | None, offset: int = 0) -> Tensor:
        """Previous frames (B, N / r, M) and speaker (B, E) or None (no speaker: zeros) -> (B, N / r, D)."""
        states = frames
        for layer in self.layers:
            states = self.layer_dropout(F.relu(layer(states)))
        states = self.positions(self.projection(states), offset)
        if speaker is None:
            speaker = states.new_zeros(states.size(0), SPEAKER_DIM)
        speaker = F.normalize(speaker.float()).to(states.dtype)[:, None].expand(-1, states.size(1), -1)
        return F.relu(self.speaker_projection(torch.cat([states, speaker], dim=-1)))
