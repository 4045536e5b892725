"""Which letter belongs to each frame of speech, where no CTC head tells it.

Shapes: T encoder frames, L letters (pieces) of a text, D model width, N positions of all utterances in a row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from ..scoring.time_warping import warp

EVEN, DTW = "even", "dtw"
SAID = {
    EVEN: "spread evenly over the frames, pauses too (a checkpoint of pre-training has no CTC head to tell better)",
    DTW: "by time warping of the encoder's states of speech and text, which favours letters that the model hears alike",
}
SEED = 0  # of the draws: the same data give the same numbers

Lay = Callable[[int, int], np.ndarray]  # (utterance i, text j) -> the letters of text j at the positions of i


def spread_evenly(letters: np.ndarray, frames: int) -> np.ndarray:
    """Letters (L,) over T frames, in order, all as long as each other to a frame: (T,). Of L frames each is one."""
    return letters[(2 * np.arange(frames) + 1) * len(letters) // (2 * frames)]


def warped(letters: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """Letters (L,) at T frames along the cheapest path through distances (T, L): (T,), of several letters the first."""
    path = warp(distances).path
    first = np.searchsorted(path[:, 0], np.arange(len(distances)))
    return letters[path[first, 1]]


def cosines(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Between all rows of (N, D) and of (M, D): float64 (N, M); 0 where a row is 0."""
    return _unit(first) @ _unit(second).T


def _unit(rows: np.ndarray) -> np.ndarray:
    rows = np.asarray(rows, dtype=np.float64)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)


def even_layer(letters: Sequence[np.ndarray], lengths: Sequence[int]) -> Lay:
    """``spread_evenly`` of text j over the ``lengths[i]`` positions of utterance i."""
    return lambda i, j: spread_evenly(letters[j], lengths[i])


def warping_layer(letters: Sequence[np.ndarray], speech: Sequence[np.ndarray], text: Sequence[np.ndarray]) -> Lay:
    """``warped`` by the cosines of states: of speech (T, D), and of text (L, D), each less its modality's mean."""
    return lambda i, j: warped(letters[j], 1 - cosines(speech[i], text[j]))


def own_letters(lay: Lay, count: int) -> np.ndarray:
    """Every utterance with its own text: (N,)."""
    return np.concatenate([lay(i, i) for i in range(count)])


def other_letters(lay: Lay, count: int, draws: int) -> Iterator[np.ndarray]:
    """Every utterance with the text of one drawn without replacement: (N,) of each draw; none of one utterance.

    The letters are laid as the own text's are, so that what the laying favours is in both.
    """
    generator = np.random.default_rng(SEED)
    for _ in range(draws if count > 1 else 0):
        texts = generator.permutation(count)
        yield np.concatenate([lay(i, int(j)) for i, j in enumerate(texts)])
