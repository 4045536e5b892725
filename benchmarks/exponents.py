"""How fast a cost grows: the exponent of a power law through its upper points, beside what the mathematics asks for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

MARGIN = 0.15  # by which an exponent may pass what is asked for


@dataclass
class Growth:
    """A cost at several points, and the law that it should follow; only the law's ratios between points count.

    Raises:
        ValueError: fewer than two points, points that do not rise, or a value that is not above 0.
    """

    work: str
    over: str  # what grows, with its unit
    what: str  # of work: time or memory
    unit: str
    points: list[float]
    found: list[float]
    asked: list[float]
    law: str  # what ``asked`` is, in words

    def __post_init__(self) -> None:
        if not len(self.points) == len(self.found) == len(self.asked) > 1:
            raise ValueError(f"{self.work}: {len(self.points)} points of {self.over}; an exponent needs two or more")
        if min(*self.points, *self.found, *self.asked) <= 0 or sorted(set(self.points)) != self.points:
            raise ValueError(f"{self.work}: {self.found} at {self.points} {self.over} has no exponent")

    @property
    def upper(self) -> slice:
        """The upper half of the points: where what does not grow counts least."""
        return slice((len(self.points) - 1) // 2, None)

    @property
    def fitted(self) -> float:
        """Over the upper half."""
        return exponent(self.points[self.upper], self.found[self.upper])

    @property
    def asked_fitted(self) -> float:
        return exponent(self.points[self.upper], self.asked[self.upper])

    @property
    def local(self) -> float:
        """Between the last two points."""
        return exponent(self.points[-2:], self.found[-2:])

    @property
    def asked_local(self) -> float:
        return exponent(self.points[-2:], self.asked[-2:])

    @property
    def worse(self) -> bool:
        """Whether ours grows faster than asked for, by more than the margin."""
        return self.fitted > self.asked_fitted + MARGIN or self.local > self.asked_local + MARGIN

    def text(self) -> str:
        values = ", ".join(f"{x:g}: {y:.3g}" for x, y in zip(self.points, self.found, strict=True))
        exponents = f"exponent {self.fitted:.2f} (asked {self.asked_fitted:.2f})"
        at_end = f"at the end {self.local:.2f} (asked {self.asked_local:.2f})"
        verdict = "  WORSE" if self.worse else ""
        return f"{self.work}, {self.what} in {self.unit} over {self.over}: {values}; {exponents}, {at_end}{verdict}"

    def row(self) -> str:
        """Of the table in RESULTS.md."""
        ends = f"{self.found[0]:.3g} - {self.found[-1]:.3g} {self.unit}"
        span = f"{self.over}, {self.points[0]:g} - {self.points[-1]:g}"
        fitted, local = f"{self.fitted:.2f} | {self.asked_fitted:.2f}", f"{self.local:.2f} | {self.asked_local:.2f}"
        return f"| {self.work}, {self.what} | {span} | {ends} | {fitted} | {local} | {'WORSE' if self.worse else ''} |"


def exponent(points: Sequence[float], values: Sequence[float]) -> float:
    """Slope of the least-squares line through the logarithms."""
    x, y = [math.log(point) for point in points], [math.log(value) for value in values]
    middle, level = sum(x) / len(x), sum(y) / len(y)
    rise = sum((a - middle) * (b - level) for a, b in zip(x, y, strict=True))
    return rise / sum((a - middle) ** 2 for a in x)


def section(growths: Sequence[Growth], plots: Sequence[str]) -> str:
    """RESULTS.md's part on growth; ``plots`` are paths from there."""
    laws = sorted({f"{growth.what}: {growth.law}" for growth in growths})
    head = f"""
## How cost grows

An exponent is the slope of the least-squares line through the logarithms of the upper half of the points; "end":
between the last two. "Asked" is the exponent of what the mathematics asks for at the same points; WORSE where ours is
more than {MARGIN:g} above it. Memory is that above the model before its first step.

"""
    table = """
| work | over | from - to | exponent | asked | end | asked | |
|---|---|---|---|---|---|---|---|
"""
    pictures = "\n".join(f"![{plot}]({plot})" for plot in plots)
    rows = "\n".join(growth.row() for growth in growths)
    return head + "\n".join(f"- {law}" for law in laws) + "\n" + table + rows + f"\n\n{pictures}\n"
