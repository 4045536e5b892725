"""The way into the model: a pre-net and the encoder; on a CPU without gradient, by groups of like length.

The encoder spends on padding what it spends on speech, and on a CPU a large batch is no faster a frame than a small
one: it is slower where it leaves the cache.

Shapes: B batch, S samples, T encoder frames, D model width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext

import torch
from torch import Tensor
from torch.nn import functional

from ..constants import SAMPLE_RATE
from ..modules.masks import padding_mask
from ..modules.randomness import fresh_seeds
from ..outputs import EncoderOutput

GROUP_SAMPLES = 16 * SAMPLE_RATE  # a group is no larger, padding included, unless it is one utterance

Encode = Callable[[Tensor, Tensor, Tensor], EncoderOutput]


class Encoding:
    """The method of ``SpeechT5Model`` that everything begins with."""

    products: torch.dtype | None  # of ``Decoding.prepare_decoding``

    def encode(
        self,
        *,
        waveform: Tensor | None = None,
        sample_lengths: Tensor | None = None,
        source_tokens: Tensor | None = None,
        seeds: Tensor | None = None,
        mask: bool = False,
        layer: int | None = None,
    ) -> EncoderOutput:
        """Encode speech (waveform (B, S), sample_lengths (B,)) or text (source_tokens (B, L)).

        In evaluation the products have the precision of ``prepare_decoding``.

        Args:
            seeds: (B,) of the utterances; None draws some.
            mask: apply the span masks.
            layer: stop after so many layers; None runs all.
        """
        inputs = source_tokens if waveform is None else waveform
        products = None if self.training else self.products
        with nullcontext() if products is None else torch.autocast(inputs.device.type, dtype=products):
            if waveform is None:
                encoded = self._through_encoder(self.text_encoder_prenet(source_tokens), layer)
            else:
                encoded = self._encode_speech(waveform, sample_lengths, seeds, mask=mask, layer=layer)
        return encoded if products is None else encoded._replace(states=encoded.states.float())

    def _encode_speech(
        self, waveform: Tensor, sample_lengths: Tensor, seeds: Tensor | None, *, mask: bool, layer: int | None
    ) -> EncoderOutput:
        def speech(waveform: Tensor, lengths: Tensor, seeds: Tensor) -> EncoderOutput:
            inputs = self.speech_encoder_prenet(waveform, lengths, mask=mask, seeds=seeds)
            return self._through_encoder(inputs, layer)

        seeds = fresh_seeds(len(waveform), waveform.device) if seeds is None else seeds
        if waveform.device.type == "cpu" and not (self.training or torch.is_grad_enabled()):
            return encode_by_length(speech, waveform, sample_lengths, seeds)
        return speech(waveform, sample_lengths, seeds)

    def _through_encoder(self, inputs: EncoderOutput, layer: int | None) -> EncoderOutput:
        return inputs._replace(states=self.encoder(inputs.states, inputs.padding_mask, layer=layer))


def like_lengths(lengths: Sequence[int]) -> list[list[int]]:
    """Rows in groups, from the shortest on, whose padded size stays within ``GROUP_SAMPLES``."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    groups = [[order[0]]]
    for row in order[1:]:
        if (len(groups[-1]) + 1) * lengths[row] <= GROUP_SAMPLES:
            groups[-1].append(row)
        else:
            groups.append([row])
    return groups


def encode_by_length(encode: Encode, waveform: Tensor, sample_lengths: Tensor, seeds: Tensor) -> EncoderOutput:
    """``encode(waveform, sample_lengths, seeds)`` of a batch (B, S), (B,), (B,), a group at a time.

    The numbers are those of the whole batch but for rounding; rows past a length are zero where others are longer.
    """
    groups = like_lengths(sample_lengths.tolist())
    if len(groups) == 1:
        return encode(waveform, sample_lengths, seeds)
    parts = []
    for rows in groups:
        longest = int(sample_lengths[rows].max())
        parts.append(encode(waveform[rows, :longest], sample_lengths[rows], seeds[rows]))
    return _joined(parts, [row for rows in groups for row in rows])


def _joined(parts: Sequence[EncoderOutput], rows: Sequence[int]) -> EncoderOutput:
    """The outputs of groups as one; row n of all groups in turn is row ``rows[n]`` of the batch."""
    place = torch.empty(len(rows), dtype=torch.long, device=parts[0].lengths.device)
    place[torch.tensor(rows, device=place.device)] = torch.arange(len(rows), device=place.device)
    lengths = torch.cat([part.lengths for part in parts])[place]
    frames = max(part.states.size(1) for part in parts)

    def padded(tensors: Sequence[Tensor]) -> Tensor:
        widths = [(0, 0) * (tensor.dim() - 2) + (0, frames - tensor.size(1)) for tensor in tensors]
        return torch.cat([functional.pad(*pair) for pair in zip(tensors, widths, strict=True)])[place]

    masked = None if parts[0].masked is None else padded([part.masked for part in parts])
    weighted = [part.feature_penalty * part.lengths.sum() for part in parts]
    penalty = torch.stack(weighted).sum() / lengths.sum()
    return EncoderOutput(
        padded([part.states for part in parts]), lengths, padding_mask(lengths, frames), masked, penalty
    )
