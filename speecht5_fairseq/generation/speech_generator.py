"""What fairseq-generate calls for the jobs with a speech target: mel frames, waveforms, files.

Shapes: B utterances of a batch, P texts (a long one is several), N mel frames, M mel bins, S samples.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from fairseq.data import Dictionary
from torch import Tensor

from ..constants import MEL_HOP, SAMPLE_RATE
from ..data.atomic import replacing
from ..data.audio import write_audio
from ..data.mel import mel_frames
from .options import encoder_inputs, only_model, reject_forced_output
from .pictures import draw_speech, require_matplotlib
from .results_folder import DONE, ResultsFolder
from .source_gain import source_gain
from .speech import GeneratedSpeech, SpeechLimits, generate_speech
from .vocoder import Vocoder

logger = logging.getLogger(__name__)

PAUSE_FRAMES = round(0.2 * SAMPLE_RATE / MEL_HOP)  # between the parts of a long text: 0.2 s


class ResultLines(Dictionary):
    """Stands where fairseq-generate wants the dictionary of its output, and gives back a line for each hypothesis.

    A hypothesis has as many tokens as mel frames, so that fairseq's tokens a second are frames a second.
    """

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def hypothesis(self, line: str, frames: int) -> dict:
        """A hypothesis in fairseq's form."""
        self.texts.append(line)
        return {
            "tokens": torch.full((max(frames, 1),), len(self.texts) - 1),
            "score": 0.0,
            "attention": torch.empty(0),
            "alignment": torch.empty(0),
            "positional_scores": torch.empty(0),
        }

    def string(self, tensor: Tensor, *args: object, **kwargs: object) -> str:
        """The line of the hypothesis with these tokens."""
        return self.texts[int(tensor[0])]


class SpeechGenerator:
    """Generates batches and writes each utterance as soon as it is done.

    Args:
        limits: when an utterance ends.
        results: where everything goes.
        lines: fairseq-generate's dictionary of the output.
        vocoder: mel (N, M) to waveform (S,), or `source_gain`, which also takes the source; None writes mels alone.
        describe: what the table says of a manifest row besides: its id under "name", and columns of the table.
        prenet_dropout: keep the pre-net's dropout on, drawn from each utterance's seed.
        pictures: also draw the mel and the alignment.
    """

    symbols_to_strip_from_output: frozenset[int] = frozenset()

    def __init__(
        self,
        *,
        limits: SpeechLimits,
        results: ResultsFolder,
        lines: ResultLines,
        vocoder: Vocoder | Callable[[Tensor, Tensor], Tensor] | None,
        describe: Callable[[int], Mapping[str, object]],
        prenet_dropout: bool,
        pictures: bool = False,
    ) -> None:
        if pictures:
            require_matplotlib()
        self.limits = limits
        self.results = results
        self.vocoder = vocoder
        self.describe = describe
        self.prenet_dropout = prenet_dropout
        self.pictures = pictures
        self.lines = lines
        self.seconds = {"model": 0.0, "vocoder": 0.0, "speech": 0.0}

    @torch.no_grad()
    def generate(
        self, models: list, sample: dict, prefix_tokens: Tensor | None = None, constraints: Tensor | None = None
    ) -> list[list[dict]]:
        """Generate and write a batch.

        Args:
            models: a list of one model.
            sample: a batch with `net_input`, `id` and `rows`.
            prefix_tokens, constraints: fairseq passes them; must be None.

        Returns:
            For each utterance one hypothesis in fairseq's form, whose tokens `ResultLines` turns into a line of words.
        """
        reject_forced_output(prefix_tokens, constraints)
        model = only_model(models)
        started = time.perf_counter()
        texts = self._generate(model, sample)
        self.seconds["model"] += time.perf_counter() - started
        rows = sample["rows"].tolist()
        ids = sample["id"].tolist()
        parts = [[text for text, row in zip(texts, rows, strict=True) if row == place] for place in range(len(ids))]
        sources = _waveforms(sample["net_input"]) if self.vocoder is source_gain else [None] * len(ids)
        return [[self._finish(*each)] for each in zip(ids, parts, sources, strict=True)]

    def _generate(self, model: Any, sample: dict) -> list[GeneratedSpeech]:
        """One result for each of the P texts; they are on the CPU."""
        inputs = sample["net_input"]
        encoded = model.encode(**encoder_inputs(sample))
        source = model.source_mel(inputs.get("waveform"), inputs.get("sample_lengths"))
        generated = generate_speech(
            model,
            encoded,
            inputs["speaker"][sample["rows"]],
            limits=self.limits,
            seeds=text_seeds(inputs["seeds"], sample["rows"]) if self.prenet_dropout else None,
            source=source,
            source_lengths=None if source is None else mel_frames(inputs["sample_lengths"]),
            alignments=self.pictures,
        )
        return [speech._replace(mel=speech.mel.float().cpu()) for speech in generated]

    def _finish(self, number: int, texts: Sequence[GeneratedSpeech], source: Tensor | None) -> dict:
        """Join, vocode and write utterance `number`; what a vocoder or a broken mel raises is written down, not up."""
        about = dict(self.describe(number))
        name = str(about.pop("name"))
        self.results.remove(name)
        mel = join([text.mel for text in texts])
        fields = _measures(texts, mel) | about
        started = time.perf_counter()
        try:
            wave = self._vocode(mel, source)
        except Exception as error:  # a plug-in may raise anything
            self.fail(number, str(error) or type(error).__name__)
            return self.lines.hypothesis(f"{name}: {error}", len(mel))
        self.seconds["vocoder"] += time.perf_counter() - started
        self.seconds["speech"] += len(mel) * MEL_HOP / SAMPLE_RATE
        fields |= self._write(name, mel, wave, texts)
        self.results.add(name, **fields, status=DONE)
        if fields["hit_limit"] == "yes":
            logger.warning(
                "%s: no stop within --max-length-ratio %g; its end is cut off or it repeats itself",
                name,
                self.limits.max_ratio,
            )
        return self.lines.hypothesis(f"{self.results.path(name, '')}: {len(mel)} frames", len(mel))

    def fail(self, number: int, reason: str) -> None:
        """Write down that utterance `number` could not be generated, and why."""
        about = dict(self.describe(number))
        name = str(about.pop("name"))
        self.results.remove(name)
        logger.error("%s: %s", name, reason)
        self.results.add(name, **about, status=reason or "failed")

    def _vocode(self, mel: Tensor, source: Tensor | None) -> Tensor | None:
        if not bool(mel.isfinite().all()):
            raise ValueError("the model's frames are NaN or infinite: the checkpoint is broken, or --fp16 overflows")
        if self.vocoder is None:
            return None
        return (self.vocoder(mel) if source is None else self.vocoder(mel, source)).cpu()

    def _write(self, name: str, mel: Tensor, wave: Tensor | None, texts: Sequence[GeneratedSpeech]) -> dict[str, str]:
        """The files of an utterance; their names for the table."""
        with replacing(self.results.path(name, ".npy")) as partial:
            np.save(partial, mel.numpy())
        if self.pictures:
            draw_speech(self.results.path(name, ".png"), mel, [text.alignment.cpu() for text in texts], title=name)
        if wave is None:
            return {"mel": f"{name}.npy"}
        write_audio(self.results.path(name, ".wav"), wave)
        return {"mel": f"{name}.npy", "wav": f"{name}.wav"}

    def summary(self, subset: str) -> str:
        """What the run made, in a few lines."""
        rows = self.results.rows.values()
        limited = [row["id"] for row in rows if row["hit_limit"] == "yes"]
        focus = [float(row["focus_rate"]) for row in rows if row["focus_rate"]]
        model, vocoder, speech = (self.seconds[part] for part in ("model", "vocoder", "speech"))
        done = len(rows) - len(self.results.failed)
        lines = [f"Generated {subset}: {done} of {len(rows)} utterances, in {self.results.folder}"]
        if speech:
            lines.append(
                f"this run: {speech:.1f} s of speech in {model + vocoder:.1f} s (model {model:.1f} s, vocoder "
                f"{vocoder:.1f} s): real-time factor {(model + vocoder) / speech:.3f}"
            )
        if focus:
            lines.append(f"mean attention focus rate {sum(focus) / len(focus):.3f}")
        if limited:
            lines.append(f"{len(limited)} reached the maximum length: {', '.join(limited[:10])}")
        if self.results.failed:
            lines.append(f"{len(self.results.failed)} failed: {', '.join(list(self.results.failed)[:10])}")
        return "; ".join(lines) + f". All of them stand in {self.results.table}."


def text_seeds(seeds: Tensor, rows: Tensor) -> Tensor:
    """(B,) seeds of the utterances -> (P,) seeds of their texts: the utterance's own, plus 1 for each text before."""
    first = torch.searchsorted(rows, rows)  # the texts of an utterance lie side by side
    return seeds[rows] + torch.arange(len(rows), device=rows.device) - first


def join(mels: Sequence[Tensor]) -> Tensor:
    """The parts (N, M) of a long text as one mel, with short pauses as quiet as the parts' quietest frames."""
    if len(mels) == 1:
        return mels[0]
    pause = torch.cat(list(mels)).amin(0).expand(PAUSE_FRAMES, -1)
    parts = [part for mel in mels for part in (mel, pause)]
    return torch.cat(parts[:-1])


def _waveforms(net_input: Mapping[str, Tensor]) -> list[Tensor]:
    """The sources (S,) of a batch without their padding."""
    lengths = net_input["sample_lengths"].tolist()
    return [wave[:length] for wave, length in zip(net_input["waveform"], lengths, strict=True)]


def _measures(texts: Sequence[GeneratedSpeech], mel: Tensor) -> dict[str, str]:
    """The columns of the table that tell how an utterance ended and attended."""
    steps = sum(text.steps for text in texts)
    focus = sum(text.focus_rate * text.steps for text in texts) / steps
    return {
        "frames": str(len(mel)),
        "stop_step": str(steps),
        "hit_limit": "yes" if any(text.hit_limit for text in texts) else "no",
        "focus_rate": f"{focus:.4f}",
        "length_ratio": f"{sum(len(text.mel) for text in texts) / sum(text.positions for text in texts):.3f}",
        "seconds": f"{len(mel) * MEL_HOP / SAMPLE_RATE:.3f}",
    }
