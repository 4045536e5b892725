"""Options of the published code's models, as its checkpoints hold them, in ours, and ours in its."""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Callable, Hashable, Mapping
from dataclasses import fields
from typing import Any, NamedTuple

from ..ranges import SHARE, ranges_of, read_value, typed
from .config import SpeechT5Config
from .flag_values import TEMPERATURE
from .kinds import wrong_kinds
from .released_presets import released_preset

# Layers (channels, kernel, stride) of the extractor, the way its option writes them: of one number of channels.
EXTRACTOR = re.compile(r"\[\((\d+),10,5\)\]\+\[\(\1,3,2\)\]\*4\+\[\(\1,2,2\)\]\*2")
EXTRACTOR_LAYERS = "[({0},10,5)] + [({0},3,2)] * 4 + [({0},2,2)] * 2"


CODEBOOK_PROB = 0.5  # of --use-codebook without --codebook-prob


class Renamed(NamedTuple):
    """An option of ours that the published code has too."""

    ours: str
    value: Callable[[Any], Any]  # ours for theirs
    theirs: Callable[[Any], Any]  # theirs for ours

    @property
    def one_value(self) -> bool:
        """Whether the value is the same on both sides."""
        return self.theirs is _same


def _same(value: Any) -> Any:
    return value


def _one_of(name: str, values: Mapping[Any, Any]) -> Callable[[Any], Any]:
    def choose(value: Any) -> Any:
        if not isinstance(value, Hashable) or value not in values:
            known = ", ".join(str(key) for key in values)
            raise ValueError(f"--{typed(name)} {value}: not built here; built are {known}")
        return values[value]

    return choose


def released_prediction(value: Any) -> str:
    """Ours for ``--se-predict``.

    Raises:
        ValueError: a mask or residual, which is another function there: of the log-mel, and of the refined frames too.
    """
    if value in (None, "target"):
        return "mel"
    raise ValueError(
        f"--se-predict {value}: the published code's masks and residuals are of the log-mel, before and behind the "
        "post-net, and are not built here; train with --speech-prediction mask or residual, which are of magnitudes"
    )


def _channels(layers: str) -> int:
    found = EXTRACTOR.fullmatch(layers.replace(" ", ""))
    if not found:
        wanted = EXTRACTOR_LAYERS.format(512)
        raise ValueError(f"--conv-feature-layers {layers}: this code builds {wanted}, with any number for 512")
    return int(found[1])


def _renamed(**names: str) -> dict[str, Renamed]:
    """Options of one value on both sides, in the range of ours."""
    ranges = ranges_of(SpeechT5Config)

    def reader(name: str, ours: str) -> Callable[[Any], Any]:
        return (lambda value: read_value(name, value, ranges[ours])) if ours in ranges else _same

    return {theirs: Renamed(ours, reader(theirs, ours), _same) for theirs, ours in names.items()}


def _chosen(name: str, ours: str, values: Mapping[Any, Any]) -> dict[str, Renamed]:
    names = {value: key for key, value in reversed(values.items())}  # of two with one meaning, the first
    return {name: Renamed(ours, _one_of(name, values), _one_name(ours, names))}


def _one_name(ours: str, names: Mapping[str, Any]) -> Callable[[Any], Any]:
    def choose(value: Any) -> Any:
        if str(value) not in names:
            known = ", ".join(names)
            raise ValueError(f"--{typed(ours)} {value}: the published code has none such; it has {known}")
        return names[str(value)]

    return choose


# theirs -> ours
RENAMED: dict[str, Renamed] = {
    **_renamed(
        encoder_embed_dim="embed_dim",
        encoder_ffn_embed_dim="ffn_dim",
        encoder_attention_heads="attention_heads",
        encoder_layers="encoder_layers",
        decoder_layers="decoder_layers",
        encoder_max_relative_position="relative_distance",
        conv_pos="position_kernel",
        conv_pos_groups="position_groups",
        hubert_mask_length="mask_length",
        mask_channel_length="mask_channel_length",
        reduction_factor="reduction_factor",
        dprenet_units="speech_prenet_dim",
        postnet_chans="postnet_channels",
        final_dim="unit_dim",
        latent_groups="codebook_groups",
        latent_vars="codebook_entries",
        dropout="dropout",
        attention_dropout="attention_dropout",
        activation_dropout="activation_dropout",
        encoder_layerdrop="encoder_layerdrop",
        decoder_layerdrop="decoder_layerdrop",
        transformer_dec_positional_dropout_rate="positional_dropout",
        dprenet_dropout_rate="speech_prenet_dropout",
        postnet_dropout_rate="postnet_dropout",
        postnet_layers="postnet_layers",
        freeze_encoder_updates="freeze_encoder_updates",
        freeze_decoder_updates="freeze_decoder_updates",
        layer_norm_first="pre_norm",
        normalize="normalize_waveform",
        feature_grad_mult="feature_grad_mult",
        mask_prob="mask_prob",
        mask_channel_prob="mask_channel_prob",
        softmax_margin="speaker_margin",
        softmax_scale="speaker_scale",
    ),
    "conv_feature_layers": Renamed("conv_channels", _channels, EXTRACTOR_LAYERS.format),
    **_chosen("extractor_mode", "extractor_norm", {"default": "group", "layer_norm": "layer"}),
    "se_predict": Renamed("speech_prediction", released_prediction, _one_name("speech_prediction", {"mel": None})),
    **_chosen("sid_pooling_layer", "speaker_pooling", {"decoder": "decoder", "encoder": "mean"}),
    **_chosen("sid_softmax_type", "speaker_loss", {"softmax": "softmax", "amsoftmax": "am", "aamsoftmax": "aam"}),
}  # fmt: skip

# Options that have one value here: this code builds no other model.
FIXED: dict[str, tuple[Any, ...]] = {
    "share_input_output_embed": (True,),
    "relative_position_embedding": (True,),
    "bert_init": (True, False),  # the start of a training, and never of a checkpoint that is read
    "use_conv_pos": (True,),
    "use_sinc_pos": (True,),
    "layernorm_embedding": (False,),
    "activation_fn": ("gelu",),
    "conv_bias": (False,),
    "share_ctc_embed": (False,),
    "spk_embed_dim": (512,),
    "spk_embed_integration_type": ("pre",),
    "dprenet_layers": (2,),
    "postnet_filts": (5,),
    "latent_dim": (0,),
    "quantizer_depth": (1,),
    "logit_temp": (0.1,),
    "unb_enc_layer": (-1,),
    "encoder_sliding_window_attn": (None,),
    "encoder_block_branch": (None,),
    "sid_encoder_cls": (None,),
    "sid_decoder_speaker": (False,),
    "sid_t5_postnet": (False,),
    "sid_shuffle_encoder_input": (False,),
    "softmax_easy_margin": (False,),
    "mask_selection": ("static",),
    "mask_channel_selection": ("static",),
}
# Where both sides have one value here, and two options there.
PAIRS = {
    "decoder_embed_dim": "encoder_embed_dim",
    "decoder_ffn_embed_dim": "encoder_ffn_embed_dim",
    "decoder_attention_heads": "encoder_attention_heads",
    "decoder_normalize_before": "layer_norm_first",
    "transformer_enc_positional_dropout_rate": "transformer_dec_positional_dropout_rate",
}


# Options of ours that are made of several of theirs, see ``_made_of_several``.
SEVERAL = ("codebook_prob", "gumbel_start", "gumbel_end", "gumbel_decay", "speaker_embedding_dim")
# All others are ours alone. The published code does not look at them in a checkpoint; here they are read again.
OURS_ALONE = tuple(
    field.name
    for field in fields(SpeechT5Config)
    if field.name not in {"_name", *SEVERAL, *(renamed.ours for renamed in RENAMED.values())}
)


def config_from_released(options: Any) -> SpeechT5Config:
    """Our options for those of a model of the published code.

    Args:
        options: a namespace with its preset (``arch``) and the options that were given or, in a checkpoint, all.

    Raises:
        ValueError: a value that this code does not build.
    """
    given = vars(options) if isinstance(options, Namespace) else dict(options)
    _check_kinds(given)
    _check_fixed(given)
    made = {RENAMED[name].ours: RENAMED[name].value(value) for name, value in given.items() if name in RENAMED}
    own = {name: given[name] for name in OURS_ALONE if name in given}
    return released_preset(options)(**{**made, **_made_of_several(given), **own})


def released_from_config(config: SpeechT5Config, arch: str) -> Namespace:
    """The way back: every option that ``config_from_released`` reads, and those of ours alone that are not defaults.

    Args:
        arch: the preset that is named with them, a key of ``PRESETS``; it has no effect where all are given.

    Raises:
        ValueError: a value that the published code does not have.
    """
    theirs = {name: renamed.theirs(getattr(config, renamed.ours)) for name, renamed in RENAMED.items()}
    theirs |= {one: theirs[other] for one, other in PAIRS.items()}
    theirs |= {name: values[0] for name, values in FIXED.items()}
    theirs |= {
        "use_codebook": config.codebook_prob > 0,
        "codebook_prob": config.codebook_prob or CODEBOOK_PROB,
        "latent_temp": (config.gumbel_start, config.gumbel_end, config.gumbel_decay),
        "sid_no_embed_postnet": not config.speaker_embedding_dim,
        "sid_no_pooling_bn": not config.speaker_embedding_dim,
        "sid_embed_dim": config.speaker_embedding_dim,
    }
    defaults = {field.name: field.default for field in fields(SpeechT5Config)}
    own = {name: getattr(config, name) for name in OURS_ALONE if getattr(config, name) != defaults[name]}
    return Namespace(arch=arch, _name=arch, **theirs, **own)


def _check_kinds(given: Mapping[str, Any]) -> None:
    """Of a file's values those that no rule reads."""
    examples = {name: getattr(SpeechT5Config, each.ours) for name, each in RENAMED.items() if each.value is _same}
    wrong = [*wrong_kinds(given, {**examples, "conv_feature_layers": ""})]
    if wrong:
        raise ValueError(f"options of a model of the published code: {'; '.join(wrong)}")


def _check_fixed(given: Mapping[str, Any]) -> None:
    for name, values in FIXED.items():
        if name in given and given[name] not in values:
            raise ValueError(f"--{typed(name)} {given[name]}: this code builds {values[0]} alone")
    preset = released_preset(given)
    for one, other in PAIRS.items():
        there = given.get(other, getattr(preset, RENAMED[other].ours))
        if one in given and given[one] != there:
            raise ValueError(
                f"--{typed(one)} {given[one]} and --{typed(other)} {there}: encoder and decoder have one value here; "
                "give both the same"
            )


def _made_of_several(given: Mapping[str, Any]) -> dict[str, Any]:
    """Options of ours that depend on more than one of theirs."""
    made: dict[str, Any] = {"codebook_prob": 0.0}
    if given.get("use_codebook", False):
        made["codebook_prob"] = read_value("codebook_prob", given.get("codebook_prob", CODEBOOK_PROB), SHARE)
    if "latent_temp" in given:
        start, end, decay = read_value("latent_temp", given["latent_temp"], TEMPERATURE)
        made |= {"gumbel_start": start, "gumbel_end": end, "gumbel_decay": decay}
    if given.get("sid_no_embed_postnet", False):
        made["speaker_embedding_dim"] = 0
    elif given.get("sid_no_pooling_bn", False):
        raise ValueError("--sid-no-pooling-bn without --sid-no-embed-postnet: give both or neither")
    elif "sid_embed_dim" in given:
        made["speaker_embedding_dim"] = given["sid_embed_dim"]
    return made
