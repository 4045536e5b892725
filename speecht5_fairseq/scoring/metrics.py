"""The metrics by name, and how one utterance is scored by several of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from ..data.audio import read_audio
from ..data.mel import log_mel
from ..data.plugin import load_function
from ..data.speaker import read_speaker
from . import mel_distortion, waveform_quality
from .error_rate import character_errors, word_errors
from .errors import ScoreError
from .folders import OK, Utterance
from .intelligibility import find_recogniser, plain_text
from .speaker_similarity import speaker_similarity

GENERATED, SOURCE, REFERENCE = "generated", "source", "reference"  # whose recordings are scored
PREFIXES = {GENERATED: "", SOURCE: "source_", REFERENCE: "reference_"}  # of their columns
SPEAKER, ASR = "speaker", "asr"
SPEAKER_COLUMN = "speaker_cosine"  # a column `speaker` names the file of a vector
ASR_REFERENCE = "asr_reference"  # what `asr_text` was compared with: of the column text, or of --texts
ASR_COLUMNS = ("asr_text", ASR_REFERENCE, "word_edits", "words", "character_edits", "characters")
COLUMNS = {ASR: ASR_COLUMNS, SPEAKER: (SPEAKER_COLUMN,)}  # of metrics that are not called as their column


class Recording:
    """A recording, with what several metrics take from it computed once, at its first use."""

    def __init__(self, path: Path | None, kind: str):
        self._path = path
        self.kind = kind

    @property
    def path(self) -> Path:
        """The file. Raises ScoreError where the utterance has none of this kind."""
        if self._path is None:
            raise ScoreError(f"the utterance has no {self.kind} recording")
        return self._path

    @cached_property
    def wave(self) -> np.ndarray:
        """float32 (S,) at 16 kHz. Raises AudioError for an unreadable file, ScoreError for one without samples."""
        wave = read_audio(self.path)
        if not len(wave):
            raise ScoreError(f"{self.path}: holds no samples")
        return wave

    @cached_property
    def mel(self) -> np.ndarray:
        """Log-mel, (N, M)."""
        return log_mel(torch.from_numpy(self.wave)).numpy()

    @cached_property
    def cepstra(self) -> np.ndarray:
        """Mel-cepstra, (N, 25)."""
        return mel_distortion.mel_cepstra(self.wave)


PairScore = Callable[[Recording, Recording], float]  # of the reference and of the recording to judge


class Metric(NamedTuple):
    """What a metric says of a recording beside its reference."""

    help: str
    unit: str
    better: str  # "higher" or "lower"
    score: PairScore
    module: str | None = None  # optional package that it imports


def _on_waves(function: Callable[..., float], **options: bool) -> PairScore:
    return lambda reference, generated: function(*waveform_quality.trim_pair(reference.wave, generated.wave), **options)


def _mel_l1(reference: Recording, generated: Recording) -> float:
    waveform_quality.trim_pair(reference.wave, generated.wave)  # of the same instants?
    frames = min(len(reference.mel), len(generated.mel))
    return mel_distortion.log_mel_l1(reference.mel[:frames], generated.mel[:frames])


_ALIGNED = "; needs time-aligned pairs"
PAIR_METRICS: dict[str, Metric] = {
    "mcd": Metric(
        "mel-cepstral distortion over a time-warping path",
        "dB",
        "lower",
        lambda reference, generated: mel_distortion.mel_cepstral_distortion(reference.cepstra, generated.cepstra),
        "pyworld",
    ),
    "mel_l1_dtw": Metric(
        "log-mel L1 over a time-warping path",
        "log10",
        "lower",
        lambda reference, generated: mel_distortion.log_mel_l1_warped(reference.mel, generated.mel),
    ),
    "mel_l1": Metric(f"log-mel L1{_ALIGNED}", "log10", "lower", _mel_l1),
    "stoi": Metric(
        f"short-time objective intelligibility{_ALIGNED}",
        "-",
        "higher",
        _on_waves(waveform_quality.intelligibility_index),
        "pystoi",
    ),
    "estoi": Metric(
        f"extended STOI{_ALIGNED}",
        "-",
        "higher",
        _on_waves(waveform_quality.intelligibility_index, extended=True),
        "pystoi",
    ),
    "pesq": Metric(
        f"wide-band PESQ{_ALIGNED}", "MOS", "higher", _on_waves(waveform_quality.perceptual_quality), "pesq"
    ),
    "si_sdr": Metric(
        f"scale-invariant signal-to-distortion ratio{_ALIGNED}",
        "dB",
        "higher",
        _on_waves(waveform_quality.scale_invariant_sdr),
    ),
}
METRICS = (*PAIR_METRICS, SPEAKER, ASR)


class Plan(NamedTuple):
    """What to compute for every utterance; plain names, so that worker processes can take it."""

    metrics: tuple[str, ...]  # of METRICS
    systems: tuple[str, ...] = (GENERATED,)  # of PREFIXES; REFERENCE is judged by asr only
    asr: str = ""  # --asr
    speaker_encoder: str = ""  # --speaker-encoder
    speaker_vectors: bool = False  # --speaker-vectors

    def columns(self) -> list[str]:
        """The columns that this plan fills."""
        return [
            PREFIXES[system] + column
            for system in self.systems
            for metric in self.metrics_of(system)
            for column in COLUMNS.get(metric, (metric,))
        ]

    def metrics_of(self, system: str) -> tuple[str, ...]:
        """The metrics that judge a system's recordings."""
        return tuple(metric for metric in self.metrics if system != REFERENCE or metric == ASR)


class Outcome(NamedTuple):
    """An utterance's fields by column, and what could not be computed: reason -> the columns concerned."""

    fields: dict[str, str]
    problems: dict[str, list[str]]

    def reasons(self) -> list[str]:
        """`columns: reason` for each reason; the reason alone where it concerns everything."""
        return [f"{', '.join(names)}: {reason}" if names else reason for reason, names in self.problems.items()]


def score_utterance(utterance: Utterance, plan: Plan) -> Outcome:
    """Compute what `plan` names. What fails is among the outcome's problems and leaves its field empty.

    Where nothing was generated, nothing else is scored either: all systems are judged on the same utterances.
    """
    if utterance.status != OK:
        return Outcome({}, {f"not generated: {utterance.status}": []})
    outcome = Outcome({}, {})
    paths = {GENERATED: utterance.generated, SOURCE: utterance.source, REFERENCE: utterance.reference}
    recordings = {system: Recording(path, system) for system, path in paths.items()}
    for system in plan.systems:
        for metric in plan.metrics_of(system):
            name = PREFIXES[system] + metric
            try:
                fields = _fields(metric, recordings[system], recordings[REFERENCE], utterance, plan)
            except Exception as error:  # plug-ins and packages raise anything, and one recording must not end the run
                known = isinstance(error, (ValueError, OSError))
                reason = str(error) if known else f"{type(error).__name__}: {error}"
                outcome.problems.setdefault(reason, []).append(name)
            else:
                outcome.fields.update({PREFIXES[system] + column: field for column, field in fields.items()})
    return outcome


def _fields(
    metric: str, recording: Recording, reference: Recording, utterance: Utterance, plan: Plan
) -> dict[str, str]:
    """The columns of one metric, without prefix."""
    if metric == ASR:
        return _understood(recording, utterance.text, plan.asr)
    if metric == SPEAKER:
        column, score = SPEAKER_COLUMN, _speaker(recording, reference, utterance.speaker, plan)
    else:
        column, score = metric, PAIR_METRICS[metric].score(reference, recording)
    if not math.isfinite(score):
        raise ScoreError(f"the score is {score}, not a finite number")
    return {column: f"{score:.6g}"}


def _understood(recording: Recording, text: str | None, asr: str) -> dict[str, str]:
    """What the recogniser heard, the text to be said, both as `plain_text`, and the edits between them.

    In silence that was generated nothing is heard, and all words of the text count as errors: left out of the rates
    it would flatter a voice that fails. Of a silent reference or source no rate can be told.
    """
    if text is None:
        raise ScoreError("there is no text to compare with; give it in the column text or in --texts")
    silent = not np.any(recording.wave)
    if silent and recording.kind != GENERATED:
        raise ScoreError(f"{recording.path}: the recording is silent (all samples are 0)")
    wanted, heard = plain_text(text), "" if silent else plain_text(find_recogniser(asr)(recording.path))
    words, characters = word_errors([wanted], [heard]), character_errors([wanted], [heard])
    return dict(zip(ASR_COLUMNS, (heard, wanted, *map(str, (*words, *characters))), strict=True))


def _speaker(recording: Recording, reference: Recording, vector: Path | None, plan: Plan) -> float:
    """Cosine of the recording's vector and the reference's (or, with --speaker-vectors, the one in the file)."""
    encode = load_function(plan.speaker_encoder, "--speaker-encoder")
    if not plan.speaker_vectors:
        return speaker_similarity(encode(reference.wave), encode(recording.wave))
    if vector is None:
        raise ScoreError("the utterance has no speaker vector; leave out --speaker-vectors to use its reference")
    return speaker_similarity(read_speaker(vector), encode(recording.wave))
