"""Ranks, ties and chance."""

import itertools
import math

import numpy as np
import pytest

from speecht5_fairseq.codes.retrieval import (
    TOP,
    centred,
    chance,
    found,
    histogram,
    length_similarity,
    retrieval,
    similarities,
)


def orders(row, own):
    """The ranks of a text over all orders of texts with one similarity."""
    ranks = []
    for order in itertools.permutations(range(len(row))):
        ranked = sorted(order, key=lambda text: -row[text])  # stable: ties stay in the drawn order
        ranks.append(ranked.index(own) + 1)
    return np.array(ranks)


def test_ties_count_as_the_mean_over_their_orders():
    similarity = np.random.default_rng(0).integers(3, size=(4, 7)) / 2
    ways = found(similarity)
    for row, own in itertools.product(range(4), range(7)):
        ranks = orders(similarity[row], own)
        assert ways.first[row, own] == pytest.approx(np.mean(ranks == 1))
        assert ways.top[row, own] == pytest.approx(np.mean(ranks <= TOP))
        assert ways.reciprocal[row, own] == pytest.approx(np.mean(1 / ranks))


def test_alike_texts_are_found_by_chance():
    own = np.arange(40)
    result = retrieval(np.ones((40, 40)), own)
    assert (result.first.value, result.top.value, result.reciprocal.value) == pytest.approx(chance(40))
    assert result.p_value == 1.0
    noisy = retrieval(1 + 1e-13 * np.random.default_rng(0).random((40, 40)), own)
    assert noisy == result  # rounding makes no rank


def test_the_own_text_is_found_where_it_is_nearest():
    own = np.random.default_rng(0).permutation(30)
    result = retrieval(np.eye(30)[own], own)
    assert result.first[:3] == result.top[:3] == result.reciprocal[:3] == (1.0, 1.0, 1.0)
    assert result.p_value == pytest.approx(1 / 1001)
    shuffled = retrieval(np.eye(30)[own], np.roll(own, 1))
    assert shuffled.first.value == 0.0 and shuffled.p_value > 0.9


def test_random_similarities_give_chance_and_any_p_value():
    generator = np.random.default_rng(0)
    results = [retrieval(generator.random((25, 25)), np.arange(25)) for _ in range(15)]
    for index, expected in enumerate(chance(25)):
        assert np.mean([result[index].value for result in results]) == pytest.approx(expected, rel=0.3)
    assert 0.3 < np.mean([result.p_value for result in results]) < 0.7


def test_one_text_alone():
    result = retrieval(np.ones((3, 1)), np.zeros(3, dtype=np.int64))
    assert result.first.value == 1.0 == chance(1)[0] and math.isnan(result.p_value)


def test_features_without_difference_have_no_direction():
    same = np.tile(np.random.default_rng(0).random(9) / 3, (7, 1))
    assert not centred(same).any() and not similarities(same, same)[", centred"].any()
    other = same + np.eye(7, 9)
    assert np.allclose(centred(other), other - other.mean(0))


def test_centring_takes_away_what_a_modality_has_everywhere():
    generator = np.random.default_rng(0)
    content, own = generator.standard_normal((30, 8)), np.arange(30)
    speech, text = np.hstack([content, np.full((30, 1), 50.0)]), np.hstack([content, np.full((30, 1), -50.0)])
    speech += 5 * np.eye(9)[0]
    found = {name: retrieval(each, own).first.value for name, each in similarities(speech, text).items()}
    assert found[", centred"] == 1.0 > found[""]


def test_histograms_are_shares():
    assert histogram(np.array([5, 2, 5, 9]), np.array([2, 3, 5, 9])).tolist() == [0.25, 0.0, 0.5, 0.25]


def test_lengths_alone_find_texts_of_lengths_that_differ():
    letters = np.array([2, 5, 11, 23, 50])
    own = np.array([3, 0, 4, 1, 2])
    found = length_similarity(7 * letters[own], letters, own)
    assert np.allclose(found.max(1), 0) and (found.argmax(1) == own).all()
    alike = retrieval(length_similarity(np.full(5, 70), np.full(5, 10), own), own)
    assert alike.first.value == pytest.approx(0.2)
