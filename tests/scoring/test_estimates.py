"""Corpus values and their intervals."""

import math

import numpy as np
import pytest
from scipy import stats

from speecht5_fairseq.scoring.estimates import Sample, estimate, estimate_difference, paired_p_value


def ones(values):
    return Sample(values, np.ones(len(values)))


def test_the_interval_of_a_mean_is_near_the_normal_one():
    values = np.random.default_rng(0).standard_normal(400) + 5
    found = estimate(ones(values))
    error = values.std(ddof=1) / math.sqrt(len(values))
    assert found.value == pytest.approx(values.mean()) and found.count == 400
    assert (found.low, found.high) == pytest.approx((found.value - 1.96 * error, found.value + 1.96 * error), abs=0.02)


def test_intervals_repeat_themselves():
    values = np.random.default_rng(0).random(20)
    assert estimate(ones(values)) == estimate(ones(values))


def test_error_rates_are_of_the_corpus():
    assert estimate(Sample([100, 0], [1, 9])).value == 10.0


def test_a_constant_gain_is_certain_however_different_the_utterances_are():
    values = np.random.default_rng(0).random(30) * 100
    found = estimate_difference(ones(values + 2), ones(values))
    assert (found.value, found.low, found.high) == pytest.approx((2.0, 2.0, 2.0))


def test_one_utterance_has_no_interval_and_no_words_no_rate():
    assert math.isnan(estimate(ones([3.0])).low)
    assert math.isnan(estimate(Sample([1.0, 2.0], [0.0, 0.0])).value)
    rare = estimate(Sample([1.0, 0.0, 0.0], [2.0, 0.0, 0.0]))  # many draws hold no word
    assert rare[:3] == (0.5, 0.5, 0.5)


def test_what_does_not_fit():
    for sample in (Sample([], []), Sample([1.0], [1.0, 1.0])):
        with pytest.raises(ValueError, match="one of each"):
            estimate(sample)
    with pytest.raises(ValueError, match="2 and 1 utterances"):
        estimate_difference(ones([1.0, 2.0]), ones([1.0]))


def test_a_p_value_tells_a_gain_from_chance():
    rng = np.random.default_rng(0)
    values, noise = rng.random(50), rng.standard_normal(50)
    assert paired_p_value(ones(values + 2), ones(values)) == pytest.approx(1 / 1001)
    assert paired_p_value(ones(values), ones(values)) == 1.0
    assert paired_p_value(ones(values + noise - noise.mean()), ones(values)) > 0.9
    assert math.isnan(paired_p_value(ones([1.0]), ones([2.0])))
    assert paired_p_value(ones(values), ones(values + noise)) == paired_p_value(ones(values + noise), ones(values))


def test_a_p_value_agrees_with_the_t_test_of_pairs():
    differences = np.random.default_rng(1).standard_normal(200) + 0.13
    zeros = np.zeros(200)
    expected = stats.ttest_1samp(differences, 0.0).pvalue
    assert paired_p_value(ones(differences), ones(zeros)) == pytest.approx(expected, abs=0.03)
