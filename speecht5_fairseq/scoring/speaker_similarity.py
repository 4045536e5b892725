"""How near two speaker vectors are."""

from __future__ import annotations

import numpy as np

from .errors import ScoreError


def speaker_similarity(reference: np.ndarray, generated: np.ndarray) -> float:
    """Cosine of two speaker vectors of the same extractor: 1 for the same direction, 0 for unrelated ones.

    Args:
        reference, generated: (D,) and (D',). The shorter is taken to go on in zeros, as speaker vectors are padded to
            512 entries: zeros change no cosine.

    Raises:
        ScoreError: not vectors, all zero, or not finite.
    """
    size = max(np.size(reference), np.size(generated))
    first, second = _unit(reference, size), _unit(generated, size)
    return float(np.clip(first @ second, -1.0, 1.0))


def _unit(vector: np.ndarray, size: int) -> np.ndarray:
    vector = np.asarray(vector, dtype=np.float64)
    if vector.ndim != 1:
        raise ScoreError(f"a speaker vector of shape {vector.shape}: it must have one dimension")
    length = float(np.linalg.norm(vector))
    if not np.isfinite(length) or length == 0.0:
        raise ScoreError("a speaker vector is all zero or holds NaN or infinity: is the recording silent?")
    return np.pad(vector / length, (0, size - len(vector)))
