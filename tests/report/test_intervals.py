"""Intervals of BLEU, and of verification over utterances, against cases that are known."""

import itertools

import numpy as np
import pytest
import sacrebleu

from speecht5_fairseq.report.intervals import translation_estimate, translation_p_value, verification_estimates
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
