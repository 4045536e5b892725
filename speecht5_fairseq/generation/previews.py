"""What a model in training makes of a few utterances: pictures, sound and text.

Shapes: B utterances, N mel frames, M mel bins, L decoder steps, T encoder positions, W watched heads, S samples, G
codebook groups, C entries of a group.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from fairseq.data import Dictionary
from fairseq.data.data_utils import post_process
from torch import Tensor

from ..data.mel import mel_frames
from ..outputs import EncoderOutput
from .ctc_greedy import ctc_greedy
from .options import encoder_inputs
from .pictures import alignment_figure, codebook_figure, pixels, speech_figure
from .speech import GeneratedSpeech, SpeechLimits, generate_speech
from .symbols import text_symbols
from .vocoder import load_vocoder

LONGER = 1.5  # than its target generated speech may become, so that a model that never stops costs little
MORE_SYMBOLS = 10  # than the longest transcript has, for the same reason


class Picture(NamedTuple):
    name: str
    pixels: np.ndarray  # (height, width, 3) uint8


class Sound(NamedTuple):
    name: str
    wave: Tensor  # (S,) float32 in [-1, 1] at 16 kHz


class Words(NamedTuple):
    name: str
    text: str  # Markdown


Shown = Picture | Sound | Words


class Preview(NamedTuple):
    name: str  # what it shows
    make: Callable[[], Iterator[Shown]]  # may fail alone


class Utterances(NamedTuple):
    """The utterances that are shown again and again.

    Attributes:
        batch: of the split's data set, on the model's device.
        titles: (B) what stands above their pictures.
        first: whether they are shown for the first time in this run.
    """

    batch: dict
    titles: Sequence[str]
    first: bool


def teacher_forced_speech(model: Any, shown: Utterances) -> Iterator[Picture]:
    """Target and prediction of each mel, the decoder having heard the target's frames, and the sharpest alignment."""
    inputs = shown.batch["net_input"]
    output = model(**inputs, watch=model.decoder.everything)
    steps = (output.speech.lengths // model.reduction_factor).tolist()
    for row, (title, frames) in enumerate(zip(shown.titles, output.speech.lengths.tolist(), strict=True)):
        mels = {
            f"{title}: target": inputs["target_frames"][row, :frames],
            "prediction, teacher forced": output.speech.refined[row, :frames],
        }
        positions = int(output.encoded.lengths[row])
        heads = torch.cat([layer[row, :, : steps[row], :positions] for layer in output.speech.attention])
        yield Picture(_name(row, "mel_teacher_forced"), pixels(speech_figure(mels, [sharpest(heads)])))


def generated_speech(model: Any, shown: Utterances) -> Iterator[Picture | Sound]:
    """What the model makes by itself, and its sound by the default vocoder; at first the target's sound too."""
    vocoder = load_vocoder(None)
    inputs = shown.batch["net_input"]
    targets = [frames[:length] for frames, length in zip(inputs["target_frames"], inputs["frame_lengths"], strict=True)]
    for row, speech in enumerate(generate(model, shown.batch)):
        end = "at its limit" if speech.hit_limit else "by itself"
        title = f"{shown.titles[row]}: generated, {len(speech.mel)} frames, ended {end} (target: {len(targets[row])})"
        yield Picture(_name(row, "mel_generated"), pixels(speech_figure({title: speech.mel}, [speech.alignment])))
        yield Sound(_name(row, "generated"), vocoder(speech.mel.float().cpu()))
        if shown.first:
            yield Sound(_name(row, "target"), vocoder(targets[row].float().cpu()))


def generate(model: Any, batch: dict) -> list[GeneratedSpeech]:
    """Generate a batch that has targets, the pre-net's dropout on; none becomes ``LONGER`` than the longest ratio."""
    inputs = batch["net_input"]
    encoded = model.encode(**encoder_inputs(batch))
    source = model.source_mel(inputs.get("waveform"), inputs.get("sample_lengths"))
    ratio = float((inputs["frame_lengths"] / encoded.lengths).max())
    return generate_speech(
        model,
        encoded,
        inputs["speaker"],
        limits=SpeechLimits(max_ratio=LONGER * ratio),
        seeds=inputs["seeds"],
        source=source,
        source_lengths=None if source is None else mel_frames(inputs["sample_lengths"]),
        alignments=True,
    )


def recognised_text(model: Any, shown: Utterances, dictionary: Dictionary, post: str) -> Iterator[Words]:
    """A table: reference, greedy CTC where the model has it, and the greedy decoder.

    Args:
        post: how symbols become words, as fairseq's ``--post-process``.
    """
    encoded = model.encode(**encoder_inputs(shown.batch))
    symbols = text_symbols(dictionary)
    columns = {"reference": [row[row != symbols.pad] for row in shown.batch["target"]]}
    if model.has_ctc:
        found = ctc_greedy(
            model.ctc_log_probs(encoded), encoded.lengths, symbols.require_blank(), symbols.eos, forbidden=symbols.never
        )
        columns["CTC"] = [row[:length] for row, length in zip(found.tokens, found.lengths.tolist(), strict=True)]
    limit = shown.batch["target"].size(1) + MORE_SYMBOLS
    columns["decoder"] = list(greedy_tokens(model, encoded, dictionary, limit=limit))
    texts = [[post_process(dictionary.string(row), post).strip() for row in rows] for rows in columns.values()]
    lines = [("utterance", *columns), ("---",) * (1 + len(columns)), *zip(shown.titles, *texts, strict=True)]
    yield Words("text", "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines))


def greedy_tokens(model: Any, encoded: EncoderOutput, dictionary: Dictionary, *, limit: int) -> Tensor:
    """The decoder's likeliest symbol at each of ``limit`` steps (B, L), ``</s>`` from each utterance's end on."""
    symbols = text_symbols(dictionary)
    state = model.start_decoding(encoded)
    newest = encoded.lengths.new_full((len(encoded.lengths),), symbols.eos)
    ended, tokens = torch.zeros_like(newest, dtype=torch.bool), []
    never = torch.tensor(symbols.never, device=newest.device)
    while len(tokens) < limit and not bool(ended.all()):
        scores = model.next_token_log_probs(newest, state).index_fill(1, never, -torch.inf)
        newest = scores.argmax(1).masked_fill(ended, symbols.eos)
        ended |= newest == symbols.eos
        tokens.append(newest)
    return torch.stack(tokens, 1)


def text_alignment(model: Any, shown: Utterances, dictionary: Dictionary) -> Iterator[Picture]:
    """Where the sharpest head of the decoder attends for each symbol of the transcript, teacher forced."""
    inputs = shown.batch["net_input"]
    encoded = model.encode(**encoder_inputs(shown.batch))
    states = model.text_decoder_prenet(inputs["prev_output_tokens"])
    decoded = model.decoder(states, encoded.states, encoded.padding_mask, model.decoder.everything)
    for row, length in enumerate(shown.batch["target_lengths"].tolist()):
        positions = int(encoded.lengths[row])
        heads = torch.cat([layer[row, :, :length, :positions] for layer in decoded.attention])
        symbols = [dictionary[token] for token in shown.batch["target"][row, :length].tolist()]
        figure = alignment_figure(sharpest(heads), symbols, title=shown.titles[row])
        yield Picture(_name(row, "alignment"), pixels(figure))


def codebook_use(speech: Tensor, text: Tensor | None) -> Iterator[Picture]:
    """How often speech and text chose each code (G, C), as shares; of both it is the smaller share."""
    shares = {"speech": speech / speech.sum(-1, keepdim=True).clamp(min=1)}
    if text is not None:
        shares["text"] = text / text.sum(-1, keepdim=True).clamp(min=1)
        shares["both (the smaller share)"] = torch.minimum(*shares.values())
    yield Picture("codebook", pixels(codebook_figure(shares)))


def sharpest(heads: Tensor) -> Tensor:
    """Of attention (W, L, T) the head (L, T) whose largest probability is the largest, on average over the steps."""
    return heads[int(heads.amax(-1).mean(-1).argmax())]


def _name(row: int, what: str) -> str:
    """Tools group names by what stands before the stroke."""
    return f"utterance_{row + 1}/{what}"


def _cell(text: str) -> str:
    """Text in a cell of a Markdown table; symbols such as <unk> are no tags."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
