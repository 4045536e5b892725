"""Named results that cross layers.

Shapes: B batch, T encoder frames, L tokens or decoder steps, N mel frames (a multiple of the reduction factor r), M mel
bins, D model width, V vocabulary, U units, P masked frames of the whole batch, G codebook groups, C entries of one
group (of speakers: classes), W watched heads of a layer, E entries of an embedding.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class EncoderOutput(NamedTuple):
    states: Tensor  # (B, T, D); rows past an utterance's length hold no meaning
    lengths: Tensor  # (B,) valid frames or tokens, int64
    padding_mask: Tensor | None  # (B, T) True at padding; None when every row is full
    masked: Tensor | None = None  # (B, T) True where the span mask replaced the input
    feature_penalty: Tensor | None = None  # () mean squared conv feature over valid frames


class QuantizerOutput(NamedTuple):
    mixed: Tensor  # (B, T, D) states with a share of the frames replaced by their codes
    prob_perplexity: Tensor  # () of the mean code distribution, summed over the groups: 1*G .. C*G; with a gradient
    code_counts: Tensor  # (G, C) how often each code was chosen, int64
    prob_sums: Tensor  # (G, C) probability of each code, summed over the frames, without gradient
    temperature: float  # of the Gumbel softmax


class DecoderOutput(NamedTuple):
    states: Tensor  # (B, L, D)
    attention: tuple[Tensor, ...] = ()  # (B, W, L, T) cross-attention of each watched layer that ran, before dropout


class SpeechDecoderOutput(NamedTuple):
    coarse: Tensor  # (B, N, M) log-mel before the post-net
    refined: Tensor  # (B, N, M) log-mel after the post-net
    stop_logits: Tensor  # (B, N)
    lengths: Tensor  # (B,) valid frames, a multiple of r
    attention: tuple[Tensor, ...] = ()  # (B, W, N / r, T) of each watched decoder layer that ran


class SpeechStep(NamedTuple):
    coarse: Tensor  # (B, r, M) log-mel of one decoder step, before the post-net
    stop_logits: Tensor  # (B, r)
    attention: Tensor  # (B, W, T) cross-attention of the step by the W heads of all layers


class SpeakerOutput(NamedTuple):
    embedding: Tensor  # (B, E) what tells speakers apart
    logits: Tensor  # (B, C) of the classes


class ModelOutput(NamedTuple):
    encoded: EncoderOutput
    quantized: QuantizerOutput | None = None
    text_logits: Tensor | None = None  # (B, L, V)
    speech: SpeechDecoderOutput | None = None
    ctc_logits: Tensor | None = None  # (B, T, V)
    speaker: SpeakerOutput | None = None
    unit_logits: Tensor | None = None  # (P, U) at the masked frames, in the order of encoded.masked
    unmasked_unit_logits: Tensor | None = None  # (valid frames - P, U), only when asked for
