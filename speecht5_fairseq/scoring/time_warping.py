"""Exact dynamic time warping of two sequences."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

_DIAGONAL, _DOWN, _RIGHT = 0, 1, 2  # how the cheapest way enters a cell: from (i-1, j-1), (i-1, j) or (i, j-1)
_MOVES = ((-1, -1), (-1, 0), (0, -1))  # back, by the numbers above


class Warping(NamedTuple):
    """The cheapest way through a distance matrix, from its first cell to its last.

    Attributes:
        path: int64 (P, 2), the cells (i, j) passed, in order; max(N, K) <= P < N + K.
        distances: float64 (P,), the distance at each of these cells.
    """

    path: np.ndarray
    distances: np.ndarray


def frame_distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Euclidean distances between all rows of (N, D) and of (K, D): float64 (N, K).

    The differences are taken before they are squared: equal rows are at distance 0 exactly.
    """
    rows = (torch.from_numpy(np.ascontiguousarray(array, dtype=np.float64)) for array in (first, second))
    return torch.cdist(*rows, compute_mode="donot_use_mm_for_euclid_dist").numpy()


def mean_absolute_distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Mean absolute differences between all rows of (N, D) and of (K, D): float64 (N, K)."""
    rows = (torch.from_numpy(np.ascontiguousarray(array, dtype=np.float64)) for array in (first, second))
    return torch.cdist(*rows, p=1.0).numpy() / first.shape[1]


def warp(distances: np.ndarray) -> Warping:
    """The path with the least sum of distances, by steps (1, 1), (1, 0) and (0, 1) of equal weight, without a window.

    All cells of an anti-diagonal depend on the two before it only, so each is one numpy operation. Among paths of
    equal cost, diagonal steps are preferred, then those along the first sequence. Source: Sakoe and Chiba 1978, the
    symmetric form without slope constraint, each cell counted once.

    Args:
        distances: (N, K), both at least 1, finite.

    Raises:
        ValueError: an empty matrix, or one that holds NaN or infinity.
    """
    if distances.ndim != 2 or 0 in distances.shape:
        raise ValueError(f"distances of shape {distances.shape}: time warping needs a matrix of at least one cell")
    if not np.isfinite(distances).all():
        raise ValueError("distances hold NaN or infinity: check that the recordings hold finite samples")
    path = _walk_back(_entries(np.ascontiguousarray(distances, dtype=np.float64)))
    return Warping(path, distances[path[:, 0], path[:, 1]])


def _entries(distances: np.ndarray) -> np.ndarray:
    """(N, K) -> int8 (N, K): how the cheapest way enters each cell."""
    rows, columns = distances.shape
    entries = np.zeros((rows, columns), dtype=np.int8)
    # costs of the anti-diagonal before and of the one before that, by row; position 0 stands before the first row
    last, before = np.full(rows + 1, np.inf), np.full(rows + 1, np.inf)
    before[0] = 0.0  # the way into cell (0, 0)
    for diagonal in range(rows + columns - 1):
        low, high = max(0, diagonal - columns + 1), min(diagonal, rows - 1) + 1
        i = np.arange(low, high)
        ways = np.stack([before[low:high], last[low:high], last[low + 1 : high + 1]])
        entries[i, diagonal - i] = choice = ways.argmin(axis=0)
        costs = np.full(rows + 1, np.inf)
        costs[low + 1 : high + 1] = ways[choice, np.arange(high - low)] + distances[i, diagonal - i]
        before, last = last, costs
    return entries


def _walk_back(entries: np.ndarray) -> np.ndarray:
    """The cells from (0, 0) to the last: int64 (P, 2)."""
    i, j = entries.shape[0] - 1, entries.shape[1] - 1
    path = [(i, j)]
    while (i, j) != (0, 0):
        step_i, step_j = _MOVES[entries[i, j]]
        i, j = i + step_i, j + step_j
        path.append((i, j))
    return np.array(path[::-1], dtype=np.int64)
