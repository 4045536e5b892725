"""Speech decoder pre-net: previous mel frames and a speaker vector -> states of model width.

Shapes: B batch, N mel frames (a multiple of r), r reduction factor, M mel bins, D model width, E speaker entries.
"""

from __future__ import annotations

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

    @property
    def drawn(self) -> tuple[int, int]:
        """Numbers that the dropout of one step draws: (layers, hidden)."""
        return len(self.layers), self.projection.in_features

    def condition(self, speaker: Tensor | None) -> Tensor:
        """What the speaker (B, E), or None for no speaker, adds to the last layer's sum at every step: (B or 1, 1, D).

        The layer's input is [states, speaker]: its product with the speaker's half is the same at every step.
        """
        projection = self.speaker_projection
        if speaker is None:
            return projection.bias[None, None]
        vector = F.normalize(speaker.float()).to(projection.weight.dtype)
        return F.linear(vector, projection.weight[:, -SPEAKER_DIM:], projection.bias)[:, None]

    @property
    def mixing_weight(self) -> Tensor:
        """The part (D, D) of the last layer's weight that reads the states and not the speaker."""
        return self.speaker_projection.weight[:, :-SPEAKER_DIM]

    def forward(self, frames: Tensor, condition: Tensor) -> Tensor:
        """Previous frames (B, N / r, M), and what ``condition`` gives of the speaker, to states (B, N / r, D)."""
        states = frames
        for layer in self.layers:
            states = self.layer_dropout(F.relu(layer(states)))
        states = self.positions(self.projection(states))
        return F.relu(F.linear(states, self.mixing_weight) + condition)
