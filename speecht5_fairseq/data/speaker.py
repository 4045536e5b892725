"""Speaker vectors: the voice of an utterance, 512 numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..constants import SPEAKER_DIM
from .errors import AudioError
from .npy import npy_file, read_header, read_numbers

_MEND = "make it with `python -m manifest_tools.speaker_vectors`"


def read_speaker(path: str | Path) -> np.ndarray:
    """Read a speaker vector: float32 (512,) from a .npy file.

    Raises:
        AudioError: missing, not a .npy array, of another shape, all zero or not finite.
    """
    try:
        with npy_file(path) as file:
            header = read_header(file)
            if header.shape != (SPEAKER_DIM,):
                raise AudioError(_speaker_shape(str(path), header.shape))
            vector = read_numbers(file, header)
    except AudioError:  # of its shape; or of the archive: nothing that another vector would mend
        raise
    except (OSError, ValueError) as error:
        raise AudioError(f"{path}: no readable speaker vector ({error}); {_MEND}") from error
    return checked_speaker(vector, str(path))


def checked_speaker(vector: Any, name: str) -> np.ndarray:
    """A speaker vector as float32 (512,).

    Args:
        name: says which, in errors.

    Raises:
        AudioError: no array of that shape, all zero or not finite.
    """
    if not isinstance(vector, np.ndarray) or vector.shape != (SPEAKER_DIM,):
        raise AudioError(_speaker_shape(name, getattr(vector, "shape", type(vector).__name__)))
    with np.errstate(over="ignore"):  # of float64: infinity then, which is refused
        vector = vector.astype(np.float32)
    if not np.isfinite(vector).all() or not vector.any():
        raise AudioError(f"{name}: the speaker vector is all zero or holds NaN or infinity; {_MEND}")
    return vector


def _speaker_shape(name: str, shape: Any) -> str:
    return f"{name}: a speaker vector of shape {str(shape)[:80]}, not ({SPEAKER_DIM},); {_MEND}"
