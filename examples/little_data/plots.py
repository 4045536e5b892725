"""Pictures of the experiment: error rates over minutes of labelled speech, and validation error over updates."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

import matplotlib
from grid import ABLATED, FULL_START, METHODS, STARTS
from results import Result, chosen

matplotlib.use("Agg")

from matplotlib import pyplot  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402

RATES = (("CER", "cer"), ("WER", "wer"))
Group = tuple[str, list[tuple[str, str, str]]]  # title, lines of (label, start, method)


def groups() -> list[Group]:
    """What is compared: methods from one start, starts with one method."""
    methods = [(each.title, FULL_START, name) for name, each in METHODS.items()]
    starts = [(each.title, name, ABLATED) for name, each in STARTS.items()]
    return [(f"methods, from {STARTS[FULL_START].title}", methods), (f"starts, {METHODS[ABLATED].title}", starts)]


def plot_rates(results: Sequence[Result], path: Path) -> None:
    """CER (above) and WER over minutes, methods on the left, starts on the right; bars are deviations over seeds."""
    figure, grid = pyplot.subplots(2, 2, figsize=(10, 8), sharex=True, sharey="row", squeeze=False)
    for column, (title, lines) in enumerate(groups()):
        for row, (label, field) in enumerate(RATES):
            axes = grid[row][column]
            for number, (name, start, method) in enumerate(lines):
                _line(axes, chosen(results, start, method), field, name, f"C{number}")
            axes.set_ylabel(f"{label}, %")
            axes.grid(alpha=0.3)
        grid[0][column].set_title(title)
        _legend(grid[0][column])
    _minutes_axis(grid[1], results)
    _save(figure, path)


def _line(axes: Axes, found: Sequence[Result], field: str, label: str, colour: str) -> None:
    amounts = sorted({each.run.minutes for each in found})
    if not amounts:
        return
    values = [[getattr(each, field) for each in found if each.run.minutes == amount] for amount in amounts]
    bars = [statistics.stdev(each) if len(each) > 1 else 0.0 for each in values]
    means = [statistics.mean(each) for each in values]
    axes.errorbar(amounts, means, yerr=bars if any(bars) else None, label=label, color=colour, marker="o", capsize=3)


def _minutes_axis(lowest: Sequence[Axes], results: Sequence[Result]) -> None:
    amounts = sorted({each.run.minutes for each in results})
    for axes in lowest:
        axes.set_xscale("log")
        axes.set_xticks(amounts, [f"{amount:g}" for amount in amounts])
        axes.minorticks_off()
        axes.set_xlabel("minutes of labelled speech")


def plot_curves(results: Sequence[Result], path: Path) -> None:
    """Character error of greedy CTC in validation over updates, a line a run; a column for each amount of speech."""
    amounts = sorted({each.run.minutes for each in results})
    figure, grid = pyplot.subplots(2, len(amounts), figsize=(4 * len(amounts), 7), sharey=True, squeeze=False)
    for row, (title, lines) in enumerate(groups()):
        for column, amount in enumerate(amounts):
            axes = grid[row][column]
            for number, (name, start, method) in enumerate(lines):
                for place, each in enumerate(chosen(results, start, method, amount)):
                    label = name if place == 0 else None  # one entry for all seeds
                    axes.plot(*zip(*each.curve, strict=True), label=label, color=f"C{number}", marker=".")
            axes.set_title(f"{amount:g} min, {title}", fontsize=9)
            axes.set_xlabel("updates")
            axes.grid(alpha=0.3)
        grid[row][0].set_ylabel("CER in validation, %")
        _legend(grid[row][-1])
    _save(figure, path)


def _legend(axes: Axes) -> None:
    if axes.get_legend_handles_labels()[1]:
        axes.legend(fontsize=8)


def _save(figure: pyplot.Figure, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
