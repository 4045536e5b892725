"""Pictures of growth: a file for each thing that grows, time beside memory, what is asked for as dashed lines."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
matplotlib.rcParams["svg.hashsalt"] = "growth"  # the same file for the same numbers

from matplotlib import pyplot  # noqa: E402 - after the choice of the backend
from matplotlib.axes import Axes  # noqa: E402

from .exponents import Growth  # noqa: E402


def draw(growths: Sequence[Growth], folder: Path) -> list[Path]:
    """Write the SVG files into ``folder`` and name them."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for over in dict.fromkeys(growth.over for growth in growths):
        figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
        for panel, what in zip(axes, ("time", "memory"), strict=True):
            _panel(panel, [growth for growth in growths if (growth.over, growth.what) == (over, what)])
        files.append(folder / f"{re.sub('[^a-z]+', '_', over.lower())}.svg")
        figure.savefig(files[-1], metadata={"Date": None})
        pyplot.close(figure)
    return files


def _panel(axes: Axes, growths: Sequence[Growth]) -> None:
    for growth in growths:
        (line,) = axes.plot(growth.points, growth.found, "o-", label=f"{growth.work}: {growth.fitted:.2f}")
        first = growth.upper.start  # where the two meet
        asked = [growth.found[first] * value / growth.asked[first] for value in growth.asked]
        label = f"asked: {growth.asked_fitted:.2f}"
        axes.plot(growth.points, asked, "--", color=line.get_color(), alpha=0.6, label=label)
    if growths:
        axes.set(xscale="log", yscale="log", xlabel=growths[0].over, ylabel=f"{growths[0].what}, {growths[0].unit}")
        axes.set_xticks(growths[0].points, [f"{point:g}" for point in growths[0].points])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
