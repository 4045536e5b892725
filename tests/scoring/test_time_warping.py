"""Time warping against every path there is."""

from itertools import product

import numpy as np
import pytest

from speecht5_fairseq.scoring.time_warping import frame_distances, mean_absolute_distances, warp


def all_paths(cell, last):
    """Every path from `cell` to `last`, by recursion."""
    if cell == last:
        yield [cell]
        return
    for step in ((1, 1), (1, 0), (0, 1)):
        following = (cell[0] + step[0], cell[1] + step[1])
        if following[0] <= last[0] and following[1] <= last[1]:
            for rest in all_paths(following, last):
                yield [cell, *rest]


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 5), (5, 1), (2, 3), (4, 4), (5, 4), (3, 6)])
def test_no_path_is_cheaper(rows, columns):
    for seed in range(10):
        distances = np.random.default_rng(seed).random((rows, columns))
        costs = [sum(distances[cell] for cell in path) for path in all_paths((0, 0), (rows - 1, columns - 1))]
        warping = warp(distances)
        assert warping.distances.sum() == pytest.approx(min(costs), abs=1e-12)
        np.testing.assert_array_equal(warping.distances, distances[tuple(warping.path.T)])


def test_the_path_is_a_path():
    path = warp(np.random.default_rng(0).random((40, 31))).path
    assert path[0].tolist() == [0, 0] and path[-1].tolist() == [39, 30]
    steps = {tuple(step) for step in np.diff(path, axis=0).tolist()}
    assert steps <= {(1, 1), (1, 0), (0, 1)}


def test_equal_sequences_go_along_the_diagonal_and_repeated_frames_cost_nothing():
    frames = np.random.default_rng(0).standard_normal((6, 3))
    warping = warp(frame_distances(frames, frames))
    assert warping.path.tolist() == [[i, i] for i in range(6)] and not warping.distances.any()
    slower = frames.repeat([1, 3, 1, 2, 1, 4], axis=0)
    assert warp(frame_distances(frames, slower)).distances.sum() == 0.0


def test_librosa_finds_the_same_cost():
    librosa = pytest.importorskip("librosa")
    distances = np.random.default_rng(3).random((50, 70))
    costs, _ = librosa.sequence.dtw(C=distances)
    assert warp(distances).distances.sum() == pytest.approx(costs[-1, -1], rel=1e-12)


def test_distances_by_hand():
    first, second = np.array([[0.0, 0.0], [3.0, 4.0]]), np.array([[0.0, 0.0], [3.0, 0.0], [6.0, 8.0]])
    for i, j in product(range(2), range(3)):
        difference = first[i] - second[j]
        assert frame_distances(first, second)[i, j] == pytest.approx(np.sqrt((difference**2).sum()))
        assert mean_absolute_distances(first, second)[i, j] == pytest.approx(np.abs(difference).mean())


@pytest.mark.parametrize("distances", [np.zeros((0, 3)), np.zeros(3), np.array([[1.0, np.nan]])])
def test_what_cannot_be_warped(distances):
    with pytest.raises(ValueError, match="distances"):
        warp(distances)
