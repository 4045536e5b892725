"""A corpus number with its uncertainty: bootstrap intervals over utterances."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

DRAWS = 1000
SEED = 0  # of the draws: the same numbers give the same interval
COVERAGE = 95.0  # percent


class Estimate(NamedTuple):
    """A value and its 95% interval; low and high are NaN for fewer than two utterances."""

    value: float
    low: float
    high: float
    count: int  # utterances


class Sample(NamedTuple):
    """What the utterances contribute: the corpus value is sum(amounts) / sum(weights).

    A mean has weights of 1. An error rate has edits as amounts and words as weights, so long utterances count more.
    """

    amounts: Sequence[float]
    weights: Sequence[float]


def estimate(sample: Sample) -> Estimate:
    """The corpus value with a percentile bootstrap interval (Efron 1979): utterances are drawn with replacement.

    Raises:
        ValueError: no utterances, or amounts and weights of different numbers.
    """
    amounts, weights = _arrays(sample)
    draws = [_ratio(amounts[chosen], weights[chosen]) for chosen in _choices(len(amounts))]
    return Estimate(_ratio(amounts, weights), *_interval(draws), len(amounts))


def estimate_difference(first: Sample, second: Sample) -> Estimate:
    """The first corpus value minus the second; both are of the same utterances, in the same order.

    The same utterances are drawn for both, so what makes an utterance hard for both does not widen the interval.

    Raises:
        ValueError: no utterances, or different numbers of them.
    """
    (amounts, weights), (others, other_weights) = _arrays(first), _arrays(second)
    if len(amounts) != len(others):
        raise ValueError(f"{len(amounts)} and {len(others)} utterances: a difference needs the same ones")
    draws = [
        _ratio(amounts[chosen], weights[chosen]) - _ratio(others[chosen], other_weights[chosen])
        for chosen in _choices(len(amounts))
    ]
    value = _ratio(amounts, weights) - _ratio(others, other_weights)
    return Estimate(value, *_interval(draws), len(amounts))


def _arrays(sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    amounts, weights = (np.asarray(numbers, dtype=np.float64) for numbers in sample)
    if amounts.ndim != 1 or amounts.shape != weights.shape or not len(amounts):
        raise ValueError(f"{amounts.size} amounts and {weights.size} weights: give one of each for every utterance")
    return amounts, weights


def _choices(count: int) -> Iterator[np.ndarray]:
    """Utterances of each draw; none for fewer than two utterances."""
    generator = np.random.default_rng(SEED)
    return (generator.integers(count, size=count) for _ in range(DRAWS if count > 1 else 0))


def _ratio(amounts: np.ndarray, weights: np.ndarray) -> float:
    """sum / sum; NaN where nothing is counted (references without words)."""
    total = weights.sum()
    return float(amounts.sum() / total) if total else float("nan")


def _interval(draws: Sequence[float]) -> tuple[float, float]:
    counted = [value for value in draws if not np.isnan(value)]
    if not counted:
        return float("nan"), float("nan")
    tail = (100.0 - COVERAGE) / 2
    low, high = np.percentile(counted, [tail, 100.0 - tail])
    return float(low), float(high)
