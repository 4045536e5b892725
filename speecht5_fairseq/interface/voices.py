"""Voices in, waveforms out: speaker vectors, and generated frames through a vocoder.

Shapes: S samples, N mel frames, M mel bins.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from os import PathLike
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..constants import SPEAKER_DIM
from ..data.speaker import checked_speaker, read_speaker
from ..generation.source_gain import source_gain
from ..generation.speech import GeneratedSpeech
from ..generation.vocoder import Vocoder, load_vocoder
from .arrays import array_of, is_file, is_one, listed
from .results import Speech

NO_VOCODER = "none"
SOURCE_PHASES = "source"  # of an enhancer that predicts a mask or a residual
GRIFFIN_LIM = "griffin-lim"


def speaker_vectors(speaker: Any, count: int) -> Tensor:
    """(count, 512) of one speaker for all, or of one each: vectors, or .npy files.

    Raises:
        AudioError: no speaker vector: a file that cannot be read, another shape, all zero, not finite.
        ValueError: another number of speakers.
    """
    speaker = listed(speaker, "speaker")
    given = [speaker] if is_one(speaker) else list(speaker)
    if not is_one(speaker) and len(given) != count:
        raise ValueError(f"{len(given)} speaker vectors for {count} utterances: give one, or one each")
    names = ["the speaker"] if len(given) == 1 else [f"speaker {number}" for number in range(1, len(given) + 1)]
    vectors = [_vector(each, name) for each, name in zip(given, names, strict=True)]
    if not vectors:
        return torch.empty(0, SPEAKER_DIM)
    return torch.from_numpy(np.stack(vectors)).expand(count, -1)


def _vector(given: Any, name: str) -> np.ndarray:
    return read_speaker(given) if is_file(given) else checked_speaker(array_of(given, name), name)


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

    def ready(self, vocoder: str | PathLike, *, source: bool) -> str:
        """The name of a vocoder that is loaded now, before anything is generated for it.

        Args:
            source: whether there are recordings whose phases can be kept.

        Raises:
            ValueError: no such vocoder, or "source" where there is none or the model predicts mel frames.
        """
        name = os.fspath(vocoder)
        if name == SOURCE_PHASES and not (source and self.default == SOURCE_PHASES):
            raise ValueError(
                f"vocoder {SOURCE_PHASES!r} is for enhancement by a mask or a residual; give {GRIFFIN_LIM!r}"
            )
        if name not in (SOURCE_PHASES, NO_VOCODER, *self.vocoders):
            self.vocoders[name] = load_vocoder(name, self.device)
        return name

    def speech(
        self, mel: Tensor, parts: Sequence[GeneratedSpeech], vocoder: str, source: Tensor | None = None
    ) -> Speech:
        """The result for frames (N, M) that were generated in parts, of a source (S,) where there is one.

        Args:
            vocoder: as ``ready`` gave it.
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
            return source_gain(mel.float().cpu(), source).numpy()
        return self.vocoders[vocoder](mel.float()).cpu().numpy()
