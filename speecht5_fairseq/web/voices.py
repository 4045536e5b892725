"""Whose voice: one of the given vectors, or that of a recording.

Shapes: S samples, E width of an embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from ..constants import SPEAKER_DIM
from ..data.speaker import checked_speaker, read_speaker
from ..interface import SpeechT5

VECTOR = ".npy"


def read_voices(paths: Sequence[Path]) -> dict[str, np.ndarray]:
    """Speaker vectors (512,) by the stems of their files, in the order given; folders hold several.

    Raises:
        AudioError: a file that is no speaker vector.
        ValueError: a folder without one, or two of one name.
    """
    found: dict[str, np.ndarray] = {}
    for path in paths:
        files = sorted(path.glob(f"*{VECTOR}")) if path.is_dir() else [path]
        if not files:
            raise ValueError(f"--voices {path}: holds no {VECTOR} file; name the folder that does")
        for file in files:
            if file.stem in found:
                raise ValueError(f"--voices {file}: a second voice named {file.stem}; rename one of them")
            found[file.stem] = read_speaker(file)
    return found


def check_speaker_model(model: SpeechT5) -> None:
    """Check that a model's embeddings can be voices.

    Raises:
        ValueError: another job's model, or one of wider embeddings.
    """
    model.require("embed")
    width = model.model.speaker_head.projection.in_features
    if width > SPEAKER_DIM:
        raise ValueError(
            f"--voices-of {model.loaded.source.path}: its vectors have {width} numbers, and a voice has {SPEAKER_DIM}; "
            f"give a model that was trained with --speaker-embedding-dim {SPEAKER_DIM} or less"
        )


def voice_of(model: SpeechT5, wave: Tensor) -> np.ndarray:
    """The voice (512,) of a recording (S,): its embedding (E,), as `manifest_tools.speaker_vectors` writes such.

    That is of length 1, with zeros after its own numbers.

    Raises:
        AudioError: the embedding is no vector.
    """
    vector = model.embed(wave)
    length = np.linalg.norm(vector)
    scaled = vector / length if length > 0 else vector
    return checked_speaker(np.pad(scaled, (0, SPEAKER_DIM - len(vector))), "the voice of the recording")
