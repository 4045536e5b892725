"""Line charts and maps as numbers for the template, which draws them as SVG: no picture files, any colour scheme.

Coordinates are of the SVG: x to the right, y down, in its units.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

WIDTH, HEIGHT = 420, 240
LEFT, RIGHT, TOP, BOTTOM = 52, 22, 12, 34  # margins for the numbers of the axes
COLOURS = 8  # of the template; more lines repeat them
MOST_POINTS = 1000  # of a line; of more, the least and the greatest of each stretch are drawn
WIDE = 100.0  # ratio of the greatest to the least value from which the axis is logarithmic
LEAST, GREATEST = 1e-100, 1e100  # sizes of values that an axis takes; floats run out at their squares
INSET = 0.04  # of the axis, so that no line lies on the frame


class Line(NamedTuple):
    """One line of a chart, before it has a place."""

    label: str
    colour: int  # from 0
    points: Sequence[tuple[float, float]]
    dashed: bool = False
    dotted: bool = False  # a dot at each point


class Tick(NamedTuple):
    place: float
    label: str


class Path(NamedTuple):
    """A line with its place: "x,y x,y ..." and the dots of its points."""

    label: str
    colour: int
    points: str
    dashed: bool
    dots: list[tuple[float, float]]


class Dot(NamedTuple):
    x: float
    y: float
    colour: int
    title: str


class Chart(NamedTuple):
    """What the template draws; ``summary`` is what a reader hears who does not see it."""

    title: str
    x_label: str
    y_label: str
    width: int
    height: int
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    paths: list[Path]
    dots: list[Dot]
    summary: str


class Axis(NamedTuple):
    """Values -> places."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def place(self, value: float) -> float:
        low, high, at = (math.log10(v) if self.logarithmic else v for v in (self.low, self.high, value))
        return round(self.start + (at - low) / (high - low) * (self.end - self.start), 1)


def line_chart(title: str, lines: Sequence[Line], *, x_label: str = "updates", y_label: str = "") -> Chart:
    """A chart of lines; the y axis is logarithmic where the values are positive and go over two decades.

    Values are at most ``GREATEST``, and below ``LEAST`` as good as 0.
    """
    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in line.points]
    logarithmic = min(ys) >= LEAST and max(ys) / min(ys) >= WIDE
    across = Axis(*_span(min(xs), max(xs), inset=0), LEFT, WIDTH - RIGHT)
    up = Axis(*_span(min(ys), max(ys), logarithmic=logarithmic), HEIGHT - BOTTOM, TOP, logarithmic)
    return Chart(
        title,
        x_label,
        y_label + (" (logarithmic)" if logarithmic else ""),
        WIDTH,
        HEIGHT,
        [Tick(across.place(value), _short(value)) for value in round_values(across.low, across.high)],
        [Tick(up.place(value), _short(value)) for value in _values(up)],
        [_path(line, across, up) for line in lines],
        [],
        "; ".join(f"{line.label}: {_short(line.points[0][1])} to {_short(line.points[-1][1])}" for line in lines),
    )


def square_chart(title: str, lines: Sequence[Line], ticks: Sequence[Tick], *, x_label: str, y_label: str) -> Chart:
    """A chart with the same axis in both directions, named at `ticks`; points beyond them lie on the frame."""
    size = 340
    places = [tick.place for tick in ticks]
    across = Axis(min(places), max(places), LEFT, LEFT + size)
    up = Axis(min(places), max(places), TOP + size, TOP)
    low, high = min(places), max(places)
    inside = [line._replace(points=np.clip(line.points, low, high).tolist()) for line in lines]
    return Chart(
        title,
        x_label,
        y_label,
        LEFT + size + RIGHT,
        TOP + size + BOTTOM,
        [Tick(across.place(tick.place), tick.label) for tick in ticks],
        [Tick(up.place(tick.place), tick.label) for tick in ticks],
        [_path(line, across, up) for line in inside],
        [],
        ", ".join(line.label for line in lines),
    )


def scatter_chart(
    title: str, points: Iterable[tuple[float, float]], colours: Sequence[int], titles: Sequence[str]
) -> Chart:
    """A map: points without axes, each with its own title."""
    points = list(points)
    size = 400
    across, up = (
        Axis(*_span(min(p[side] for p in points), max(p[side] for p in points)), *ends)
        for side, ends in ((0, (TOP, size - TOP)), (1, (size - TOP, TOP)))
    )
    dots = [
        Dot(across.place(x), up.place(y), colour, name)
        for (x, y), colour, name in zip(points, colours, titles, strict=True)
    ]
    return Chart(title, "", "", size, size, [], [], [], dots, f"{len(dots)} points")


def thinned(points: Sequence[tuple[float, float]], most: int = MOST_POINTS) -> list[tuple[float, float]]:
    """At most about `most` points: of each stretch the least and the greatest, so that no peak is lost."""
    if len(points) <= most:
        return list(points)
    stretch = math.ceil(2 * len(points) / most)
    kept: list[tuple[float, float]] = []
    for start in range(0, len(points), stretch):
        places = range(start, min(start + stretch, len(points)))
        ends = {min(places, key=lambda place: points[place][1]), max(places, key=lambda place: points[place][1])}
        kept += [points[place] for place in sorted(ends)]
    return kept


def round_values(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers from `low` to `high`: steps of 1, 2 or 5 times a power of ten."""
    step = 10.0 ** math.floor(math.log10((high - low) / most))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= most)
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]


def _values(axis: Axis) -> list[float]:
    if not axis.logarithmic:
        return round_values(axis.low, axis.high)
    powers = range(math.ceil(math.log10(axis.low)), math.floor(math.log10(axis.high)) + 1)
    return [10.0**power for power in powers][:: max(1, len(powers) // 5)]


def _span(low: float, high: float, *, logarithmic: bool = False, inset: float = INSET) -> tuple[float, float]:
    """The ends of an axis; an axis of one value has some room on both sides."""
    if logarithmic:
        room = (high / low) ** inset
        return low / room, high * room
    alone = abs(high) / 2 if abs(high) > LEAST else 1.0
    room = (high - low) * inset if high - low > LEAST else alone
    return low - room, high + room


def _path(line: Line, across: Axis, up: Axis) -> Path:
    places = [(across.place(x), up.place(y)) for x, y in thinned(line.points)]
    text = " ".join(f"{x:g},{y:g}" for x, y in places)
    return Path(line.label, line.colour % COLOURS, text, line.dashed, places if line.dotted or len(places) == 1 else [])


def _short(value: float) -> str:
    """1,200 and 0.25 and 1e-08: four digits at most, without a row of zeros."""
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.4g}"
