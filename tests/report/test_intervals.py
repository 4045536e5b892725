"""Intervals of BLEU, and of verification over utterances, against cases that are known."""

import itertools

import numpy as np
import pytest
import sacrebleu

from speecht5_fairseq.report.intervals import (
    translation_estimate,
    translation_p_value,
    verification_differences,
    verification_estimates,
)
from speecht5_fairseq.scoring.detection import Costs, detection_errors, equal_error_rate, minimum_cost

REFERENCES = [f"the {number} small dogs run over the green hill" for number in range(20)]
GOOD = [line.replace("green", "red") if number % 3 == 0 else line for number, line in enumerate(REFERENCES)]
BAD = [line.replace("small dogs", "cats").replace("hill", "h") for line in GOOD]


def trials(spread, speakers=6, each=4):
    rng = np.random.default_rng(0)
    voices = np.repeat(rng.normal(size=(speakers, 8)), each, axis=0)
    vectors = voices + spread * rng.normal(size=voices.shape)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    pairs = np.array(list(itertools.combinations(range(len(vectors)), 2)))
    return (vectors[pairs[:, 0]] * vectors[pairs[:, 1]]).sum(1), pairs[:, 0] // each == pairs[:, 1] // each, pairs


def test_bleu_is_sacrebleus_and_lies_in_its_interval():
    found = translation_estimate("BLEU", REFERENCES, GOOD)
    assert found.value == pytest.approx(sacrebleu.corpus_bleu(GOOD, [REFERENCES]).score)
    assert found.low < found.value < found.high and found.count == 20
    assert np.isnan(translation_estimate("chrF", REFERENCES[:1], GOOD[:1]).low)
    assert translation_estimate("BLEU", REFERENCES, GOOD) == found


def test_a_worse_translation_differs_and_an_equal_one_does_not():
    assert translation_p_value("BLEU", REFERENCES, GOOD, BAD) < 0.01
    assert translation_p_value("chrF", REFERENCES, GOOD, GOOD) == 1.0


def test_voices_far_apart_are_certain():
    eer, cost = verification_estimates(*trials(0.01), Costs())
    assert eer == (0.0, 0.0, 0.0, 24) and cost[:3] == (0.0, 0.0, 0.0)


def test_error_rates_are_those_of_scoring_and_lie_in_their_intervals():
    scores, targets, pairs = trials(1.2)
    eer, cost = verification_estimates(scores, targets, pairs, Costs())
    errors = detection_errors(scores, targets)
    assert eer.value == 100 * equal_error_rate(errors).value and cost.value == minimum_cost(errors, Costs()).value
    assert eer.low < eer.value < eer.high and cost.low < cost.value <= cost.high
    assert verification_estimates(scores, targets, pairs, Costs()) == (eer, cost)


def test_more_speakers_are_more_certain():
    few, many = (verification_estimates(*trials(1.2, speakers), Costs())[0] for speakers in (6, 24))
    assert many.high - many.low < few.high - few.low


def test_systems_of_equal_trials_differ_by_what_their_rates_differ_by():
    (good, targets, pairs), (bad, *_) = trials(0.4), trials(2.0)
    rates = [verification_estimates(scores, targets, pairs, Costs()) for scores in (good, bad)]
    found = verification_differences(good, bad, targets, pairs, Costs())
    for first, second, difference in zip(*rates, found, strict=True):
        assert difference.estimate.value == second.value - first.value and difference.estimate.count == 24
        assert 0 < difference.estimate.low <= difference.estimate.value and difference.p_value < 0.05


def test_equal_systems_are_equal_and_draws_are_the_same_for_both():
    """A shift and a scale of the scores change no error rate, in any draw."""
    scores, targets, pairs = trials(1.2)
    for found in verification_differences(scores, 2 * scores + 1, targets, pairs, Costs()):
        assert found.estimate[:3] == (0.0, 0.0, 0.0) and found.p_value == 1.0


def test_p_values_of_systems_that_are_equally_good_are_spread():
    """Two embedders with noise of one size: a test at 10% may refuse about a tenth, not half."""
    p_values = []
    for seed in range(20):
        _, targets, pairs = trials(1.2)
        first, second = (targets + 1.5 * np.random.default_rng((seed, own)).normal(size=len(targets)) for own in (0, 1))
        p_values.append(verification_differences(first, second, targets, pairs, Costs())[0].p_value)
    assert sum(value < 0.1 for value in p_values) <= 5 and min(p_values) > 0.001 and max(p_values) > 0.5
