"""How often the text of an utterance is found among all texts, by what is alike in speech and text.

Shapes: N utterances, M texts that differ, F features of one, G groups, C entries of a group.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..scoring.estimates import Estimate, Sample, estimate
from .alignment import cosines

TOP = 5
DRAWS = 1000
SEED = 0  # of the draws
_DIGITS = 9  # of a similarity: those that differ by less are ties


class Found(NamedTuple):
    """How each utterance finds each text, were it its own: (N, M) each. Of ties, the mean over their orders.

    Attributes:
        first, top: the chance to be first, to be among the first ``TOP``.
        reciprocal: 1 / rank.
    """

    first: np.ndarray
    top: np.ndarray
    reciprocal: np.ndarray


class Retrieval(NamedTuple):
    """Shares of the utterances whose text is first and among the first ``TOP``, and mean reciprocal ranks.

    Attributes:
        p_value: how often texts dealt out anew have as high a mean reciprocal rank; NaN for one text.
    """

    first: Estimate
    top: Estimate
    reciprocal: Estimate
    p_value: float


def chance(texts: int) -> tuple[float, float, float]:
    """Of a random order of M texts: first, among the first ``TOP``, mean reciprocal rank."""
    return 1 / texts, min(TOP, texts) / texts, float((1 / np.arange(1, texts + 1)).mean())


def found(similarity: np.ndarray) -> Found:
    """Of the similarities (N, M) of utterances and texts."""
    rounded = np.round(similarity, _DIGITS)
    better, ties = np.empty(rounded.shape, dtype=np.int64), np.empty(rounded.shape, dtype=np.int64)
    for row, (values, ordered) in enumerate(zip(rounded, np.sort(rounded, axis=1), strict=True)):
        last = np.searchsorted(ordered, values, side="right")
        better[row] = len(values) - last
        ties[row] = last - np.searchsorted(ordered, values, side="left")
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, rounded.shape[1] + 1))])
    return Found(
        first=np.clip((1 - better) / ties, 0, 1),
        top=np.clip((TOP - better) / ties, 0, 1),
        reciprocal=(harmonic[better + ties] - harmonic[better]) / ties,
    )


def retrieval(similarity: np.ndarray, own: np.ndarray) -> Retrieval:
    """Of the similarities (N, M), where utterance i has the text ``own[i]``."""
    ways, rows = found(similarity), np.arange(len(own))
    ones = np.ones(len(own))
    values = [estimate(Sample(way[rows, own], ones)) for way in ways]
    if similarity.shape[1] < 2:
        return Retrieval(*values, p_value=float("nan"))
    generator = np.random.default_rng(SEED)
    drawn = np.array([ways.reciprocal[rows, generator.permutation(own)].mean() for _ in range(DRAWS)])
    as_high = np.count_nonzero(drawn >= values[2].value - 1e-9)
    return Retrieval(*values, p_value=float(1 + as_high) / (1 + DRAWS))


def centred(features: np.ndarray) -> np.ndarray:
    """Features (N, F) less their mean; 0 where only rounding is left."""
    away = features - features.mean(0)
    return np.where(np.abs(away) > 1e-9 * np.abs(features).max(initial=0.0), away, 0.0)


def histogram(numbers: np.ndarray, known: np.ndarray) -> np.ndarray:
    """How often each of the ``known`` numbers (F,), ascending, is among (N,): shares (F,)."""
    counts = np.bincount(np.searchsorted(known, numbers), minlength=len(known))
    return counts / len(numbers)


def length_similarity(frames: np.ndarray, letters: np.ndarray, own: np.ndarray) -> np.ndarray:
    """What lengths alone tell: how near log(frames / letters) is to its mean over own texts: (N, M), 0 at best."""
    ratio = np.log(frames)[:, None] - np.log(letters)[None]
    return -np.abs(ratio - ratio[np.arange(len(own)), own].mean())


def similarities(speech: np.ndarray, text: np.ndarray) -> dict[str, np.ndarray]:
    """Cosines (N, M) of features (N, F) and (M, F): as they are, and less the mean of each modality."""
    return {"": cosines(speech, text), ", centred": cosines(centred(speech), centred(text))}
