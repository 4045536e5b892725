"""Pictures of speech, of where the decoder attended, and of the codebook.

Shapes: N mel frames, M mel bins, L decoder steps, T encoder positions, G codebook groups, C entries of a group.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from ..constants import MEL_HOP, SAMPLE_RATE
from ..data.atomic import replacing

if TYPE_CHECKING:  # an extra
    from matplotlib.figure import Figure

DPI = 100
MOST_LABELS = 60  # symbols that can be read beside each other


def require_matplotlib(option: str = "--save-pictures") -> None:
    """Check that what an option asks for can be drawn.

    Raises:
        ImportError: matplotlib is not installed.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise ImportError(f"{option} needs matplotlib: `pip install matplotlib`, or drop it")


def draw_speech(path: Path, mel: Tensor, alignments: Sequence[Tensor], *, title: str) -> None:
    """Write a PNG: log-mel (N, M) above, the alignment (L, T) of each text below."""
    figure = speech_figure({title: mel}, alignments)
    with replacing(path) as partial:
        figure.savefig(partial, dpi=DPI)


def speech_figure(mels: Mapping[str, Tensor], alignments: Sequence[Tensor]) -> Figure:
    """Log-mels (N, M) by their titles, one below the other in the colours of the first, then alignments (L, T)."""
    figure = _figure(8, 2.5 * (len(mels) + bool(alignments)))
    grid = figure.add_gridspec(len(mels) + bool(alignments), max(len(alignments), 1))
    colours: dict[str, float] = {}
    for row, (title, mel) in enumerate(mels.items()):
        frames = mel.float().cpu().numpy()
        if len(mels) > 1 and not colours:
            colours = {"vmin": float(frames.min()), "vmax": float(frames.max())}
        seconds = len(frames) * MEL_HOP / SAMPLE_RATE
        panel = figure.add_subplot(grid[row, :])
        _image(panel, frames.T, extent=(0, seconds, 0, frames.shape[1]), **colours)
        panel.set(title=title, xlabel="seconds", ylabel="mel bin")
    for column, alignment in enumerate(alignments):
        _alignment(figure.add_subplot(grid[-1, column]), alignment)
    return figure


def alignment_figure(alignment: Tensor, symbols: Sequence[str], *, title: str) -> Figure:
    """Where the decoder attended (L, T); the L symbols that it was to write stand below where they can be read."""
    figure = _figure(8, 4)
    panel = figure.add_subplot()
    _alignment(panel, alignment)
    panel.set(title=f"{title}: {panel.get_title()}")
    if len(symbols) <= MOST_LABELS:
        panel.set_xticks(range(len(symbols)), symbols, fontsize=7)
        panel.set_xlabel("symbol")
    return figure


def codebook_figure(counts: Mapping[str, Tensor]) -> Figure:
    """How often each code (G, C) was chosen, by who chose it, as shares of all choices in a group."""
    figure = _figure(9, 1.6 * len(counts) + 0.4)
    panels = np.atleast_1d(figure.subplots(len(counts), 1, sharex=True))
    for panel, (title, table) in zip(panels, counts.items(), strict=True):
        shares = table.double().cpu().numpy()
        groups, entries = shares.shape
        image = _image(panel, shares, extent=(-0.5, entries - 0.5, -0.5, groups - 0.5), vmin=0)
        figure.colorbar(image, ax=panel)
        panel.set(title=title, ylabel="group", yticks=range(groups), yticklabels=range(1, groups + 1))
    panels[-1].set_xlabel("code")
    return figure


def pixels(figure: Figure) -> np.ndarray:
    """A figure as (height, width, 3) uint8."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _figure(width: float, height: float) -> Figure:
    """Of so many inches; no window, and nothing that stays in memory."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DPI, layout="constrained")


def _alignment(panel: Any, alignment: Tensor) -> None:
    weights = alignment.float().cpu().T.numpy()
    _image(panel, weights, vmin=0)
    panel.set(title=f"attention, 0 to {weights.max():.2f}", xlabel="decoder step", ylabel="encoder position")


def _image(panel: Any, values: np.ndarray, **options: Any) -> Any:
    return panel.imshow(values, origin="lower", aspect="auto", interpolation="nearest", **options)
