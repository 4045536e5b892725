"""Exponents of known laws, and what is said of them."""

import math

import pytest

from benchmarks.exponents import MARGIN, Growth, exponent, section

POINTS = [1.0, 2.0, 4.0, 8.0, 16.0]


def growth(found: list[float], asked: list[float] = POINTS, points: list[float] = POINTS) -> Growth:
    return Growth("a step", "utterances", "time", "s", points, found, asked, "step: linear")


@pytest.mark.parametrize("power", [0.0, 1.0, 2.5])
def test_exponent_of_a_power(power: float) -> None:
    assert math.isclose(exponent(POINTS, [3 * point**power for point in POINTS]), power, abs_tol=1e-12)


def test_exponent_is_the_least_squares_slope() -> None:
    """x of 0, 1, 2 in units of log 2 and y of 0, 1, 1: slope 1/2."""
    assert math.isclose(exponent([1, 2, 4], [1, 2, 2]), 0.5)


def test_lower_half_does_not_count_and_the_end_is_the_last_two() -> None:
    found = growth([100.0, 50.0, 4.0, 8.0, 32.0])
    assert math.isclose(found.fitted, 1.5) and math.isclose(found.local, 2.0)
    assert math.isclose(found.asked_fitted, 1.0) and math.isclose(found.asked_local, 1.0)


def test_worse_only_past_the_margin_and_at_either_place() -> None:
    assert not growth([point ** (1 + MARGIN - 0.01) for point in POINTS]).worse
    assert growth([point ** (1 + MARGIN + 0.01) for point in POINTS]).worse
    assert not growth([1.0] * 5).worse
    assert growth([1.0, 1.0, 8.0, 8.0, 20.0]).worse  # fitted 0.66, but 1.32 at the end


@pytest.mark.parametrize(
    ("points", "found", "words"),
    [
        ([1.0], [1.0], "two or more"),
        ([1.0, 2.0], [1.0, 0.0], "no exponent"),
        ([2.0, 1.0], [1.0, 1.0], "no exponent"),
        ([1.0, 1.0], [1.0, 1.0], "no exponent"),
    ],
)
def test_points_without_an_exponent_are_refused(points: list[float], found: list[float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        growth(found, [1.0] * len(points), points)


def test_section_has_a_row_each_with_its_flag_and_law() -> None:
    text = section([growth([point**2 for point in POINTS]), growth(POINTS)], ["plots/utterances.svg"])
    assert "| a step, time | utterances, 1 - 16 | 1 - 256 s | 2.00 | 1.00 | 2.00 | 1.00 | WORSE |" in text
    assert "| a step, time | utterances, 1 - 16 | 1 - 16 s | 1.00 | 1.00 | 1.00 | 1.00 |  |" in text
    assert text.count("- time: step: linear") == 1 and "![plots/utterances.svg](plots/utterances.svg)" in text
