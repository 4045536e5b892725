"""The Python interface: a trained model of any job behind one class.

Shapes: S samples, T encoder frames (50 a second), N mel frames, M mel bins, D model width, E width of an embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..constants import MEL_HOP, SAMPLE_RATE
from ..data.collate import pad_right
from ..generation.beam_search import JointBeamSearch
from ..generation.speech import GeneratedSpeech, SpeechLimits, generate_speech
from ..generation.speech_generator import join
from .loading import Loaded, load
from .recordings import WHOLE, Span, batches, each_recording, is_many
from .results import Identity, Speech, Transcript, joined_speech, joined_transcript
from .texts import parts_of_texts, words_of
from .voices import Voicing, speaker_vectors

BATCH_TEXTS = 32  # texts spoken at a time
LONGEST_SECONDS = 30.0  # of a recording that is not cut
LONGEST_TEXT = 300  # symbols of a text that is not cut at its sentence ends
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

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path,
        *,
        device: str | torch.device | None = None,
        dictionary: str | Path | None = None,
        spm_model: str | Path | None = None,
        base_checkpoint: str | Path | None = None,
    ) -> SpeechT5:
        """Load a checkpoint of fairseq-train or of the published code, or a folder of `transformers`.

        Args:
            path: of the checkpoint or folder.
            device: None for a GPU where there is one.
            dictionary, spm_model: dict.txt and sentencepiece model, of a checkpoint that does not hold them.
            base_checkpoint: where the base of a checkpoint of additions is now, if it was moved.

        Raises:
            CheckpointError: unreadable, another model's, or incomplete; says what to give.
        """
        device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        found = load(path, device=device, dictionary=dictionary, spm_model=spm_model, base_checkpoint=base_checkpoint)
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
            ctc_weight: of the CTC prefix scores, 0 to 1; None for 0.5 where the model has a CTC head, else 0.
            max_len_a, max_len_b: tokens of a stretch of T encoder frames: at most max_len_a * T + max_len_b.
            longest_seconds: longer recordings are cut at pauses, and their texts joined.

        Raises:
            ValueError: another job's checkpoint, or an option out of range.
            AudioError: see `waveform_of`.
        """
        self._require("transcribe")
        weight = (0.5 if self.model.has_ctc else 0.0) if ctc_weight is None else ctc_weight
        search = JointBeamSearch(
            self.loaded.dictionary, beam=beam, ctc_weight=weight, max_len_a=max_len_a, max_len_b=max_len_b
        )
        return each_recording(recordings, sample_rate, longest_seconds, self._searched(search), joined_transcript)

    def translate(self, recordings: Any, **options: Any) -> Transcript | list[Transcript]:
        """Translate speech: as `transcribe`, of a model that was trained on translations; without CTC scores."""
        self._require("translate")
        return self.transcribe(recordings, **{"ctc_weight": 0.0, **options})

    def synthesize(
        self,
        texts: str | Sequence[str],
        speaker: Any,
        *,
        vocoder: str = "griffin-lim",
        seed: int | None = 1,
        limits: SpeechLimits | None = None,
        longest_text: int = LONGEST_TEXT,
        normaliser: str | None = None,
    ) -> Speech | list[Speech]:
        """Speak texts.

        Args:
            speaker: whose voice.
            vocoder: "griffin-lim", a HiFi-GAN's folder, "module:function", or "none" for mels alone.
            seed: of the pre-net's dropout, which stays on as in the published code; None switches it off.
            limits: when an utterance ends; None for the defaults.
            longest_text: symbols; longer texts are cut at sentence ends, and their speech joined with short pauses.
            normaliser: from written to spoken text: a language, "none", or "module:function"; None for that of the
                training, unless that is a function: what a checkpoint names is not run.

        Raises:
            ValueError: another job's checkpoint, or a vocoder that is not there.
            ManifestError: an empty text, or one of unknown symbols alone.
            AudioError: no speaker vector.
        """
        self._require("synthesize")
        given = [texts] if isinstance(texts, str) else list(texts)
        parts = parts_of_texts(given, self.loaded, longest_text, normaliser)
        voices = speaker_vectors(speaker, len(given)).to(self.device)
        spoken = self._spoken(parts, voices, seed, limits or SpeechLimits())
        results = [self.voicing.speech(join([part.mel for part in of_one]), of_one, vocoder) for of_one in spoken]
        return results[0] if isinstance(texts, str) else results

    def convert_voice(
        self,
        recordings: Any,
        speaker: Any,
        *,
        sample_rate: int = SAMPLE_RATE,
        vocoder: str = "griffin-lim",
        seed: int | None = 1,
        limits: SpeechLimits | None = None,
        longest_seconds: float = LONGEST_SECONDS,
    ) -> Speech | list[Speech]:
        """Say what a recording says in another voice; arguments as of `synthesize` and `transcribe`."""
        self._require("convert_voice")
        many = is_many(recordings)
        vectors = speaker_vectors(speaker, len(recordings) if many else 1).to(self.device)

        def convert(waves: list[Tensor], owners: list[int]) -> list[Speech]:
            return self._converted(waves, vectors[owners], vocoder, _seeds(seed, len(waves)), limits or SpeechLimits())

        return each_recording(recordings, sample_rate, longest_seconds, convert, joined_speech)

    def enhance(self, recordings: Any, speaker: Any, *, vocoder: str | None = None, **options: Any) -> Any:
        """Take the noise out of recordings, of a model that was trained for it; arguments as of `convert_voice`.

        Args:
            vocoder: None for the recording's own phases where the model predicts a mask or a residual of it
                ("source"), else Griffin-Lim.
        """
        self._require("enhance")
        vocoder = self.voicing.default if vocoder is None else vocoder
        return self.convert_voice(recordings, speaker, vocoder=vocoder, **options)

    def identify(self, recordings: Any, *, sample_rate: int = SAMPLE_RATE, top: int = 5) -> Identity | list[Identity]:
        """Tell who speaks, of the speakers of the training; ``top`` likeliest ones are named."""
        self._require("identify")
        top = min(top, len(self.loaded.classes))
        if top < 1:
            raise ValueError(f"top {top}: give 1 or more")

        def classify(waves: list[Tensor], owners: list[int]) -> list[Identity]:
            probabilities = self._classified(waves).logits.softmax(-1).cpu()
            best = zip(*(found.tolist() for found in probabilities.topk(top)), strict=True)
            return [self._identity(values, classes) for values, classes in best]

        return each_recording(recordings, sample_rate, WHOLE, classify, _only)

    def embed(self, recordings: Any, *, sample_rate: int = SAMPLE_RATE) -> np.ndarray | list[np.ndarray]:
        """A vector (E,) of each recording's speaker; cosines compare them."""
        self._require("embed")

        def embed(waves: list[Tensor], owners: list[int]) -> list[np.ndarray]:
            return list(self._classified(waves).embedding.float().cpu().numpy())

        return each_recording(recordings, sample_rate, WHOLE, embed, _only)

    def extract_features(
        self, recordings: Any, *, layer: int | None = None, sample_rate: int = SAMPLE_RATE
    ) -> np.ndarray | list[np.ndarray]:
        """Encoder states (T, D) after ``layer`` layers (0 to all; None for the encoder's output), for units or probes.

        Raises:
            ValueError: a layer that there is not, or a model that hears no speech.
        """
        if self.model.speech_encoder_prenet is None:
            raise ValueError(f"{self.loaded.source.path}: a model of {self.job} hears no speech")
        layers = len(self.model.encoder.layers)
        if layer is not None and not 0 <= layer <= layers:
            raise ValueError(f"layer {layer}: the encoder has {layers} layers; give 0 to {layers}, or None")

        def features(waves: list[Tensor], owners: list[int]) -> list[np.ndarray]:
            encoded = self.model.encode(**self._heard(waves), layer=layer)
            states = encoded.states.float().cpu().numpy()
            return [row[:length] for row, length in zip(states, encoded.lengths.tolist(), strict=True)]

        return each_recording(recordings, sample_rate, WHOLE, features, _only)

    def _require(self, method: str) -> None:
        if self.job not in JOBS[method]:
            mine = ", ".join(name for name, jobs in JOBS.items() if self.job in jobs) or "extract_features"
            raise ValueError(
                f"{self.loaded.source.path}: a checkpoint of {self.job}, and {method} needs one of "
                f"{' or '.join(JOBS[method])}; this one can {mine}"
            )

    def _heard(self, waves: list[Tensor]) -> dict[str, Tensor]:
        """What the encoder takes of a batch of waveforms."""
        waveform, lengths = pad_right(waves, 0.0)
        return {"waveform": waveform.to(self.device), "sample_lengths": lengths.to(self.device)}

    def _searched(self, search: JointBeamSearch) -> Callable[[list[Tensor], list[int]], list[tuple[str, float, int]]]:
        def compute(waves: list[Tensor], owners: list[int]) -> list[tuple[str, float, int]]:
            best = [found[0] for found in search.generate([self.model], {"net_input": self._heard(waves)})]
            return [
                (words_of(each["tokens"], self.loaded.dictionary), float(each["score"]), len(each["tokens"]))
                for each in best
            ]

        return compute

    @torch.no_grad()
    def _spoken(
        self, texts: list[list[Tensor]], voices: Tensor, seed: int | None, limits: SpeechLimits
    ) -> list[list[GeneratedSpeech]]:
        """Speech of the parts (L,) of each text, in batches across texts."""
        flat = [(owner, part) for owner, parts in enumerate(texts) for part in parts]
        sizes = [len(part) for _, part in flat]
        found: list[Any] = [None] * len(flat)
        for chosen in batches(sizes, BATCH_TEXTS * max(sizes, default=0)):
            tokens, _ = pad_right([flat[index][1] for index in chosen], self.loaded.dictionary.pad())
            encoded = self.model.encode(source_tokens=tokens.to(self.device))
            owners = [flat[index][0] for index in chosen]
            seeds = _seeds(seed, len(chosen))
            generated = generate_speech(self.model, encoded, voices[owners], limits=limits, seeds=seeds)
            for index, speech in zip(chosen, generated, strict=True):
                found[index] = speech
        spoken = iter(found)
        return [[next(spoken) for _ in parts] for parts in texts]

    def _converted(
        self, waves: list[Tensor], voices: Tensor, vocoder: str, seeds: Tensor | None, limits: SpeechLimits
    ) -> list[Speech]:
        heard = self._heard(waves)
        source = self.model.source_mel(heard["waveform"], heard["sample_lengths"])
        found = generate_speech(
            self.model,
            self.model.encode(**heard),
            voices,
            limits=limits,
            seeds=seeds,
            source=source,
            source_lengths=None if source is None else 1 + heard["sample_lengths"] // MEL_HOP,
        )
        return [self.voicing.speech(each.mel, [each], vocoder, wave) for each, wave in zip(found, waves, strict=True)]

    def _classified(self, waves: list[Tensor]) -> Any:
        return self.model.classify(self.model.encode(**self._heard(waves)))

    def _identity(self, probabilities: list[float], classes: list[int]) -> Identity:
        named = {self.loaded.classes[c]: p for c, p in zip(classes, probabilities, strict=True)}
        return Identity(next(iter(named)), probabilities[0], named)


def _seeds(seed: int | None, count: int) -> Tensor | None:
    return None if seed is None else torch.full((count,), seed)


def _only(spans: list[Span], found: list) -> Any:
    (result,) = found
    return result
