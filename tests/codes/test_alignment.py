"""Letters for frames."""

import itertools
from functools import partial

import numpy as np
import pytest

from speecht5_fairseq.codes.alignment import (
    LIKE_TEXTS,
    cosines,
    even_layer,
    moved_letters,
    other_letters,
    own_letters,
    spread_evenly,
    warped,
    warping_layer,
)
from speecht5_fairseq.codes.tables import beside_chance, mutual_information


@pytest.mark.parametrize("letters, frames", [(1, 5), (3, 7), (4, 4), (5, 3), (7, 100)])
def test_letters_are_spread_evenly(letters, frames):
    given = np.arange(letters) + 10
    spread = spread_evenly(given, frames)
    assert spread.tolist() == [10 + int((frame + 0.5) / frames * letters) for frame in range(frames)]
    if frames >= letters:
        counts = np.bincount(spread - 10, minlength=letters)
        assert counts.max() - counts.min() <= 1 and counts.min() >= 1


def paths(rows, columns):
    """All monotonic paths from the last cell's view: lists of cells."""
    if rows == columns == 1:
        return [[(0, 0)]]
    before = [(rows - a, columns - b) for a, b in ((1, 1), (1, 0), (0, 1)) if rows > a and columns > b]
    return [[*path, (rows - 1, columns - 1)] for size in before for path in paths(*size)]


@pytest.mark.parametrize("frames, letters", [(6, 3), (3, 5), (4, 1)])
def test_a_warped_frame_has_the_first_letter_of_the_cheapest_path(frames, letters):
    distances = np.random.default_rng(0).random((frames, letters))
    cheapest = min(paths(frames, letters), key=lambda path: sum(distances[cell] for cell in path))
    expected = [min(j for i, j in cheapest if i == frame) for frame in range(frames)]
    assert (warped(np.arange(letters) + 7, distances) - 7).tolist() == expected


def test_warping_follows_what_is_alike():
    letters = [np.array([4, 5, 6]), np.array([6, 4])]
    spoken = [np.eye(7)[[4, 4, 4, 4, 5, 6]], np.eye(7)[[6, 4, 4, 4]]]
    lay = warping_layer(letters, spoken, [np.eye(7)[text] for text in letters])
    assert own_letters(lay, 2).tolist() == [4, 4, 4, 4, 5, 6, 6, 4, 4, 4]
    assert own_letters(even_layer(letters, [6, 4]), 2).tolist() == [4, 4, 5, 5, 6, 6, 6, 6, 4, 4]


def test_letters_by_chance_keep_their_lengths():
    letters = np.repeat([4, 5, 6, 4, 7], [3, 1, 4, 2, 5])
    draws = [drawn.tolist() for drawn in moved_letters(letters, 60)]
    rounds = [np.roll(letters, shift).tolist() for shift in range(1, 15)]
    assert len(draws) == 60 and all(drawn in rounds for drawn in draws)
    assert len({tuple(drawn) for drawn in draws}) > 10
    assert not list(moved_letters(letters[:1], 60))


def test_other_texts_are_of_about_the_own_length():
    lengths = [int(length) for length in np.random.default_rng(0).permutation(np.arange(2, 22))]
    texts = [np.full(length, length) for length in lengths]
    frames = [2 * length for length in lengths]
    draws = list(other_letters(even_layer(texts, frames), lengths, 50))
    assert len(draws) == 50
    for drawn in draws:
        parts = np.split(drawn, np.cumsum(frames)[:-1])
        given = [int(part[0]) for part in parts]
        assert sorted(given) == sorted(lengths) and all(len(set(part)) == 1 for part in parts)
        assert max(abs(one - other) for one, other in zip(given, lengths, strict=True)) < LIKE_TEXTS
        assert all(one != other for one, other in zip(given, lengths, strict=True))  # never the own text
    assert {abs(int(drawn[0]) - lengths[0]) for drawn in draws} >= {1, 2}
    assert not list(other_letters(even_layer(texts[:1], [4]), [2], 50))


@pytest.mark.parametrize("count", range(2, 12))
def test_no_utterance_keeps_its_text_however_many_there_are(count):
    texts = [np.array([number]) for number in range(count)]
    draws = [drawn.tolist() for drawn in other_letters(even_layer(texts, [1] * count), [1] * count, 40)]
    assert all(sorted(drawn) == list(range(count)) for drawn in draws)
    assert not any(drawn[i] == i for drawn in draws for i in range(count))


def test_chance_is_what_codes_without_meaning_reach():
    """Codes and letters of some length each, which know nothing of each other: the p-values are of any size."""
    values = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        letters = np.repeat(rng.integers(9, size=120), rng.integers(1, 6, size=120))
        codes = np.repeat(rng.integers(20, size=200), 4)[: len(letters)]
        letters = letters[: len(codes)]
        statistic = {"bits": partial(mutual_information, codes)}
        values.append(beside_chance(statistic, letters, moved_letters(letters, 39))["bits"].p_value)
    assert 0.35 < np.mean(values) < 0.65 and min(values) < 0.2 and max(values) > 0.8


def test_cosines():
    rows = np.random.default_rng(0).standard_normal((3, 4))
    rows[1] = 0
    found = cosines(rows, rows[:2])
    for i, j in itertools.product(range(3), range(2)):
        norm = np.linalg.norm(rows[i]) * np.linalg.norm(rows[j])
        assert found[i, j] == pytest.approx(0.0 if norm == 0 else float(rows[i] @ rows[j] / norm))
