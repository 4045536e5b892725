"""What the methods of `SpeechT5` give back, one result for each utterance.

Shapes: S samples, N mel frames, M mel bins.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..constants import SAMPLE_RATE
from ..data.audio import write_audio
from .recordings import Span


class Segment(NamedTuple):
    """A stretch of a recording, in seconds, and the text that was found in it.

    ``score`` is the mean log-probability of its tokens, ``tokens`` their number, the end of the text counted.
    """

    start: float
    end: float
    text: str
    score: float
    tokens: int


class Transcript(NamedTuple):
    """The text of a recording, recognised or translated; of several stretches where it is long."""

    text: str
    segments: list[Segment]

    @property
    def score(self) -> float:
        """Mean log-probability (natural) of the tokens, 0 at best."""
        tokens = sum(segment.tokens for segment in self.segments)
        return sum(segment.score * segment.tokens for segment in self.segments) / tokens


class Speech(NamedTuple):
    """Generated speech.

    Attributes:
        waveform: float32 (S,) in [-1, 1], 16 kHz; None where no vocoder was wanted.
        mel: float32 (N, M) log10-mel.
        hit_limit: no stop came within the maximum length: the end is cut off, or repeats itself.
        focus_rate: 0 to 1, how sharply the decoder attended; near 1 for text that was read in order.
    """

    waveform: np.ndarray | None
    mel: np.ndarray
    hit_limit: bool
    focus_rate: float

    sample_rate = SAMPLE_RATE

    def save(self, path: str | Path) -> None:
        """Write the waveform, 16 bits; the suffix names the format.

        Raises:
            ValueError: there is none.
        """
        if self.waveform is None:
            raise ValueError(f"{path}: no waveform, only a mel: generate with a vocoder")
        write_audio(path, self.waveform)


class Identity(NamedTuple):
    """Who speaks: the likeliest class, its probability, and the likeliest ones with theirs."""

    name: str
    probability: float
    classes: dict[str, float]


def finite(score: float) -> float | None:
    """A score for JSON, which has no infinity: None where no text was possible."""
    return score if math.isfinite(score) else None


def joined_transcript(spans: list[Span], found: list[tuple[str, float, int]]) -> Transcript:
    """The text, score and tokens of each stretch of a recording as one transcript."""
    segments = [
        Segment(span.start / SAMPLE_RATE, span.end / SAMPLE_RATE, text, score, tokens)
        for span, (text, score, tokens) in zip(spans, found, strict=True)
    ]
    return Transcript(" ".join(segment.text for segment in segments if segment.text), segments)


def joined_identity(classes: Sequence[str], top: int) -> Callable[[list[Span], list[Tensor]], Identity]:
    """What makes of the log-probabilities (C,) of a recording's stretches who speaks, with the ``top`` likeliest.

    The log-probabilities are averaged by length and scaled to sum to 1: the stretches count as one.
    """

    def combine(spans: list[Span], found: list[Tensor]) -> Identity:
        best = torch.from_numpy(mean(spans, [each.numpy() for each in found])).softmax(-1).topk(top)
        named = {classes[c]: p for p, c in zip(best.values.tolist(), best.indices.tolist(), strict=True)}
        name, probability = next(iter(named.items()))
        return Identity(name, probability, named)

    return combine


def mean(spans: list[Span], found: list[np.ndarray]) -> np.ndarray:
    """The mean of one array for each stretch of a recording, by the stretches' lengths."""
    return np.average(found, axis=0, weights=[span.end - span.start for span in spans]).astype(np.float32)


def one_after_another(spans: list[Span], found: list[np.ndarray]) -> np.ndarray:
    """The arrays (T, D) of a recording's stretches as one."""
    return np.concatenate(found)


def joined_speech(spans: list[Span], found: list[Speech]) -> Speech:
    """The stretches of a recording as one speech."""
    if len(found) == 1:
        return found[0]
    frames = [len(speech.mel) for speech in found]
    waves = [speech.waveform for speech in found if speech.waveform is not None]
    return Speech(
        waveform=np.concatenate(waves) if waves else None,
        mel=np.concatenate([speech.mel for speech in found]),
        hit_limit=any(speech.hit_limit for speech in found),
        focus_rate=float(np.average([speech.focus_rate for speech in found], weights=frames)),
    )
