"""Options that a job does not read are said to have no effect, never passed over in silence; some are refused."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from dataclasses import fields
from typing import Any

from torch import nn

from .jobs import Job

logger = logging.getLogger(__name__)

# Options that these nets alone read: without effect where the job builds none of them.
NET_OPTIONS = {
    "speech_encoder_prenet": (
        "conv_channels", "extractor_norm", "normalize_waveform", "feature_grad_mult", "position_kernel",
        "position_groups", "mask_prob", "mask_length", "mask_channel_prob", "mask_channel_length",
    ),
    "text_encoder_prenet": ("positional_dropout",),
    "decoder": ("decoder_layers", "decoder_layerdrop", "freeze_decoder_updates"),
    "speech_decoder_prenet": ("speech_prenet_dim", "speech_prenet_dropout", "positional_dropout"),
    "speech_decoder_postnet": (
        "reduction_factor", "postnet_layers", "postnet_channels", "postnet_dropout", "speech_prediction",
    ),
    "unit_head": ("unit_dim",),
    "speaker_head": (
        "speaker_pooling", "speaker_attention_dim", "speaker_embedding_dim", "speaker_loss", "speaker_margin",
        "speaker_scale",
    ),
    "quantizer": ("codebook_groups", "codebook_entries", "gumbel_start", "gumbel_end", "gumbel_decay"),
}  # fmt: skip
# Options that decide whether a head is built: without effect where the job has no such head.
HEAD_OPTIONS = {"ctc": ("no_ctc_head",), "quantizer": ("codebook_prob",)}
HEADS = {"ctc": "CTC head", "quantizer": "quantizer"}


def unread_options(nets: Collection[str]) -> set[str]:
    """Options that no net of ``nets`` reads, and another does."""
    read = {option for net in nets for option in NET_OPTIONS.get(net, ())}
    return {option for options in NET_OPTIONS.values() for option in options} - read


def check_options(cfg: Any, dataclass: type, job: Job, model: nn.Module) -> None:
    """Warn of the model's options that ``job`` does not read.

    Args:
        cfg: the options, by attribute; ``dataclass`` has their defaults.
        model: built of them.

    Raises:
        ValueError: an option with which the job would learn nothing from speech.
    """
    if "units" in job.heads and not cfg.mask_prob > 0:
        raise ValueError(
            f"--mask-prob {cfg.mask_prob} leaves pre-training no masked frame, and every loss of speech is multiplied "
            "by their number: give a share above 0 (0.8 is the default)"
        )
    for head, options in HEAD_OPTIONS.items():
        if head not in job.heads:
            warn_without_effect(cfg, dataclass, options, f"this job has no {HEADS[head]}")
    unread = unread_options([net for net in NET_OPTIONS if getattr(model, net) is not None])
    for net, options in NET_OPTIONS.items():
        warn_without_effect(cfg, dataclass, [name for name in options if name in unread], f"this job builds no {net}")
        unread -= set(options)
    _check_additions(cfg, dataclass)
    if model.speech_encoder_prenet is not None:
        _check_masks(cfg, dataclass)
    if model.speaker_head is not None:
        _check_speaker_options(cfg, dataclass)


def _check_additions(cfg: Any, dataclass: type) -> None:
    """Warn of options of low-rank updates and adapters without any, or without a base."""
    if not cfg.lora_rank:
        names = ("lora_alpha", "lora_dropout", "lora_targets")
        warn_without_effect(cfg, dataclass, names, "they need a --lora-rank above 0")
        if not cfg.adapter_dim:
            warn_without_effect(cfg, dataclass, ("adapter_parts",), "it needs --lora-rank or --adapter-dim")
    if not cfg.base_checkpoint:
        warn_without_effect(cfg, dataclass, ("train_nets",), "without --base-checkpoint every net is trained")


def _check_masks(cfg: Any, dataclass: type) -> None:
    """Warn of lengths of masks where there are none."""
    if not cfg.mask_prob > 0:
        warn_without_effect(cfg, dataclass, ["mask_length"], "it needs --mask-prob above 0")
    if not cfg.mask_channel_prob > 0:
        warn_without_effect(cfg, dataclass, ["mask_channel_length"], "it needs --mask-channel-prob above 0")


def _check_speaker_options(cfg: Any, dataclass: type) -> None:
    if str(cfg.speaker_pooling) != "attentive":
        warn_without_effect(cfg, dataclass, ["speaker_attention_dim"], "it needs --speaker-pooling attentive")
    if str(cfg.speaker_loss) == "softmax":
        options = ("speaker_margin", "speaker_scale")
        warn_without_effect(cfg, dataclass, options, "they need --speaker-loss am or aam")


def check_prediction(cfg: Any, job: Job) -> None:
    """Refuse a prediction from the speech source where the source is text.

    Raises:
        ValueError: see above.
    """
    if str(cfg.speech_prediction) != "mel" and "speech" in job.targets and "text" in job.sources:
        raise ValueError(
            f"--speech-prediction {cfg.speech_prediction} starts from the speech source, which a job with a text "
            "source lacks; leave it at mel"
        )


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
