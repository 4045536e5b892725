"""Pictures of a verification: how the scores of both kinds of trials lie, and the trade of misses for false alarms."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from statistics import NormalDist

import numpy as np

from ..data.atomic import replacing
from .detection import DetectionErrors, OperatingPoint

HISTOGRAM, CURVE = "scores.png", "det.png"
BINS = 50
TICKS = (0.001, 0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.99)  # error rates named on the axes of the curve
EDGE = 5e-4  # rates nearer to 0 or 1 have no finite place on the curve's axes


def require_matplotlib() -> None:
    """Check that what draws is there.

    Raises:
        ImportError: matplotlib is not installed.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise ImportError("--plots needs matplotlib: `pip install matplotlib`, or drop it")


def draw_verification(
    folder: Path, scores: np.ndarray, targets: np.ndarray, errors: DetectionErrors, eer: OperatingPoint
) -> None:
    """Write folder/scores.png and folder/det.png.

    Args:
        scores, targets: (N,) of the trials.
        errors: at each threshold.
        eer: marked in both pictures.
    """
    _draw_scores(folder / HISTOGRAM, scores, targets, eer)
    _draw_curve(folder / CURVE, errors, eer)


def _draw_scores(path: Path, scores: np.ndarray, targets: np.ndarray, eer: OperatingPoint) -> None:
    from matplotlib.figure import Figure  # an extra

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    edges = np.linspace(scores.min(), max(scores.max(), scores.min() + 1e-6), BINS + 1)
    for kind, name in ((True, "one speaker"), (False, "two speakers")):
        axes.hist(scores[targets == kind], bins=edges, alpha=0.6, density=True, label=name)
    axes.axvline(eer.threshold, color="black", linewidth=1, label=f"EER {100 * eer.value:.2f}%")
    axes.set(xlabel="cosine", ylabel="density")
    axes.legend()
    with replacing(path) as partial:
        figure.savefig(partial, dpi=100)


def _draw_curve(path: Path, errors: DetectionErrors, eer: OperatingPoint) -> None:
    """Axes of normal deviates (Martin et al. 1997): normal scores of both kinds make a straight line."""
    from matplotlib.figure import Figure  # an extra

    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(deviates(errors.false_alarms), deviates(errors.misses))
    axes.plot(*deviates(np.array([[eer.value], [eer.value]])), "o", label=f"EER {100 * eer.value:.2f}%")
    places, names = deviates(np.array(TICKS)), [f"{100 * tick:g}" for tick in TICKS]
    axes.set_xticks(places, names)
    axes.set_yticks(places, names)
    axes.set(xlabel="false alarms, %", ylabel="misses, %")
    axes.grid(alpha=0.3)
    axes.legend()
    with replacing(path) as partial:
        figure.savefig(partial, dpi=100)


def deviates(rates: np.ndarray) -> np.ndarray:
    """Error rates, any shape -> the normal deviates below which that share lies."""
    normal = NormalDist()
    return np.vectorize(normal.inv_cdf)(np.clip(rates, EDGE, 1 - EDGE))
