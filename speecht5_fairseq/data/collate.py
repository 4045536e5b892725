"""All padding and shifting of batches.

Legend: B batch, S samples, T encoder frames, L tokens, N mel frames, M mel bins, P texts (a long one is several).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from ..constants import IGNORED_LABEL


class SpeechTextItem(NamedTuple):
    """One utterance of `s2t`: waveform (S,) and target (L,) = pieces </s>, None without labels."""

    id: int
    seed: int
    waveform: torch.Tensor
    target: torch.Tensor | None


class UnitSpeechItem(NamedTuple):
    """One crop for pre-training: waveform (S,), target_frames (N, M), units (T,) classes, speaker (512,) or None."""

    id: int
    seed: int
    waveform: torch.Tensor
    target_frames: torch.Tensor
    units: torch.Tensor
    speaker: torch.Tensor | None


class SynthesisItem(NamedTuple):
    """One utterance of `t2s`: texts (L,) of tokens each, target_frames (N, M) or None, speaker (512,)."""

    id: int
    seed: int
    texts: Sequence[torch.Tensor]
    target_frames: torch.Tensor | None
    speaker: torch.Tensor


class ConversionItem(NamedTuple):
    """One pair of `s2s`: waveform (S,) of the source, target_frames (N, M) or None, speaker (512,) of the target."""

    id: int
    seed: int
    waveform: torch.Tensor
    target_frames: torch.Tensor | None
    speaker: torch.Tensor


class SpeechClassItem(NamedTuple):
    """One utterance of `s2c`: waveform (S,), its class or None without labels."""

    id: int
    seed: int
    waveform: torch.Tensor
    label: int | None


class FailedItem(NamedTuple):
    """An utterance that cannot be read, in place of its item, where one bad utterance must not end the run."""

    id: int
    reason: str


class NoisedTextItem(NamedTuple):
    """One text for pre-training: source (Ls,) noised and target (L,) clean, both <s> pieces </s>."""

    id: int
    seed: int
    source: torch.Tensor
    target: torch.Tensor


def pad_right(rows: Sequence[torch.Tensor], fill: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Stack tensors that differ in their first dimension.

    Returns:
        (B, longest, ...) with `fill` after each row's end, and the rows' lengths (B,) int64.
    """
    lengths = torch.tensor([len(row) for row in rows], dtype=torch.int64)
    batch = rows[0].new_full((len(rows), int(lengths.max()), *rows[0].shape[1:]), fill)
    for target, row in zip(batch, rows, strict=True):
        target[: len(row)] = row
    return batch, lengths


def shift_right(target: torch.Tensor, *, start: int, pad: int) -> torch.Tensor:
    """Teacher-forcing input (B, L) of a right-padded `target` (B, L): `start`, then all but each row's last token."""
    shifted = target.new_full(target.shape, start)
    shifted[:, 1:] = target[:, :-1]
    return shifted.masked_fill_(target == pad, pad)


def collate_speech_text(items: Sequence[SpeechTextItem], *, pad: int, eos: int) -> dict:
    """Batch of `S2TDataset`; its table stands in that class. No items (a rank without a batch) make an empty one."""
    if not items:
        return {}
    waveform, sample_lengths = pad_right([item.waveform for item in items], 0.0)
    batch = _header(items)
    batch["net_input"] = {"waveform": waveform, "sample_lengths": sample_lengths, "seeds": _seeds(items)}
    batch |= {"ntokens": 0, "target": None, "target_lengths": None}
    if items[0].target is not None:
        batch |= _add_target(batch["net_input"], [item.target for item in items], pad=pad, eos=eos)
    return batch


def collate_unit_speech(items: Sequence[UnitSpeechItem]) -> dict:
    """Batch of `PretrainSpeechDataset`; its table stands in that class."""
    if not items:
        return {}
    waveform, sample_lengths = pad_right([item.waveform for item in items], 0.0)
    frames, frame_lengths = pad_right([item.target_frames for item in items], 0.0)
    units, _ = pad_right([item.units for item in items], IGNORED_LABEL)
    batch = _header(items)
    batch["ntokens"] = int((units != IGNORED_LABEL).sum())
    batch["net_input"] = {
        "waveform": waveform,
        "sample_lengths": sample_lengths,
        "seeds": _seeds(items),
        "target_frames": frames,
        "frame_lengths": frame_lengths,
    }
    if items[0].speaker is not None:
        batch["net_input"]["speaker"] = torch.stack([item.speaker for item in items])
    batch["target"] = {"units": units}
    return batch


def collate_synthesis(items: Sequence[SynthesisItem], *, pad: int) -> dict:
    """Batch of `T2SDataset`; its table stands in that class."""
    if not items:
        return {}
    texts = [(row, text) for row, item in enumerate(items) for text in item.texts]
    source, _ = pad_right([text for _, text in texts], pad)
    batch = _header(items)
    batch["rows"] = torch.tensor([row for row, _ in texts], dtype=torch.int64)
    batch["net_input"] = {"source_tokens": source, "seeds": _seeds(items)}
    batch |= _add_mel_target(batch["net_input"], items)
    return batch


def collate_conversion(items: Sequence[ConversionItem]) -> dict:
    """Batch of `S2SDataset`; its table stands in that class."""
    if not items:
        return {}
    waveform, sample_lengths = pad_right([item.waveform for item in items], 0.0)
    batch = _header(items)
    batch["rows"] = torch.arange(len(items))
    batch["net_input"] = {"waveform": waveform, "sample_lengths": sample_lengths, "seeds": _seeds(items)}
    batch |= _add_mel_target(batch["net_input"], items)
    return batch


def collate_speech_class(items: Sequence[SpeechClassItem]) -> dict:
    """Batch of `S2CDataset`; its table stands in that class."""
    if not items:
        return {}
    waveform, sample_lengths = pad_right([item.waveform for item in items], 0.0)
    batch = _header(items)
    batch["net_input"] = {"waveform": waveform, "sample_lengths": sample_lengths, "seeds": _seeds(items)}
    labels = [item.label for item in items]
    classes = None if labels[0] is None else torch.tensor(labels, dtype=torch.int64)
    return batch | {"classes": classes, "target": None, "ntokens": len(items)}


def _add_mel_target(net_input: dict, items: Sequence[SynthesisItem | ConversionItem]) -> dict:
    """Put the speakers and, where there are any, the target frames into `net_input`; return the batch's own entries."""
    net_input["speaker"] = torch.stack([item.speaker for item in items])
    frames = 0
    if items[0].target_frames is not None:
        mel, lengths = pad_right([item.target_frames for item in items], 0.0)
        net_input |= {"target_frames": mel, "frame_lengths": lengths}
        frames = int(lengths.sum())
    return {"target": None, "ntokens": frames}


def collate_noised_text(items: Sequence[NoisedTextItem], *, pad: int, eos: int) -> dict:
    """Batch of `PretrainTextDataset`; its table stands in that class."""
    if not items:
        return {}
    source, _ = pad_right([item.source for item in items], pad)
    batch = _header(items)
    batch["net_input"] = {"source_tokens": source, "seeds": _seeds(items)}
    batch |= _add_target(batch["net_input"], [item.target for item in items], pad=pad, eos=eos)
    return batch


def _add_target(net_input: dict, targets: Sequence[torch.Tensor], *, pad: int, eos: int) -> dict:
    """Put the shifted target into `net_input`; return the batch's own entries."""
    target, lengths = pad_right(targets, pad)
    net_input["prev_output_tokens"] = shift_right(target, start=eos, pad=pad)
    return {"target": target, "target_lengths": lengths, "ntokens": int(lengths.sum())}


def _header(items: Sequence) -> dict:
    return {"id": torch.tensor([item.id for item in items], dtype=torch.int64), "nsentences": len(items)}


def _seeds(items: Sequence) -> torch.Tensor:
    return torch.from_numpy(np.array([item.seed for item in items], dtype=np.int64))
