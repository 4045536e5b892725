"""Letters for frames."""

import itertools

import numpy as np
import pytest

from speecht5_fairseq.codes.alignment import (
    cosines,
    even_layer,
    other_letters,
    own_letters,
    spread_evenly,
    warped,
    warping_layer,
)


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


def test_other_texts_are_laid_at_the_own_positions():
    texts = [np.full(length, length) for length in (2, 3, 5, 7)]
    draws = list(other_letters(even_layer(texts, [4, 6, 10, 14]), 4, 50))
    assert len(draws) == 50
    for drawn in draws:
        parts = np.split(drawn, [4, 10, 20])
        assert sorted({int(part[0]) for part in parts}) == [2, 3, 5, 7] and all(len(set(part)) == 1 for part in parts)
    assert len({tuple(drawn) for drawn in draws}) > 10  # of 24 orders
    assert not list(other_letters(even_layer(texts[:1], [4]), 1, 50))


def test_cosines():
    rows = np.random.default_rng(0).standard_normal((3, 4))
    rows[1] = 0
    found = cosines(rows, rows[:2])
    for i, j in itertools.product(range(3), range(2)):
        norm = np.linalg.norm(rows[i]) * np.linalg.norm(rows[j])
        assert found[i, j] == pytest.approx(0.0 if norm == 0 else float(rows[i] @ rows[j] / norm))
