"""Intervals of the scores that are no ratio of sums: BLEU and chrF, equal error rate and detection cost.

Shapes: N trials, T distinct scores.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from sacrebleu.metrics import BLEU, CHRF
from sacrebleu.metrics.base import Metric
from sacrebleu.significance import PairedTest

from ..scoring.detection import Costs, DetectionErrors, detection_errors, equal_error_rate, minimum_cost
from ..scoring.estimates import DRAWS, Estimate, draw_utterances, interval, p_value_of

TRANSLATION_METRICS: dict[str, type[Metric]] = {"BLEU": BLEU, "chrF": CHRF}


class Difference(NamedTuple):
    """How two systems differ, and how likely that is where both are equally good (``paired_p_value``)."""

    estimate: Estimate
    p_value: float


class _Draws(NamedTuple):
    """Equal error rate in percent and detection cost: of all trials, and of each draw (D, 2)."""

    values: tuple[float, float]
    draws: np.ndarray
    utterances: int


def translation_estimate(name: str, references: Sequence[str], hypotheses: Sequence[str]) -> Estimate:
    """A corpus score of sacrebleu with its own bootstrap interval (its seed is 12345).

    Args:
        name: of ``TRANSLATION_METRICS``.
    """
    metric = TRANSLATION_METRICS[name]()
    several = len(hypotheses) > 1
    found = metric.corpus_score(hypotheses, [references], n_bootstrap=DRAWS if several else 1)
    low, high = (found._mean - found._ci, found._mean + found._ci) if several else (float("nan"), float("nan"))
    return Estimate(found.score, low, high, len(hypotheses))


def translation_score(name: str, references: Sequence[str], hypotheses: Sequence[str]) -> float:
    """The value of ``translation_estimate`` alone, without its draws."""
    return TRANSLATION_METRICS[name]().corpus_score(hypotheses, [references]).score


def translation_p_value(name: str, references: Sequence[str], first: Sequence[str], second: Sequence[str]) -> float:
    """Paired bootstrap of sacrebleu: that the two are equally good (Koehn 2004); 1 for equal texts."""
    if list(first) == list(second):
        return 1.0
    logging.getLogger("sacrebleu").setLevel(logging.WARNING)
    metrics = {name: TRANSLATION_METRICS[name](references=[references])}
    systems = [("first", first), ("second", second)]
    _, scores = PairedTest(systems, metrics, references=None, test_type="bs", n_samples=DRAWS)()
    (results,) = (results for key, results in scores.items() if key != "System")
    return float(results[1].p_value)


def verification_estimates(
    scores: np.ndarray, targets: np.ndarray, pairs: np.ndarray, costs: Costs
) -> tuple[Estimate, Estimate]:
    """Equal error rate in percent, and minimum detection cost, with intervals over utterances.

    Utterances are drawn with replacement, and a trial counts as often as both of its utterances were drawn together:
    trials share utterances, so that a draw of trials would make intervals too narrow (Poh and Bengio 2007). Counted
    are draws with trials of both kinds.

    Args:
        scores, targets: (N,) of the trials.
        pairs: (N, 2) int64, the trials' utterances, numbered from 0.
    """
    found = _verification_draws(scores, targets, pairs, costs)
    columns = zip(found.values, found.draws.T, strict=True)
    eer, cost = (Estimate(value, *interval(draws), found.utterances) for value, draws in columns)
    return eer, cost


def verification_differences(
    first: np.ndarray, second: np.ndarray, targets: np.ndarray, pairs: np.ndarray, costs: Costs
) -> tuple[Difference, Difference]:
    """The second system's equal error rate and detection cost minus the first's, on the same draws of utterances.

    Utterances and not trials are drawn, so that p-values are rather too great than too small.

    Args:
        first, second: (N,) scores of the same trials.
        targets, pairs, costs: as ``verification_estimates``, which tells how utterances are drawn.
    """
    ours, others = (_verification_draws(scores, targets, pairs, costs) for scores in (second, first))
    values, draws = np.subtract(ours.values, others.values).tolist(), (ours.draws - others.draws).T
    eer, cost = (
        Difference(Estimate(value, *interval(column), ours.utterances), p_value_of(value, column))
        for value, column in zip(values, draws, strict=True)
    )
    return eer, cost


def _verification_draws(scores: np.ndarray, targets: np.ndarray, pairs: np.ndarray, costs: Costs) -> _Draws:
    """What ``verification_estimates`` draws; NaN for a draw without trials of both kinds."""
    errors = detection_errors(scores, targets)
    places = np.searchsorted(errors.thresholds, scores)
    count = int(pairs.max()) + 1
    drawn: list[tuple[float, float]] = []
    for chosen in draw_utterances(count):
        times = np.bincount(chosen, minlength=count)
        found = _weighted(errors.thresholds, places, targets, times[pairs[:, 0]] * times[pairs[:, 1]])
        drawn.append((np.nan, np.nan) if found is None else _measures(found, costs))
    return _Draws(_measures(errors, costs), np.array(drawn).reshape(-1, 2), count)


def _measures(errors: DetectionErrors, costs: Costs) -> tuple[float, float]:
    """Equal error rate in percent, and minimum detection cost."""
    return 100 * equal_error_rate(errors).value, minimum_cost(errors, costs).value


def _weighted(
    thresholds: np.ndarray, places: np.ndarray, targets: np.ndarray, weights: np.ndarray
) -> DetectionErrors | None:
    """Error rates where each trial counts ``weights`` (N,) times; None where a kind of trial is not there."""
    shares = []
    for kind in (True, False):
        counts = np.bincount(places[targets == kind], weights[targets == kind], minlength=len(thresholds))
        if not counts.sum():
            return None
        below = np.concatenate([[0.0], np.cumsum(counts)[:-1]])
        shares.append(below / counts.sum())
    return DetectionErrors(thresholds, shares[0], 1 - shares[1])
