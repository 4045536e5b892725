"""Speech encoder pre-net: waveform -> frames of model width, the same for an utterance alone and in a batch.

Shapes: B batch, S samples, C channels of the extractor, T frames (20 ms), D model width.

Two places would see padding: the extractor's GroupNorm, whose statistics run over time, and the position convolution,
which reaches 64 frames ahead. The first runs over each utterance's own frames, the second sees zeros there.
"""

from __future__ import annotations

import torch
from fairseq.modules import GradMultiply
from torch import Tensor, nn
from torch.nn import functional as F

from ..outputs import EncoderOutput
from .conv_extractor import ConvExtractor, ConvLayers
from .long_convolution import long_convolution, takes_less
from .masks import conv_lengths, padding_mask, span_mask, valid_mask, zero_padding
from .positions import SinusoidalPositions
from .randomness import Dropout


class PositionConv(nn.Module):
    """Convolutional positions: weight-normalised grouped convolution, its last frame dropped, GELU.

    Raises:
        ValueError: a width that the groups do not divide.
    """

    def __init__(self, *, dim: int, kernel: int, groups: int) -> None:
        super().__init__()
        if dim % groups:
            raise ValueError(
                f"embed_dim {dim} is no multiple of position_groups {groups}; choose groups that divide it"
            )
        conv = nn.Conv1d(dim, dim, kernel, padding=kernel // 2, groups=groups)
        nn.init.normal_(conv.weight, mean=0.0, std=(4.0 / (kernel * dim)) ** 0.5)
        nn.init.zeros_(conv.bias)
        self.conv = nn.utils.parametrizations.weight_norm(conv, dim=2)
        self.extra = 1 - kernel % 2  # an even kernel gives one frame too many

    def forward(self, states: Tensor) -> Tensor:  # (B, T, D) -> (B, T, D)
        conv, states = self.conv, states.transpose(1, 2)
        if takes_less(states, conv.kernel_size[0]):
            shape = {"padding": conv.padding[0], "groups": conv.groups}
            moved = long_convolution(states, conv.weight, conv.bias, **shape)
        else:
            moved = conv(states)
        return F.gelu(moved[..., : moved.size(-1) - self.extra]).transpose(1, 2)


class SpeechEncoderPrenet(nn.Module):
    """Conv extractor, projection, optional span mask, two kinds of positions.

    Args:
        dim: D.
        conv_layers: (channels, kernel, stride) of the extractor.
        conv_layer_norm: LayerNorm in every extractor layer ("large") instead of GroupNorm on the first ("base").
        normalize_waveform: zero mean and unit variance of each utterance first ("large").
        feature_grad_mult: scale of the extractor's gradient; 0 freezes it.
        position_kernel, position_groups: of the position convolution.
        dropout: after the projection.
        mask_prob, mask_length: span mask over frames (masked frames become a learned vector).
        mask_channel_prob, mask_channel_length: span mask over channels (masked channels become zero).
    """

    MIN_SPANS = 2  # the reference masks at least two spans an utterance

    def __init__(
        self,
        *,
        dim: int,
        conv_layers: ConvLayers,
        conv_layer_norm: bool,
        normalize_waveform: bool,
        feature_grad_mult: float,
        position_kernel: int,
        position_groups: int,
        dropout: float,
        mask_prob: float,
        mask_length: int,
        mask_channel_prob: float,
        mask_channel_length: int,
    ) -> None:
        super().__init__()
        channels = conv_layers[-1][0]
        self.normalize_waveform = normalize_waveform
        self.feature_grad_mult = feature_grad_mult
        self.mask_prob, self.mask_length = mask_prob, mask_length
        self.mask_channel_prob, self.mask_channel_length = mask_channel_prob, mask_channel_length
        self.extractor = ConvExtractor(layers=conv_layers, layer_norm=conv_layer_norm)
        self.layer_norm = nn.LayerNorm(channels)
        self.projection = nn.Linear(channels, dim)
        self.dropout = Dropout(dropout)
        self.mask_embedding = nn.Parameter(torch.empty(dim).uniform_())
        self.position_conv = PositionConv(dim=dim, kernel=position_kernel, groups=position_groups)
        self.positions = SinusoidalPositions(dim)
        if feature_grad_mult == 0:
            self.extractor.requires_grad_(False)

    def frame_lengths(self, sample_lengths: Tensor) -> Tensor:
        """(B,) samples -> (B,) frames."""
        return conv_lengths(sample_lengths, self.extractor.layers)

    def forward(self, waveform: Tensor, sample_lengths: Tensor, *, mask: bool, seeds: Tensor) -> EncoderOutput:
        """Frames before the encoder body.

        Args:
            waveform: (B, S) 16 kHz, padded at the end with anything.
            sample_lengths: (B,).
            mask: apply the span masks.
            seeds: (B,) of the utterances, from which the masks are drawn.

        Raises:
            ValueError: an utterance too short for one frame.
        """
        features = self._extract(waveform, sample_lengths)
        lengths = self.frame_lengths(sample_lengths)
        padding = padding_mask(lengths, features.size(1))
        penalty = _mean_square(features, lengths)
        states = self.dropout(self.projection(self.layer_norm(features)))
        masked = None
        if mask:
            states, masked = self._mask(states, lengths, seeds)
        states = zero_padding(states, padding)
        states = self.positions(states + self.position_conv(states))
        return EncoderOutput(states, lengths, padding, masked, penalty)

    def _extract(self, waveform: Tensor, sample_lengths: Tensor) -> Tensor:
        padding = padding_mask(sample_lengths, waveform.size(1))
        shortest = int(self.frame_lengths(sample_lengths).min())
        if shortest < 1:
            raise ValueError(
                f"an utterance of {int(sample_lengths.min())} samples gives no encoder frame; leave out utterances "
                "under 400 samples (25 ms), e.g. with --min-speech-samples"
            )
        if self.normalize_waveform:
            waveform = _normalize(waveform, sample_lengths)
        if padding is not None:
            waveform = waveform.masked_fill(padding, 0.0)
        waveform = waveform.to(self.projection.weight.dtype)
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.feature_grad_mult > 0):
            features = self.extractor(waveform, sample_lengths)
        if features.requires_grad and self.feature_grad_mult != 1.0:
            features = GradMultiply.apply(features, self.feature_grad_mult)
        return features

    def _mask(self, states: Tensor, lengths: Tensor, seeds: Tensor) -> tuple[Tensor, Tensor]:
        masked = torch.zeros(states.shape[:2], dtype=torch.bool, device=states.device)
        if self.mask_prob > 0:
            masked = span_mask(
                lengths,
                states.size(1),
                probability=self.mask_prob,
                span=self.mask_length,
                min_spans=self.MIN_SPANS,
                seeds=seeds,
                stream="frames",
            )
            states = torch.where(masked[:, :, None], self.mask_embedding.to(states.dtype), states)
        if self.mask_channel_prob > 0:
            dim = states.size(-1)
            channels = span_mask(
                torch.full_like(lengths, dim),
                dim,
                probability=self.mask_channel_prob,
                span=self.mask_channel_length,
                min_spans=0,
                seeds=seeds,
                stream="channels",
            )
            states = states.masked_fill(channels[:, None, :], 0.0)
        return states, masked


def _mean_square(features: Tensor, lengths: Tensor) -> Tensor:
    """Mean square of features (B, T, C) over the valid frames, in float32."""
    squares = features.float().square().mean(-1)
    valid = valid_mask(lengths, features.size(1))
    return (squares * valid).sum() / valid.sum()


def _normalize(waveform: Tensor, lengths: Tensor) -> Tensor:
    """Zero mean and unit variance of each utterance (B, S) over its own samples, in float32."""
    waveform = waveform.float()  # sums over seconds of audio are more than half precision holds
    valid = valid_mask(lengths, waveform.size(1))
    count = lengths[:, None]
    mean = (waveform * valid).sum(1, keepdim=True) / count
    centred = (waveform - mean) * valid
    return centred * torch.rsqrt(centred.square().sum(1, keepdim=True) / count + 1e-5)
