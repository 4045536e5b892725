"""Made-up batches of a job, laid out as its data set does, for counting what a step takes.

Shapes: B rows, S samples, T encoder frames, L tokens, N mel frames, M mel bins.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..constants import ENCODER_STRIDE, ENCODER_WINDOW, MEL_BINS, SPEAKER_DIM
from ..data.mel import mel_frames

Batch = dict[str, Any]
EOS = 2  # fairseq's </s>


class Sizes(NamedTuple):
    """Of one row.

    Attributes:
        samples: of speech, 16,000 a second.
        tokens: of the text beside speech, </s> counted.
        text_tokens: of a text alone (pre-training).
        symbols: V, of which the last two are no text.
        units, classes: of the heads.
    """

    samples: int
    tokens: int
    text_tokens: int
    symbols: int
    units: int
    classes: int

    @property
    def frames(self) -> int:
        """Encoder frames of the speech."""
        return (self.samples - ENCODER_WINDOW) // ENCODER_STRIDE + 1

    @property
    def mel_frames(self) -> int:
        return mel_frames(self.samples)


def speech(rows: int, sizes: Sizes) -> dict[str, Tensor]:
    lengths = torch.full((rows,), sizes.samples)
    return {"waveform": torch.randn(rows, sizes.samples), "sample_lengths": lengths, "seeds": torch.arange(rows)}


def target_speech(rows: int, sizes: Sizes) -> dict[str, Tensor]:
    return {
        "target_frames": torch.randn(rows, sizes.mel_frames, MEL_BINS),
        "frame_lengths": torch.full((rows,), sizes.mel_frames),
        "speaker": torch.randn(rows, SPEAKER_DIM),
    }


def text(rows: int, tokens: int, sizes: Sizes) -> Tensor:
    """(B, L) symbols, </s> last."""
    found = torch.randint(4, sizes.symbols - 2, (rows, tokens))
    found[:, -1] = EOS
    return found


def shifted(target: Tensor) -> Tensor:
    return torch.cat([torch.full_like(target[:, :1], EOS), target[:, :-1]], dim=1)


def pretrain_speech(rows: int, sizes: Sizes) -> Batch:
    units = torch.randint(0, sizes.units, (rows, sizes.frames))
    net_input = speech(rows, sizes) | target_speech(rows, sizes)
    part = {"net_input": net_input, "target": {"units": units}, "ntokens": units.numel(), "nsentences": rows}
    return {"speech": part, "nsentences": rows}


def pretrain_text(rows: int, sizes: Sizes) -> Batch:
    target = text(rows, sizes.text_tokens, sizes)
    net_input = {"source_tokens": target.clone(), "prev_output_tokens": shifted(target), "seeds": torch.arange(rows)}
    part = {"net_input": net_input, "target": target, "ntokens": target.numel(), "nsentences": rows}
    return {"text": part, "nsentences": rows}


def s2t(rows: int, sizes: Sizes) -> Batch:
    target = text(rows, sizes.tokens, sizes)
    return {
        "net_input": speech(rows, sizes) | {"prev_output_tokens": shifted(target)},
        "target": target,
        "target_lengths": torch.full((rows,), sizes.tokens),
        "ntokens": target.numel(),
        "nsentences": rows,
    }


def t2s(rows: int, sizes: Sizes) -> Batch:
    source = {"source_tokens": text(rows, sizes.tokens, sizes), "seeds": torch.arange(rows)}
    return _to_speech(source, rows, sizes)


def s2s(rows: int, sizes: Sizes) -> Batch:
    return _to_speech(speech(rows, sizes), rows, sizes)


def _to_speech(source: dict[str, Tensor], rows: int, sizes: Sizes) -> Batch:
    net_input = source | target_speech(rows, sizes)
    return {"net_input": net_input, "ntokens": rows * sizes.mel_frames, "nsentences": rows}


def s2c(rows: int, sizes: Sizes) -> Batch:
    classes = torch.randint(0, sizes.classes, (rows,))
    return {"net_input": speech(rows, sizes), "classes": classes, "ntokens": rows, "nsentences": rows}


class Part(NamedTuple):
    """What a step goes through at a time; the graph of one is gone before the next is built."""

    name: str
    batch: Callable[[int, Sizes], Batch]


PARTS: dict[str, tuple[Part, ...]] = {
    "pretrain": (Part("speech", pretrain_speech), Part("text", pretrain_text)),
    "pretrain_speech": (Part("speech", pretrain_speech),),
    "s2t": (Part("speech", s2t),),
    "t2s": (Part("speech", t2s),),
    "s2s": (Part("speech", s2s),),
    "s2c": (Part("speech", s2c),),
}
