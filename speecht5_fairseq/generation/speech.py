"""Autoregressive generation of mel frames for whole batches, each utterance with its own limits and end.

Shapes: A utterances (or texts) of a batch, B of them still going, r mel frames a step, M mel bins, N mel frames of one
utterance, L its steps, T encoder positions, W heads of all decoder layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..constants import MEL_BINS
from ..modules.randomness import utterance_generators
from ..outputs import EncoderOutput, SpeechStep
from ..ranges import Rule, number, read_value

LONGEST = 10_000  # mel frames of an encoder position: 160 s of speech
STOP_THRESHOLD = Rule(number(lambda found: found > 0), "a number above 0 (above 1 nothing ends early)")
MIN_LENGTH_RATIO = Rule(
    number(lambda found: 0 <= found <= LONGEST), f"mel frames for each encoder position, from 0 to {LONGEST:,}"
)
MAX_LENGTH_RATIO = Rule(
    number(lambda found: 0 < found <= LONGEST), f"mel frames for each encoder position, above 0 and {LONGEST:,} at most"
)


class GeneratedSpeech(NamedTuple):
    mel: Tensor  # (N, M) log10-mel after the post-net
    steps: int  # L, decoder steps; the stop came in the last one
    hit_limit: bool  # the maximum length ended it, not a stop
    focus_rate: float  # mean over the steps of the sharpest head's largest attention, 1 / T to 1
    positions: int  # T
    alignment: Tensor | None  # (L, T) attention of that head, where it was asked for


@dataclass(frozen=True)
class SpeechLimits:
    """When an utterance ends.

    Attributes:
        threshold: a stop probability of any of a step's r frames that ends the utterance with this step.
        min_ratio, max_ratio: fewest and most mel frames for each encoder position (a token, or 20 ms of speech).

    Raises:
        ValueError: a value out of its range.
    """

    threshold: float = 0.5
    min_ratio: float = 0.0
    max_ratio: float = 20.0

    def __post_init__(self) -> None:
        read_value("stop_threshold", self.threshold, STOP_THRESHOLD)
        read_value("min_length_ratio", self.min_ratio, MIN_LENGTH_RATIO)
        read_value("max_length_ratio", self.max_ratio, MAX_LENGTH_RATIO)
        if not self.min_ratio <= self.max_ratio:
            raise ValueError(
                f"--min-length-ratio {self.min_ratio} and --max-length-ratio {self.max_ratio} are mel frames for each "
                "encoder position: give a smaller min, or a larger max"
            )

    def steps(self, positions: Tensor, reduction: int) -> tuple[Tensor, Tensor]:
        """Fewest and most steps of utterances with (A,) encoder positions: (A,) int64 each."""
        frames = positions.double()
        most = (frames * self.max_ratio / reduction).long().clamp(min=1)
        return (frames * self.min_ratio / reduction).long().minimum(most), most


@torch.no_grad()
def generate_speech(
    model: Any,
    encoded: EncoderOutput,
    speaker: Tensor | None,
    *,
    limits: SpeechLimits,
    seeds: Tensor | None = None,
    source: Tensor | None = None,
    source_lengths: Tensor | None = None,
    alignments: bool = False,
) -> list[GeneratedSpeech]:
    """Generate a batch; the result of an utterance does not depend on the batch it is in.

    Args:
        model: of a job with a speech target, in evaluation.
        encoded: encoder states of A utterances.
        speaker: (A, E), or None for no speaker.
        limits: when an utterance ends.
        seeds: (A,) of the pre-net's dropout, which stays on as in the published code; None switches it off.
        source, source_lengths: (A, N, M) log-mel of the source and its frames (A,), for a prediction from it; each
            utterance then has exactly these frames.
        alignments: keep the sharpest head's attention.
    """
    state = model.start_speech(encoded, speaker)
    fewest, most = limits.steps(encoded.lengths, model.reduction_factor)
    if source is not None:
        fewest, most = source_lengths, source_lengths
    record = _Record(len(most), model.reduction_factor, encoded.states, keep_attention=alignments)
    dropout = None if seeds is None else PrenetDropout(seeds, model.speech_decoder_prenet, encoded.states.device)
    going = torch.arange(len(most), device=most.device)
    previous = encoded.states.new_zeros(len(most), MEL_BINS)
    while len(going):
        now = state.steps
        of_source = None if source is None else source[going, now : now + 1]
        step = model.next_frames(
            previous if of_source is None else of_source[:, 0],
            state,
            kept=None if dropout is None else dropout.kept(going, now),
            source=of_source,
        )
        record.add(going, now, step)
        stops = (step.stop_logits.float().sigmoid() >= limits.threshold).any(1) & (now + 1 >= fewest[going])
        ended = stops | (now + 1 >= most[going])
        record.end(going[ended], now + 1, hit_limit=~stops[ended] & (source is None))
        previous = step.coarse[:, -1]
        if bool(ended.any()):
            kept = (~ended).nonzero().squeeze(1)
            going, previous = going[kept], previous[kept]
            state.keep(kept)
    return record.results(model, encoded.lengths)


class PrenetDropout:
    """Masks of the pre-net's dropout, drawn from each utterance's own generator, always on the CPU: they depend on
    neither the batch nor the device.

    Args:
        seeds: (A,).
        prenet: the speech decoder pre-net.
        device: where the masks are wanted.
    """

    CHUNK = 64  # steps drawn at a time; part of the sequence of numbers

    def __init__(self, seeds: Tensor, prenet: Any, device: torch.device) -> None:
        self.generators = utterance_generators(seeds, torch.device("cpu"), stream="prenet")
        self.probability = prenet.layer_dropout.p
        self.shape = prenet.drawn
        self.device = device
        self.chunk = torch.empty(0)

    def kept(self, going: Tensor, step: int) -> Tensor:
        """(B, layers, hidden) what the utterances ``going`` (B,) keep in a step; steps come one after another."""
        if step % self.CHUNK == 0:
            kept = torch.zeros(len(self.generators), self.CHUNK, *self.shape, dtype=torch.bool)
            for row in going.tolist():
                drawn = torch.rand(self.CHUNK, *self.shape, generator=self.generators[row])
                kept[row] = drawn >= self.probability
            self.chunk = kept.to(self.device)
        return self.chunk[going, step % self.CHUNK]


class _Record:
    """Frames, attention and ends of all utterances while they are generated; room for steps grows by doubling."""

    def __init__(self, utterances: int, reduction: int, like: Tensor, *, keep_attention: bool) -> None:
        self.frames = like.new_zeros(utterances, 0, reduction, MEL_BINS)
        self.attention = like.new_zeros(utterances, 0) if keep_attention else None
        self.focus: Tensor | None = None  # (A, W) sums of each step's largest probability
        self.steps = torch.zeros(utterances, dtype=torch.int64, device=like.device)
        self.hit_limit = torch.zeros(utterances, dtype=torch.bool, device=like.device)

    def add(self, going: Tensor, now: int, step: SpeechStep) -> None:
        self.frames = _with_room(self.frames, now)
        self.frames[going, now] = step.coarse
        if self.focus is None:
            self.focus = step.attention.new_zeros(len(self.steps), step.attention.size(1))
        self.focus.index_add_(0, going, step.attention.amax(-1))
        if self.attention is not None:
            if now == 0:
                self.attention = step.attention.new_zeros(len(self.steps), 0, *step.attention.shape[1:])
            self.attention = _with_room(self.attention, now)
            self.attention[going, now] = step.attention

    def end(self, rows: Tensor, steps: int, hit_limit: Tensor) -> None:
        self.steps[rows] = steps
        self.hit_limit[rows] = hit_limit

    def results(self, model: Any, positions: Tensor) -> list[GeneratedSpeech]:
        lengths = self.steps * self.frames.size(2)
        coarse = self.frames[:, : int(self.steps.max())].flatten(1, 2)
        mel = model.refine_frames(coarse, lengths)
        best = self.focus.argmax(1)
        focus = self.focus.amax(1) / self.steps
        columns = (lengths, self.steps, self.hit_limit, focus, positions, best)
        return [
            GeneratedSpeech(mel[row, :frames], steps, hit, rate, size, self._alignment(row, head, steps, size))
            for row, (frames, steps, hit, rate, size, head) in enumerate(zip(*map(Tensor.tolist, columns), strict=True))
        ]

    def _alignment(self, row: int, head: int, steps: int, positions: int) -> Tensor | None:
        return None if self.attention is None else self.attention[row, :steps, head, :positions]


def _with_room(tensor: Tensor, step: int) -> Tensor:
    """(A, R, ...) with R above ``step``; the rows that are there stay."""
    if step < tensor.size(1):
        return tensor
    larger = tensor.new_zeros(len(tensor), max(64, 2 * tensor.size(1)), *tensor.shape[2:])
    larger[:, : tensor.size(1)] = tensor
    return larger
