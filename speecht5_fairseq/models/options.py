"""Options that a job does not read are said to have no effect, never passed over in silence."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import fields
from typing import Any

logger = logging.getLogger(__name__)

# Options that one net alone reads: without effect where the job does not build it.
NET_OPTIONS = {
    "speech_encoder_prenet": (
        "conv_channels", "extractor_norm", "normalize_waveform", "feature_grad_mult", "position_kernel",
        "position_groups", "mask_prob", "mask_length", "mask_channel_prob", "mask_channel_length",
    ),
    "speech_decoder_prenet": ("speech_prenet_dim", "speech_prenet_dropout"),
    "speech_decoder_postnet": (
        "reduction_factor", "postnet_layers", "postnet_channels", "postnet_dropout", "speech_prediction",
    ),
    "unit_head": ("unit_dim",),
    "quantizer": ("codebook_groups", "codebook_entries", "gumbel_start", "gumbel_end", "gumbel_decay"),
}  # fmt: skip


def warn_without_effect(cfg: Any, dataclass: type, names: Iterable[str], why: str) -> list[str]:
    """Warn of the options among ``names`` that ``cfg`` sets to something else than ``dataclass`` has as default.

    Args:
        cfg: the options, by attribute.
        dataclass: where their defaults stand.
        names: fields of it that are not read.
        why: what they would need.

    Returns:
        What was warned of, as typed: "--unit-dim 64".
    """
    defaults = {field.name: field.default for field in fields(dataclass)}
    changed = [name for name in names if str(getattr(cfg, name)) != str(defaults[name])]
    found = [f"--{name.replace('_', '-')} {getattr(cfg, name)}" for name in changed]
    if found:
        logger.warning("no effect: %s; %s", ", ".join(found), why)
    return found
