"""One utterance's speech against its text: where their codes agree, and the monotonic path that agrees most.

Shapes: T encoder frames, L letters of a text, P cells of a path, G groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..scoring.time_warping import warp
from .alignment import cosines
from .collect import Pair, modality_mean

MOST_OTHERS = 20  # texts that the own one is compared with, the nearest by length: a longer one agrees more by chance


class Crossing(NamedTuple):
    """Speech against text.

    Attributes:
        row: of the manifest, from 0.
        letters: the text's, as numbers (L,).
        codes: share of the groups whose entries are the same: (T, L).
        code_path: the path through ``codes`` with the highest sum by time warping: int64 (P, 2).
        states: cosines of encoder states, each less its modality's mean: (T, L).
        state_path: the path through ``states``.
        on_path, everywhere: mean of ``codes`` on its path, and of all its cells.
        others: mean agreement with other texts of like lengths, each on its best path; NaN where there are none.
    """

    row: int
    letters: np.ndarray
    codes: np.ndarray
    code_path: np.ndarray
    states: np.ndarray
    state_path: np.ndarray
    on_path: float
    everywhere: float
    others: float


def same_entries(speech: np.ndarray, text: np.ndarray) -> np.ndarray:
    """Share of the groups in which codes (T, G) and (L, G) have the same entry: (T, L)."""
    return (speech[:, None] == text[None]).mean(-1)


def best_path(likeness: np.ndarray) -> np.ndarray:
    """The monotonic path through (T, L) from corner to corner that is the cheapest by 1 - likeness: int64 (P, 2)."""
    return warp(1 - likeness).path


def on_best_path(likeness: np.ndarray) -> float:
    """Mean likeness on ``best_path``."""
    return float(likeness[tuple(best_path(likeness).T)].mean())


def cross(pairs: Sequence[Pair], row: int) -> Crossing:
    """Of the utterance in a row of the manifest, whose states were kept."""
    pair = next(pair for pair in pairs if pair.row == row)
    codes = same_entries(pair.speech.codes, pair.text.codes)
    means = [modality_mean(sides) for sides in ([each.speech for each in pairs], [each.text for each in pairs])]
    states = cosines(pair.speech.states - means[0], pair.text.states - means[1])
    others = [each for each in pairs if not np.array_equal(each.letters, pair.letters)]
    others.sort(key=lambda each: abs(len(each.letters) - len(pair.letters)))
    elsewhere = [on_best_path(same_entries(pair.speech.codes, other.text.codes)) for other in others[:MOST_OTHERS]]
    return Crossing(
        row=row,
        letters=pair.letters,
        codes=codes,
        code_path=best_path(codes),
        states=states,
        state_path=best_path(states),
        on_path=on_best_path(codes),
        everywhere=float(codes.mean()),
        others=float(np.mean(elsewhere)) if elsewhere else float("nan"),
    )
