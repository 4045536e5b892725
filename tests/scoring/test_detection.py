"""EER and minimum cost, against a plain loop over all thresholds."""

import numpy as np
import pytest

from speecht5_fairseq.scoring.detection import Costs, detection_errors, equal_error_rate, minimum_cost
from speecht5_fairseq.scoring.errors import ScoreError


def drawn(seed, *, digits=None, count=60):
    """Scores of targets above those of others on the whole; rounding makes many equal."""
    rng = np.random.default_rng(seed)
    targets = rng.random(count) < 0.3
    scores = rng.normal(size=count) + 1.5 * targets
    return (scores if digits is None else scores.round(digits)), targets


def brute_force(scores, targets):
    """[(threshold, miss rate, false alarm rate)] at every threshold that changes a decision."""
    points = []
    for threshold in [*sorted(set(scores.tolist())), float("inf")]:
        accepted = [score >= threshold for score in scores]
        misses = sum(t and not a for t, a in zip(targets, accepted, strict=True)) / sum(targets)
        alarms = sum(a and not t for t, a in zip(targets, accepted, strict=True)) / sum(~targets)
        points.append((threshold, misses, alarms))
    return points


def crossing(points):
    """Where the line from point to point meets misses = false alarms."""
    for (_, miss, alarm), (_, next_miss, next_alarm) in zip(points, points[1:], strict=False):
        before, after = miss - alarm, next_miss - next_alarm
        if before < 0 <= after:
            share = -before / (after - before)
            return miss + share * (next_miss - miss)
    raise AssertionError("the rates do not meet")


CASES = [(seed, digits) for seed in range(8) for digits in (None, 1, 0)]


@pytest.mark.parametrize("seed, digits", CASES)
def test_every_threshold_by_brute_force(seed, digits):
    scores, targets = drawn(seed, digits=digits)
    errors, points = detection_errors(scores, targets), brute_force(scores, targets)
    np.testing.assert_allclose(errors.thresholds, [point[0] for point in points])
    np.testing.assert_allclose(errors.misses, [point[1] for point in points])
    np.testing.assert_allclose(errors.false_alarms, [point[2] for point in points], atol=1e-12)
    assert equal_error_rate(errors).value == pytest.approx(crossing(points), abs=1e-12)


@pytest.mark.parametrize("seed, digits", CASES)
@pytest.mark.parametrize("costs", [Costs(), Costs(0.05), Costs(0.5, 3.0, 1.0), Costs(0.01, 10.0, 1.0)])
def test_least_cost_by_brute_force(seed, digits, costs):
    scores, targets = drawn(seed, digits=digits)
    points = brute_force(scores, targets)
    weights = costs.miss * costs.p_target, costs.false_alarm * (1 - costs.p_target)
    least = min(weights[0] * miss + weights[1] * alarm for _, miss, alarm in points) / min(weights)
    found = minimum_cost(detection_errors(scores, targets), costs)
    assert found.value == pytest.approx(least, abs=1e-12) and found.value <= 1
    (there,) = [point for point in points if point[0] == found.threshold]
    assert (weights[0] * there[1] + weights[1] * there[2]) / min(weights) == pytest.approx(found.value)


def test_perfect_reversed_and_blind_detectors():
    targets = np.array([True, True, False, False])
    perfect = detection_errors(np.array([0.9, 0.8, 0.2, 0.1]), targets)
    assert equal_error_rate(perfect) == (0.0, 0.8) and minimum_cost(perfect, Costs()).value == 0
    reversed_ = detection_errors(-np.array([0.9, 0.8, 0.2, 0.1]), targets)
    assert equal_error_rate(reversed_).value == 1 and minimum_cost(reversed_, Costs()).value == 1
    blind = detection_errors(np.zeros(4), targets)
    assert equal_error_rate(blind).value == 0.5 and minimum_cost(blind, Costs()).value == 1


def test_an_odd_number_by_hand():
    """Three targets, one below the middle of four others: a miss of 1/3 and a false alarm of 1/4 at best."""
    scores = np.array([3.0, 2.0, 0.5, 1.0, 0.0, -1.0, -2.0])
    targets = np.array([True, True, True, False, False, False, False])
    errors = detection_errors(scores, targets)
    # at 1.0: misses 1/3, false alarms 1/4; at 0.5: 0 and 1/4: they meet at 1/4, reached at once
    assert equal_error_rate(errors).value == pytest.approx(1 / 4)


@pytest.mark.parametrize(
    "scores, targets, said",
    [([1.0, 2.0], [True, True], "no trial is of two speakers"), ([1.0], [False], "no trial is of one speaker"),
     ([1.0, np.nan], [True, False], "1 scores are NaN or infinite")],
)  # fmt: skip
def test_what_has_no_error_rate(scores, targets, said):
    with pytest.raises(ScoreError, match=said):
        detection_errors(np.array(scores), np.array(targets))


@pytest.mark.parametrize(
    "costs, said",
    [(Costs(0.0), "--p-target is 0.0; give a share between 0 and 1"), (Costs(1.0), "--p-target"),
     (Costs(0.1, 0.0), "--cost-miss is 0.0; give a number above 0"),
     (Costs(0.1, 1.0, -1.0), "--cost-false-alarm is -1.0; give a number above 0")],
)  # fmt: skip
def test_costs_out_of_range(costs, said):
    with pytest.raises(ValueError, match=said):
        minimum_cost(detection_errors(*drawn(0)), costs)
