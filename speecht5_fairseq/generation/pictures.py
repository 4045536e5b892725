"""Pictures of generated speech: the mel, and where the decoder attended.

Shapes: N mel frames, M mel bins, L decoder steps, T encoder positions.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from ..constants import MEL_HOP, SAMPLE_RATE
from ..data.atomic import replacing


def require_matplotlib(option: str = "--save-pictures") -> None:
    """Check that what an option asks for can be drawn.

    Raises:
        ImportError: matplotlib is not installed.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise ImportError(f"{option} needs matplotlib: `pip install matplotlib`, or drop it")


def draw_speech(path: Path, mel: Tensor, alignments: Sequence[Tensor], *, title: str) -> None:
    """Write a PNG: log-mel (N, M) above, the alignment (L, T) of each text below."""
    from matplotlib.figure import Figure  # an extra

    seconds = len(mel) * MEL_HOP / SAMPLE_RATE
    figure = Figure(figsize=(8, 5), layout="constrained")
    grid = figure.add_gridspec(2, len(alignments))
    above = figure.add_subplot(grid[0, :])
    picture = {"origin": "lower", "aspect": "auto", "interpolation": "nearest"}
    above.imshow(mel.T.numpy(), extent=(0, seconds, 0, mel.size(1)), **picture)
    above.set(title=title, xlabel="seconds", ylabel="mel bin")
    for column, alignment in enumerate(alignments):
        below = figure.add_subplot(grid[1, column])
        below.imshow(alignment.T.numpy(), vmin=0, **picture)
        below.set(xlabel="decoder step", ylabel="encoder position")
    with replacing(path) as partial:
        figure.savefig(partial, dpi=100)
