"""The Python interface: a trained model of any job behind one class.

Shapes: S samples, T encoder frames (50 a second), N mel frames, M mel bins, D model width, E width of an embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..constants import ENCODER_STRIDE, ENCODER_WINDOW, SAMPLE_RATE
from ..generation.beam_search import JointBeamSearch
from ..generation.speech import SpeechLimits
from ..generation.speech_generator import join
from .arrays import listed
from .computing import Computing
from .loading import Loaded, found_device, load
from .recordings import each_recording, is_many
from .results import (
    Identity,
    Speech,
    Transcript,
    joined_identity,
    joined_speech,
    joined_transcript,
    mean,
    one_after_another,
)
from .texts import parts_of_texts
from .voices import Voicing, speaker_vectors

LONGEST_SECONDS = 30.0  # of a recording that is not cut
JOBS = {  # method -> the jobs of the checkpoints that have it
    "transcribe": ("s2t",),
    "translate": ("s2t",),
    "synthesize": ("t2s",),
    "convert_voice": ("s2s",),
    "enhance": ("s2s",),
    "identify": ("s2c",),
    "embed": ("s2c",),
}


class SpeechT5:
    """A trained model. Its methods take one input and give one result, or a list and give a list in its order.

    The result of an input does not depend on what it is together with. Recordings are paths, or samples (S,) or
    (channels, S) with their ``sample_rate``. A speaker is a vector (512,) or its .npy file, one for all or one each.

    Attributes:
        job: s2t, t2s, s2s, s2c, or pretrain.
        model: the network, in evaluation.
        device: where it is.
    """

    def __init__(self, loaded: Loaded, device: torch.device) -> None:
        self.loaded = loaded
        self.model = loaded.model
        self.job = loaded.source.job
        self.device = device
        self.voicing = Voicing(self.model, device)
        self.computing = Computing(loaded, device, self.voicing)

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path,
        *,
        device: str | torch.device | None = None,
        dictionary: str | Path | None = None,
        spm_model: str | Path | None = None,
        base_checkpoint: str | Path | None = None,
        precision: str = "float32",
    ) -> SpeechT5:
        """Load a checkpoint of fairseq-train or of the published code, or a folder of `transformers`.

        Args:
            path: of the checkpoint or folder.
            device: None for a GPU where there is one.
            dictionary: dict.txt of the symbols or classes, of a checkpoint that does not hold them.
            spm_model: the sentencepiece model of synthesis, of a checkpoint that does not hold it.
            base_checkpoint: where the base of a checkpoint of additions is now, if it was moved.
            precision: of products in decoding: float32, float16 (on a CPU that of the decoder's weights alone, the
                fastest there), bfloat16 (fast where the processor has it).

        Raises:
            CheckpointError: unreadable, another model's, or incomplete; says what to give.
            ValueError: a device that is not there, a precision that is none, or what has no effect.
        """
        device = found_device(device)
        found = load(
            path,
            device=device,
            dictionary=dictionary,
            spm_model=spm_model,
            base_checkpoint=base_checkpoint,
            precision=precision,
        )
        return cls(found, device)

    def transcribe(
        self,
        recordings: Any,
        *,
        sample_rate: int = SAMPLE_RATE,
        beam: int = 5,
        ctc_weight: float | None = None,
        max_len_a: float = 0.5,
        max_len_b: int = 10,
        longest_seconds: float = LONGEST_SECONDS,
    ) -> Transcript | list[Transcript]:
        """Recognise speech.

        Args:
            beam: hypotheses in the search.
            ctc_weight: of the CTC prefix scores, 0 to 1; None for 0.5 where the training had a CTC loss, else 0.
            max_len_a, max_len_b: tokens of a stretch of T encoder frames: at most max_len_a * T + max_len_b.
            longest_seconds: longer recordings are cut at pauses, and their texts joined.

        Raises:
            ValueError: another job's checkpoint, or an option out of range.
            AudioError: see `waveform_of`.
        """
        self.require("transcribe")
        trained = self.model.has_ctc and bool(self.loaded.source.ctc_weight)
        weight = (0.5 if trained else 0.0) if ctc_weight is None else ctc_weight
        search = JointBeamSearch(
            self.loaded.dictionary, beam=beam, ctc_weight=weight, max_len_a=max_len_a, max_len_b=max_len_b
        )
        compute = self.computing.searched(search)
        return each_recording(recordings, sample_rate, longest_seconds, compute, joined_transcript)

    def translate(self, recordings: Any, **options: Any) -> Transcript | list[Transcript]:
        """Translate speech: as `transcribe`, of a model that was trained on translations; without CTC scores."""
        self.require("translate")
        return self.transcribe(recordings, **{"ctc_weight": 0.0, **options})

    def synthesize(
        self,
        texts: str | Sequence[str],
        speaker: Any,
        *,
        vocoder: str | PathLike = "griffin-lim",
        seed: int | None = 1,
        limits: SpeechLimits | None = None,
        longest_text: int | None = None,
        normaliser: str | None = None,
    ) -> Speech | list[Speech]:
        """Speak texts.

        Args:
            speaker: whose voice.
            vocoder: "griffin-lim", a HiFi-GAN's folder, "module:function", or "none" for mels alone.
            seed: of the pre-net's dropout, which stays on as in the published code; None switches it off.
            limits: when an utterance ends; None for the defaults.
            longest_text: symbols; longer texts are cut at sentence ends, and their speech joined with short pauses;
                None for 300, and for no cut where the model reads pieces.
            normaliser: from written to spoken text: a language, "none", or "module:function"; None for that of the
                training, unless that is a function: what a checkpoint names is not run.

        Raises:
            ValueError: another job's checkpoint, or a vocoder that is not there.
            ManifestError: an empty text, or one of unknown symbols alone; others are warned of.
            AudioError: no speaker vector.
        """
        self.require("synthesize")
        vocoder = self.voicing.ready(vocoder, source=False)
        given = [texts] if isinstance(texts, str) else list(texts)
        parts = parts_of_texts(given, self.loaded, longest_text, normaliser)
        voices = speaker_vectors(speaker, len(given)).to(self.device)
        spoken = self.computing.spoken(parts, voices, seed, limits or SpeechLimits())
        results = [self.voicing.speech(join([part.mel for part in of_one]), of_one, vocoder) for of_one in spoken]
        return results[0] if isinstance(texts, str) else results

    def convert_voice(
        self,
        recordings: Any,
        speaker: Any,
        *,
        sample_rate: int = SAMPLE_RATE,
        vocoder: str | PathLike = "griffin-lim",
        seed: int | None = 1,
        limits: SpeechLimits | None = None,
        longest_seconds: float = LONGEST_SECONDS,
    ) -> Speech | list[Speech]:
        """Say what a recording says in another voice; arguments as of `synthesize` and `transcribe`."""
        self.require("convert_voice")
        vocoder = self.voicing.ready(vocoder, source=True)
        recordings = listed(recordings, "recordings")
        many = is_many(recordings)
        vectors = speaker_vectors(speaker, len(recordings) if many else 1).to(self.device)

        def convert(waves: list[Tensor], owners: list[int]) -> list[Speech]:
            return self.computing.converted(waves, vectors[owners], vocoder, seed, limits or SpeechLimits())

        return each_recording(recordings, sample_rate, longest_seconds, convert, joined_speech)

    def enhance(self, recordings: Any, speaker: Any, *, vocoder: str | PathLike | None = None, **options: Any) -> Any:
        """Take the noise out of recordings, of a model that was trained for it; arguments as of `convert_voice`.

        Args:
            vocoder: None for the recording's own phases where the model predicts a mask or a residual of it
                ("source"), else Griffin-Lim.
        """
        self.require("enhance")
        vocoder = self.voicing.default if vocoder is None else vocoder
        return self.convert_voice(recordings, speaker, vocoder=vocoder, **options)

    def identify(
        self,
        recordings: Any,
        *,
        sample_rate: int = SAMPLE_RATE,
        top: int = 5,
        longest_seconds: float = LONGEST_SECONDS,
    ) -> Identity | list[Identity]:
        """Tell who speaks, of the speakers of the training; ``top`` likeliest ones are named.

        Args:
            longest_seconds: longer recordings are cut at pauses; the log-probabilities of the stretches are averaged
                by their lengths.
        """
        self.require("identify")
        top = min(top, len(self.loaded.classes))
        if top < 1:
            raise ValueError(f"top {top}: give 1 or more")
        combine = joined_identity(self.loaded.classes, top)
        return each_recording(recordings, sample_rate, longest_seconds, self.computing.log_probabilities, combine)

    def embed(
        self, recordings: Any, *, sample_rate: int = SAMPLE_RATE, longest_seconds: float = LONGEST_SECONDS
    ) -> np.ndarray | list[np.ndarray]:
        """A vector (E,) of each recording's speaker; cosines compare them.

        Args:
            longest_seconds: longer recordings are cut at pauses; the vectors are averaged by the stretches' lengths.
        """
        self.require("embed")
        return each_recording(recordings, sample_rate, longest_seconds, self.computing.embeddings, mean)

    def extract_features(
        self,
        recordings: Any,
        *,
        layer: int | None = None,
        sample_rate: int = SAMPLE_RATE,
        longest_seconds: float = LONGEST_SECONDS,
    ) -> np.ndarray | list[np.ndarray]:
        """Encoder states (T, D) after ``layer`` layers (0 to all; None for the encoder's output), for units or probes.

        Args:
            longest_seconds: longer recordings are cut at pauses, and the states of the stretches follow each other, as
                many as of the whole; a state knows its own stretch alone.

        Raises:
            ValueError: a layer that there is not, or a model that hears no speech.
        """
        if self.model.speech_encoder_prenet is None:
            raise ValueError(f"{self.loaded.source.path}: a model of {self.job} hears no speech")
        layers = len(self.model.encoder.layers)
        if layer is not None and not 0 <= layer <= layers:
            raise ValueError(f"layer {layer}: the encoder has {layers} layers; give 0 to {layers}, or None")
        compute, overlap = self.computing.states(layer), ENCODER_WINDOW - ENCODER_STRIDE  # no frame is lost at a cut
        return each_recording(recordings, sample_rate, longest_seconds, compute, one_after_another, overlap=overlap)

    def require(self, method: str) -> None:
        """Check that a method is one of this checkpoint's job.

        Raises:
            ValueError: it is not; names what this checkpoint can do.
        """
        if self.job not in JOBS[method]:
            mine = ", ".join(name for name, jobs in JOBS.items() if self.job in jobs) or "extract_features"
            raise ValueError(
                f"{self.loaded.source.path}: a checkpoint of {self.job}, and {method} needs one of "
                f"{' or '.join(JOBS[method])}; this one can {mine}"
            )
