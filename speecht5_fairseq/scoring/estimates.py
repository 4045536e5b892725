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
    draws = [_ratio(amounts[chosen], weights[chosen]) for chosen in draw_utterances(len(amounts))]
    return Estimate(_ratio(amounts, weights), *interval(draws), len(amounts))


def estimate_difference(first: Sample, second: Sample) -> Estimate:
    """The first corpus value minus the second; both are of the same utterances, in the same order.

    The same utterances are drawn for both, so what makes an utterance hard for both does not widen the interval.

    Raises:
        ValueError: no utterances, or different numbers of them.
    """
    value, draws = _paired(first, second)
    return Estimate(value, *interval(draws), len(first.amounts))


def paired_p_value(first: Sample, second: Sample) -> float:
    """How likely a difference as large as the one found is where both are equally good: paired bootstrap, two-sided.

    The draws' differences are moved to a mean of 0; counted are those that are as far from 0 as the difference found
    (Riezler and Maxwell 2005, and sacrebleu). At least 1 / 1001; NaN for fewer than two utterances.

    Raises:
        ValueError: no utterances, or different numbers of them.
    """
    return p_value_of(*_paired(first, second))


def p_value_of(value: float, draws: Sequence[float]) -> float:
    """The p-value of ``paired_p_value`` for a difference and those of the draws, of which NaN is not counted."""
    counted = np.array([draw for draw in draws if not np.isnan(draw)])
    if not len(counted) or np.isnan(value):
        return float("nan")
    extreme = np.abs(counted - counted.mean()) >= abs(value) - 1e-12  # rounding must not break a tie
    return float((extreme.sum() + 1) / (len(counted) + 1))


def _paired(first: Sample, second: Sample) -> tuple[float, list[float]]:
    """The difference, and that of each draw of the same utterances for both."""
    (amounts, weights), (others, other_weights) = _arrays(first), _arrays(second)
    if len(amounts) != len(others):
        raise ValueError(f"{len(amounts)} and {len(others)} utterances: a difference needs the same ones")
    draws = [
        _ratio(amounts[chosen], weights[chosen]) - _ratio(others[chosen], other_weights[chosen])
        for chosen in draw_utterances(len(amounts))
    ]
    return _ratio(amounts, weights) - _ratio(others, other_weights), draws


def _arrays(sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    amounts, weights = (np.asarray(numbers, dtype=np.float64) for numbers in sample)
    if amounts.ndim != 1 or amounts.shape != weights.shape or not len(amounts):
        raise ValueError(f"{amounts.size} amounts and {weights.size} weights: give one of each for every utterance")
    return amounts, weights


def draw_utterances(count: int) -> Iterator[np.ndarray]:
    """Utterances of each draw; none for fewer than two utterances."""
    generator = np.random.default_rng(SEED)
    return (generator.integers(count, size=count) for _ in range(DRAWS if count > 1 else 0))


def _ratio(amounts: np.ndarray, weights: np.ndarray) -> float:
    """sum / sum; NaN where nothing is counted (references without words)."""
    total = weights.sum()
    return float(amounts.sum() / total) if total else float("nan")


def interval(draws: Sequence[float]) -> tuple[float, float]:
    """The middle 95% of what the draws gave, without those that are NaN; NaN where none is left."""
    counted = [value for value in draws if not np.isnan(value)]
    if not counted:
        return float("nan"), float("nan")
    tail = (100.0 - COVERAGE) / 2
    low, high = np.percentile(counted, [tail, 100.0 - tail])
    return float(low), float(high)
