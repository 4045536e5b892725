"""Flags of the published code's command lines, added to fairseq's parsers."""

from __future__ import annotations

import argparse
import logging
from ast import literal_eval
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any, NamedTuple

from ..ranges import Rule, read_value, typed
from .config import SpeechT5Config
from .released_options import FIXED, PAIRS, RENAMED

logger = logging.getLogger(__name__)

JOBS = ("pretrain", "s2t", "t2s", "s2s", "s2c")  # of --t5-task
Fixed = Mapping[str, tuple[Any, ...]]  # flag -> the values that are built
Idle = Mapping[str, tuple[Any, str | None]]  # flag -> its published default, and why it does nothing; None: it is done


class Flag(NamedTuple):
    """A flag as the published code has it.

    Attributes:
        default: its default there.
        means: what it is here, for --help.
        jobs: those that read it.
        rule: how its value is read; None to take it as it is.
        needs: the flag without which nothing reads it.
        decoding: fairseq-generate reads it too.
    """

    name: str
    default: Any
    means: str
    jobs: tuple[str, ...] = JOBS
    rule: Rule | None = None
    needs: str = ""
    decoding: bool = False

    def why_idle(self, given: Mapping[str, Any], job: str, *, decodes: bool = False) -> str:
        """Why nothing reads it in ``job`` beside the other flags; empty where something does."""
        if decodes and not self.decoding:
            return "fairseq-generate does not read it"
        if job not in self.jobs:
            return f"it belongs to --t5-task {', '.join(self.jobs)}"
        if self.needs and not given.get(self.needs):
            return f"it needs --{typed(self.needs)}" + (" above 0" if isinstance(given.get(self.needs), float) else "")
        return ""


# Flags of the model that have an effect here, but no single option of ours.
_SEVERAL = (
    Flag("use_codebook", False, "build the quantizer; without it --codebook-prob is 0"),
    Flag("codebook_prob", 0.5, "as --codebook-prob, with --use-codebook", needs="use_codebook"),
    Flag("latent_temp", (2, 0.5, 0.999995), "as --gumbel-start, --gumbel-end and --gumbel-decay"),
    Flag("sid_no_embed_postnet", False, "--speaker-embedding-dim 0"),
    Flag("sid_no_pooling_bn", False, "together with --sid-no-embed-postnet"),
    Flag("sid_embed_dim", 128, "as --speaker-embedding-dim"),
)
# Options of ours that change no model.
_OWN = (Flag("checkpoint_activations", False, "this code's: Transformer layers keep their inputs alone; less memory"),)
# Flags of the model that nothing reads, and why.
WITHOUT_EFFECT = {
    "encoder_speech_prenet": ("conv", "the waveform goes through wav2vec 2.0's convolutions, there too"),
    "conv_kernel_sizes": ("5,5", "the waveform goes through wav2vec 2.0's convolutions, there too"),
    "conv_channels": (1024, "the waveform goes through wav2vec 2.0's convolutions (--conv-feature-layers), there too"),
    "subsample_stride": ("2,2", "the waveform goes through wav2vec 2.0's convolutions, there too"),
    "encoder_attn_branch": ("identity,full", "nothing reads it there either"),
    "encoder_normalize_before": (False, "the preset says where the norms stand"),
    "num_buckets": (320, "nothing reads it there either; --encoder-max-relative-position does this"),
    "max_distance": (1280, "nothing reads it there either; --encoder-max-relative-position does this"),
    "decoder_max_relative_position": (160, "the decoder has no relative positions, there either"),
    "quantizer_factor": (3, "the quantizer's projection is one layer, there too"),
    "modules_filter": ("", "only the nets of the job are built"),
    "sid_pad_prenet": (False, "identification builds no text nets"),
    "sid_decoder_attn_dim": (128, "it belongs to --sid-decoder-speaker, which is not built"),
    "get_code_distribution": (False, "the codes' use is logged in pre-training (code_perplexity)"),
    "mask_other": (0.0, "spans have one length, --mask-selection static"),
    "mask_min_space": (1, "spans may overlap, there too"),
    "mask_channel_other": (0.0, "spans have one length, --mask-channel-selection static"),
    "mask_channel_min_space": (1, "spans may overlap, there too"),
}
INSTEAD = {  # flags that are refused, and what does the same here
    "load_pretrained_encoder_from": "--finetune-from-model with --finetune-from-modules encoder-speech_encoder_prenet",
    "no_freeze_encoder_layer": "--arch speecht5 with --freeze 'encoder.layers.0-5:UPDATES' for the layers that wait",
}
_ALSO_TYPED = {"activation_dropout": "--relu-dropout"}  # other spellings


def add_model_flags(parser: argparse._ActionsContainer) -> None:
    """Add the flags of the published model; those not given stay out of the namespace."""
    ours = {field.name: field for field in fields(SpeechT5Config)}
    for name, renamed in RENAMED.items():
        own = ours[renamed.ours].default if renamed.one_value else ""  # of another value: a word
        add_flag(parser, Flag(name, own, f"as --{typed(renamed.ours)}"), suppress=True)
    found = [Flag(name, values[0], "has one value here") for name, values in FIXED.items()]
    found += [Flag(one, ours[RENAMED[other].ours].default, f"as --{typed(other)}") for one, other in PAIRS.items()]
    found += [Flag(name, default, f"without effect: {why}") for name, (default, why) in WITHOUT_EFFECT.items()]
    found += [Flag(name, "", f"refused: {instead}") for name, instead in INSTEAD.items()]
    for flag in (*found, *_SEVERAL, *_OWN):
        add_flag(parser, flag, suppress=True)


def add_flag(parser: argparse._ActionsContainer, flag: Flag, *, suppress: bool = False) -> None:
    """Add a flag that the parser does not have yet; its type is that of its default.

    Args:
        suppress: leave it out of the namespace unless it is given.
    """
    option = f"--{typed(flag.name)}"
    if option in parser._option_string_actions:
        return  # fairseq's own, or another part's: one value serves both, as in the published code
    spellings = [option, *([_ALSO_TYPED[flag.name]] if flag.name in _ALSO_TYPED else [])]
    default = argparse.SUPPRESS if suppress else flag.default
    if isinstance(flag.default, bool):
        parser.add_argument(*spellings, action="store_true", default=default, help=flag.means)
        return
    kind = literal_eval if isinstance(flag.default, (tuple, list)) else type(flag.default)
    parser.add_argument(*spellings, type=str if flag.default is None else kind, default=default, help=flag.means)


def add_flags(parser: argparse._ActionsContainer, flags: Iterable[Flag], fixed: Fixed, idle: Idle) -> None:
    """Add those with an effect, those with one value, and those without effect."""
    for flag in flags:
        add_flag(parser, flag)
    for name, values in fixed.items():
        add_flag(parser, Flag(name, values[0], f"{values[0]} alone is built"))
    for name, (default, why) in idle.items():
        add_flag(parser, Flag(name, default, f"without effect: {why}" if why else "always done"))


def check_flags(args: argparse.Namespace, fixed: Fixed, idle: Idle) -> None:
    """One line for each flag that does nothing in any job.

    Raises:
        ValueError: a value that is not built.
    """
    given = vars(args)
    for name, values in fixed.items():
        if name in given and given[name] not in values:
            raise ValueError(f"--{typed(name)} {given[name]}: this code builds {values[0]} alone")
    for name, (default, why) in idle.items():
        if why and given.get(name, default) != default:
            _warn(name, given[name], why)


def read_flags(
    args: argparse.Namespace, flags: Iterable[Flag], job: str, *, decodes: bool = False, quiet: bool = False
) -> argparse.Namespace:
    """``args`` with the values of ``flags`` as this code takes them; one line for each that the job does not read.

    A flag that nothing reads, and one that is not there, has its default.

    Args:
        job: of --t5-task.
        decodes: for fairseq-generate, which reads few of them.
        quiet: the flags came with a checkpoint, and nobody typed them here.

    Raises:
        ValueError: a value that cannot be read.
    """
    given, found = vars(args), {}
    for flag in flags:
        value = given.get(flag.name, flag.default)
        idle = flag.why_idle(given, job, decodes=decodes)
        if idle and value != flag.default and not quiet:
            _warn(flag.name, value, idle)
        value = flag.default if idle else value
        found[flag.name] = value if flag.rule is None else read_value(flag.name, value, flag.rule)
    return argparse.Namespace(**{**given, **found})


def _warn(name: str, value: Any, why: str) -> None:
    logger.warning("no effect: --%s %s; %s", typed(name), value, why)


def warn_of_given(given: Mapping[str, Any], why: Mapping[str, str]) -> None:
    """One line for each flag of ``why`` that was given, with the reason that it has no effect."""
    for name in why:
        if name in given:
            _warn(name, given[name], why[name])


def check_model_flags(given: Mapping[str, Any]) -> None:
    """Say what the flags of a model that were given do not do.

    Raises:
        ValueError: a flag for which there is another one here.
    """
    for name, instead in INSTEAD.items():
        if given.get(name):
            raise ValueError(f"--{typed(name)} {given[name]} is not built here: use {instead}")
    why = {name: why for name, (_, why) in WITHOUT_EFFECT.items()}
    why |= {
        flag.name: f"it needs --{typed(flag.needs)}" for flag in _SEVERAL if flag.needs and not given.get(flag.needs)
    }
    if given.get("sid_no_embed_postnet"):
        why["sid_embed_dim"] = "with --sid-no-embed-postnet there is none"
    warn_of_given(given, why)
