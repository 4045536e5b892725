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
CHANCE = {
    EVEN: "with all letters moved by a number of positions that is drawn",
    DTW: "with texts of like lengths, warped alike (text: all letters moved by a number of positions that is drawn)",
}
TITLES = {EVEN: "spread evenly", DTW: "by time warping"}
LIKE_TEXTS = 4  # that change places with each other
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


def moved_letters(letters: np.ndarray, draws: int) -> Iterator[np.ndarray]:
    """The letters (N,) of all utterances in a row, moved around by a number of positions that is drawn: (N,) each.

    Letters that are long stay long, and the codes stay as they are: only which letter meets which code is by chance.
    (Texts dealt out anew would be stretched, and stretched letters tell more by chance than the own ones do.)
    """
    generator = np.random.default_rng(SEED)
    for _ in range(draws if len(letters) > 1 else 0):
        yield np.roll(letters, int(generator.integers(1, len(letters))))


def other_letters(lay: Lay, sizes: Sequence[int], draws: int) -> Iterator[np.ndarray]:
    """Every utterance with the text of another of about its size, laid as the own one is: (N,) of each draw.

    What the laying favours is in these too. None of one utterance.
    """
    generator, order = np.random.default_rng(SEED), np.argsort(sizes, kind="stable")
    for _ in range(draws if len(sizes) > 1 else 0):
        texts = np.arange(len(sizes))
        for block in _blocks(order, generator):
            texts[block] = np.roll(block, generator.integers(1, len(block)))
        yield np.concatenate([lay(i, int(j)) for i, j in enumerate(texts)])


def _blocks(order: np.ndarray, generator: np.random.Generator) -> list[np.ndarray]:
    """Neighbours in ``order``, ``LIKE_TEXTS`` together from a place that is drawn; fewer at the ends, at least two."""
    starts = [start for start in range(LIKE_TEXTS) if start != 1 and (len(order) - start) % LIKE_TEXTS != 1]
    blocks = np.split(order, np.arange(generator.choice(starts), len(order), LIKE_TEXTS))
    return [block for block in blocks if len(block)]
