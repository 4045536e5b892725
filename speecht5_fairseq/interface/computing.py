"""What the methods of `SpeechT5` compute of batches of waveforms and texts.

Shapes: S samples, L tokens, T encoder frames, D model width, C classes, E width of an embedding.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data.collate import pad_right
from ..data.mel import mel_frames
from ..generation.beam_search import JointBeamSearch
from ..generation.speech import GeneratedSpeech, SpeechLimits, generate_speech
from ..outputs import SpeakerOutput
from .loading import Loaded
from .recordings import batches
from .results import Speech
from .texts import words_of
from .voices import Voicing

BATCH_TEXTS = 32  # texts spoken at a time


class Computing:
    """The network on its device; every method takes a batch and gives a result for each of it."""

    def __init__(self, loaded: Loaded, device: torch.device, voicing: Voicing) -> None:
        self.model = loaded.model
        self.dictionary = loaded.dictionary
        self.device = device
        self.voicing = voicing

    def heard(self, waves: list[Tensor]) -> dict[str, Tensor]:
        """What the encoder takes of waveforms (S,)."""
        waveform, lengths = pad_right(waves, 0.0)
        return {"waveform": waveform.to(self.device), "sample_lengths": lengths.to(self.device)}

    def searched(self, search: JointBeamSearch) -> Callable[[list[Tensor], list[int]], list[tuple[str, float, int]]]:
        """What finds the text, score and tokens of waveforms."""

        def compute(waves: list[Tensor], owners: list[int]) -> list[tuple[str, float, int]]:
            best = [found[0] for found in search.generate([self.model], {"net_input": self.heard(waves)})]
            return [
                (words_of(each["tokens"], self.dictionary), float(each["score"]), len(each["tokens"])) for each in best
            ]

        return compute

    @torch.no_grad()
    def spoken(
        self, texts: list[list[Tensor]], voices: Tensor, seed: int | None, limits: SpeechLimits
    ) -> list[list[GeneratedSpeech]]:
        """Speech of the parts (L,) of each text, in batches across texts."""
        flat = [(owner, part) for owner, parts in enumerate(texts) for part in parts]
        sizes = [len(part) for _, part in flat]
        found: list[Any] = [None] * len(flat)
        for chosen in batches(sizes, BATCH_TEXTS * max(sizes, default=0)):
            tokens, _ = pad_right([flat[index][1] for index in chosen], self.dictionary.pad())
            encoded = self.model.encode(source_tokens=tokens.to(self.device))
            owners = [flat[index][0] for index in chosen]
            generated = generate_speech(
                self.model, encoded, voices[owners], limits=limits, seeds=_seeds(seed, len(chosen))
            )
            for index, speech in zip(chosen, generated, strict=True):
                found[index] = speech
        spoken = iter(found)
        return [[next(spoken) for _ in parts] for parts in texts]

    def converted(
        self, waves: list[Tensor], voices: Tensor, vocoder: str, seed: int | None, limits: SpeechLimits
    ) -> list[Speech]:
        """Speech of waveforms (S,), each in its voice."""
        heard = self.heard(waves)
        source = self.model.source_mel(heard["waveform"], heard["sample_lengths"])
        found = generate_speech(
            self.model,
            self.model.encode(**heard),
            voices,
            limits=limits,
            seeds=_seeds(seed, len(waves)),
            source=source,
            source_lengths=None if source is None else mel_frames(heard["sample_lengths"]),
        )
        return [self.voicing.speech(each.mel, [each], vocoder, wave) for each, wave in zip(found, waves, strict=True)]

    def log_probabilities(self, waves: list[Tensor], owners: list[int]) -> list[Tensor]:
        """Of the classes of waveforms: (C,) each."""
        return list(self._classified(waves).logits.float().log_softmax(-1).cpu())

    def embeddings(self, waves: list[Tensor], owners: list[int]) -> list[np.ndarray]:
        """Speaker vectors of waveforms: (E,) each."""
        return list(self._classified(waves).embedding.float().cpu().numpy())

    def states(self, layer: int | None) -> Callable[[list[Tensor], list[int]], list[np.ndarray]]:
        """What finds the encoder states (T, D) of waveforms after ``layer`` layers."""

        def compute(waves: list[Tensor], owners: list[int]) -> list[np.ndarray]:
            encoded = self.model.encode(**self.heard(waves), layer=layer)
            states = encoded.states.float().cpu().numpy()
            return [row[:length] for row, length in zip(states, encoded.lengths.tolist(), strict=True)]

        return compute

    def _classified(self, waves: list[Tensor]) -> SpeakerOutput:
        return self.model.classify(self.model.encode(**self.heard(waves)))


def _seeds(seed: int | None, count: int) -> Tensor | None:
    return None if seed is None else torch.full((count,), seed)
