"""The presets (``--arch``) of the published code, as configurations of ours with its defaults."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass
from typing import Any

from .config import SpeechT5Config, SpeechT5LargeConfig


@dataclass
class ReleasedBaseConfig(SpeechT5Config):
    """The preset of base pre-training; a quantizer is asked for with --use-codebook."""

    mask_channel_length: int = 10
    codebook_prob: float = 0.0
    speaker_embedding_dim: int = 128
    speaker_margin: float = 0.0
    speaker_scale: float = 1.0


@dataclass
class ReleasedLargeConfig(SpeechT5LargeConfig):
    """The preset of large pre-training; the waveform is normalised with --normalize."""

    normalize_waveform: bool = False
    mask_channel_length: int = 10
    codebook_prob: float = 0.0
    speaker_embedding_dim: int = 128
    speaker_margin: float = 0.0
    speaker_scale: float = 1.0


@dataclass
class ReleasedFineTuningConfig(ReleasedBaseConfig):
    """The preset of fine-tuning, of every job."""

    activation_dropout: float = 0.1
    feature_grad_mult: float = 0.0
    encoder_layerdrop: float = 0.1
    decoder_layerdrop: float = 0.1
    mask_prob: float = 0.75
    mask_channel_length: int = 64
    mask_channel_prob: float = 0.5


BASE, LARGE, FINE_TUNING = "t5_transformer_base", "t5_transformer_large", "t5_transformer_base_asr"
PRESETS: dict[str, type[SpeechT5Config]] = {
    BASE: ReleasedBaseConfig,
    LARGE: ReleasedLargeConfig,
    FINE_TUNING: ReleasedFineTuningConfig,
}


def released_preset(options: Any) -> type[SpeechT5Config] | None:
    """The preset that a checkpoint of the published code was trained with; None for options of ours."""
    given = vars(options) if isinstance(options, Namespace) else options
    return PRESETS.get(str(given.get("arch") or given.get("_name") or ""))
