"""Voices in, waveforms out: speaker vectors, and generated frames through a vocoder.

Shapes: S samples, N mel frames, M mel bins.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from os import PathLike
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..constants import SPEAKER_DIM
from ..data.audio import read_speaker
from ..generation.source_gain import source_gain
from ..generation.speech import GeneratedSpeech
from ..generation.vocoder import Vocoder, load_vocoder
from .results import Speech

NO_VOCODER = "none"
SOURCE_PHASES = "source"  # of an enhancer that predicts a mask or a residual
GRIFFIN_LIM = "griffin-lim"


def speaker_vectors(speaker: Any, count: int) -> Tensor:
    """(count, 512) of one speaker for all, or of one each: vectors, or .npy files.

    Raises:
        AudioError: a file without a speaker vector.
        ValueError: another number of speakers, or vectors of another shape.
    """
    one = isinstance(speaker, (str, PathLike)) or not any(isinstance(s, (str, PathLike)) or np.ndim(s) for s in speaker)
    given: Iterable[Any] = [speaker] * count if one else list(speaker)
    vectors = [read_speaker(s) if isinstance(s, (str, PathLike)) else np.asarray(s, dtype=np.float32) for s in given]
    shapes = {vector.shape for vector in vectors}
    if len(vectors) != count or shapes - {(SPEAKER_DIM,)}:
        raise ValueError(
            f"{len(vectors)} speaker vectors of shapes {sorted(shapes)} for {count} utterances: give one of "
            f"({SPEAKER_DIM},), or one each"
        )
    return torch.from_numpy(np.stack(vectors)) if vectors else torch.empty(0, SPEAKER_DIM)


class Voicing:
    """Makes waveforms of a model's frames; a vocoder is loaded once."""

    def __init__(self, model: Any, device: torch.device) -> None:
        self.model = model
        self.device = device
        self.vocoders: dict[str, Vocoder] = {}

    @property
    def default(self) -> str:
        """The vocoder of an enhancer: the source's own phases where the model predicts from the source."""
        return GRIFFIN_LIM if self.model.speech_decoder_postnet.prediction == "mel" else SOURCE_PHASES

    def speech(
        self, mel: Tensor, parts: Sequence[GeneratedSpeech], vocoder: str, source: Tensor | None = None
    ) -> Speech:
        """The result for frames (N, M) that were generated in parts, of a source (S,) where there is one.

        Raises:
            ValueError: no such vocoder, or "source" for a model that predicts mel frames.
        """
        steps = sum(part.steps for part in parts)
        return Speech(
            waveform=self._waveform(mel, vocoder, source),
            mel=mel.float().cpu().numpy(),
            hit_limit=any(part.hit_limit for part in parts),
            focus_rate=sum(part.focus_rate * part.steps for part in parts) / steps,
        )

    def _waveform(self, mel: Tensor, vocoder: str, source: Tensor | None) -> np.ndarray | None:
        if vocoder == NO_VOCODER:
            return None
        if vocoder == SOURCE_PHASES:
            if source is None or self.default != SOURCE_PHASES:
                raise ValueError(
                    f"vocoder {SOURCE_PHASES!r} is for enhancement by a mask or a residual; give {GRIFFIN_LIM!r}"
                )
            return source_gain(mel.float().cpu(), source).numpy()
        if vocoder not in self.vocoders:
            self.vocoders[vocoder] = load_vocoder(vocoder, self.device)
        return self.vocoders[vocoder](mel.float()).cpu().numpy()
