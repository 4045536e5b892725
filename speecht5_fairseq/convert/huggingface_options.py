"""Options of the SpeechT5 in `transformers` (config.json) beside ours, in both directions; its other settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from fairseq.data import Dictionary

from ..constants import (
    CONV_LAYERS,
    CTC_BLANK_SYMBOL,
    MASK_SYMBOL,
    MEL_BINS,
    MEL_FLOOR,
    MEL_HOP,
    MEL_MAX_HZ,
    MEL_MIN_HZ,
    MEL_WINDOW,
    SAMPLE_RATE,
    SPEAKER_DIM,
)
from ..models import SpeechT5Config
from ..models.errors import CheckpointError
from ..models.jobs import JOBS
from .huggingface_files import check_settings

MODEL_TYPE = "speecht5"
CLASSES = {"s2t": "SpeechT5ForSpeechToText", "t2s": "SpeechT5ForTextToSpeech", "s2s": "SpeechT5ForSpeechToSpeech"}
# Longest sequences there; ours has no limit. Its tables of positions are that long.
TEXT_POSITIONS, SPEECH_POSITIONS = 1024, 4000  # symbols; steps of the speech decoder

# theirs -> ours
RENAMED = {
    "hidden_size": "embed_dim",
    "encoder_layers": "encoder_layers",
    "encoder_attention_heads": "attention_heads",
    "encoder_ffn_dim": "ffn_dim",
    "encoder_layerdrop": "encoder_layerdrop",
    "decoder_layers": "decoder_layers",
    "decoder_layerdrop": "decoder_layerdrop",
    "hidden_dropout": "dropout",
    "attention_dropout": "attention_dropout",
    "activation_dropout": "activation_dropout",
    "positional_dropout": "positional_dropout",
    "feat_extract_norm": "extractor_norm",
    "num_conv_pos_embeddings": "position_kernel",
    "num_conv_pos_embedding_groups": "position_groups",
    "mask_time_prob": "mask_prob",
    "mask_time_length": "mask_length",
    "mask_feature_prob": "mask_channel_prob",
    "mask_feature_length": "mask_channel_length",
    "speech_decoder_prenet_units": "speech_prenet_dim",
    "speech_decoder_prenet_dropout": "speech_prenet_dropout",
    "speech_decoder_postnet_layers": "postnet_layers",
    "speech_decoder_postnet_units": "postnet_channels",
    "speech_decoder_postnet_dropout": "postnet_dropout",
    "reduction_factor": "reduction_factor",
    "encoder_max_relative_position": "relative_distance",
}
# Where theirs has several options for one of ours: sizes have to agree, dropouts (training alone) are told.
SIZES = {"decoder_attention_heads": "encoder_attention_heads", "decoder_ffn_dim": "encoder_ffn_dim"}
DROPOUTS = {"feat_proj_dropout": "hidden_dropout"}
# Options that have one value here: this code builds no other model.
FIXED = {
    "conv_kernel": [kernel for _, kernel, _ in CONV_LAYERS],
    "conv_stride": [stride for _, _, stride in CONV_LAYERS],
    "conv_bias": False,
    "hidden_act": "gelu",
    "feat_extract_activation": "gelu",
    "layer_norm_eps": 1e-5,
    "scale_embedding": False,
    "num_mel_bins": MEL_BINS,
    "speaker_embedding_dim": SPEAKER_DIM,
    "speech_decoder_prenet_layers": 2,
    "speech_decoder_postnet_kernel": 5,
    "mask_time_min_masks": 2,
    "mask_feature_min_masks": 0,
}
# What theirs takes where config.json does not say. Of RENAMED only those that are not our own defaults.
DEFAULTS = {
    "encoder_layerdrop": 0.1,
    "decoder_layerdrop": 0.1,
    "activation_dropout": 0.1,
    "mask_time_prob": 0.05,
    "mask_feature_length": 10,
    "feat_proj_dropout": 0.0,
    "conv_dim": [channels for channels, _, _ in CONV_LAYERS],
    "apply_spec_augment": True,
    "vocab_size": 81,
    "decoder_start_token_id": 2,
    "pad_token_id": 1,
}


_MEL = ("num_mel_bins", "hop_length", "win_length", "win_function", "fmin", "fmax", "mel_floor")


def check_expressible(config: SpeechT5Config, job: str, place: str) -> None:
    """Check that `transformers` has such a model as that at ``place``.

    Raises:
        CheckpointError: it has not; where it can go instead is said.
    """
    if job not in CLASSES:
        some = "choose by --job, of whose nets" if job.startswith("pretrain") else "it has"
        raise CheckpointError(f"{place}: transformers has no SpeechT5 for the job {job}; {some} {', '.join(CLASSES)}")
    if config.pre_norm:
        raise CheckpointError(
            f"{place}: --pre-norm (large): transformers builds SpeechT5 with LayerNorm after each part alone, so no "
            "large model can go there; --to released can hold it"
        )
    if "speech" in JOBS[job].targets and str(config.speech_prediction) != "mel":
        raise CheckpointError(
            f"{place}: --speech-prediction {config.speech_prediction}: transformers predicts mel frames alone; "
            "generate with fairseq-generate"
        )


def config_to_huggingface(config: SpeechT5Config, job: str, *, vocabulary: int, dtype: str) -> dict[str, Any]:
    """Their config.json for ours.

    Args:
        vocabulary: rows of the embedding, or entries of the tokenizer where the job has no text.
        dtype: of the tensors.
    """
    symbols = Dictionary()
    made = {theirs: getattr(config, ours) for theirs, ours in RENAMED.items()}
    made["feat_extract_norm"] = str(config.extractor_norm)
    made |= {one: made[other] for one, other in (SIZES | DROPOUTS).items()}
    masks = config.mask_prob > 0 or config.mask_channel_prob > 0
    if not masks:  # theirs would lack the vector of masked frames
        made["mask_time_prob"] = DEFAULTS["mask_time_prob"]
    ends = {"bos_token_id": symbols.bos(), "pad_token_id": symbols.pad(), "eos_token_id": symbols.eos()}
    return {
        "model_type": MODEL_TYPE,
        "architectures": [CLASSES[job]],
        "dtype": dtype,
        "vocab_size": vocabulary,
        **made,
        **FIXED,
        **ends,
        "conv_dim": [config.conv_channels] * len(CONV_LAYERS),
        "apply_spec_augment": masks,
        "max_text_positions": TEXT_POSITIONS,
        "max_speech_positions": SPEECH_POSITIONS,
        "decoder_start_token_id": symbols.eos(),
        "is_encoder_decoder": True,
        "tie_word_embeddings": True,
        "use_cache": True,
    }


class TranslatedOptions(NamedTuple):
    """Our options for those of `transformers`, and what is to be told of them, a line each."""

    config: SpeechT5Config
    notes: list[str]


def config_from_huggingface(
    settings: Mapping[str, Any], extractor: Mapping[str, Any], job: str, place: str
) -> TranslatedOptions:
    """Our options for their config.json.

    Args:
        extractor: the feature extractor's settings; empty where there are none.
        place: of config.json.

    Raises:
        CheckpointError: a value that this code does not build, or of another kind, or another signal.
    """
    given = {theirs: getattr(SpeechT5Config, ours) for theirs, ours in RENAMED.items()} | FIXED | DEFAULTS
    given |= {one: given[other] for one, other in SIZES.items()}
    check_settings(settings, given, place)
    given |= dict(settings)
    problems = [*_other_sizes(given), *_other_signal(extractor, job), *_other_padding(given, job)]
    if problems:
        raise CheckpointError(f"{place}: {'; '.join(problems)}: this code does not build such a model")
    made = {ours: given[theirs] for theirs, ours in RENAMED.items()} | {"conv_channels": given["conv_dim"][0]}
    if not given["apply_spec_augment"]:
        made |= {"mask_prob": 0.0, "mask_channel_prob": 0.0}
    made["normalize_waveform"] = bool(extractor.get("do_normalize", False))
    notes = [
        f"{one} is {given[one]} there; here --dropout, {given[other]}, acts there too in training"
        for one, other in DROPOUTS.items()
        if given[one] != given[other]
    ]
    return TranslatedOptions(SpeechT5Config(**made, _name="speecht5"), notes)


def _other_sizes(given: Mapping[str, Any]) -> Iterator[str]:
    for name, value in FIXED.items():
        if (list(given[name]) if isinstance(value, list) else given[name]) != value:
            yield f"{name} is {given[name]}, built is {value}"
    for one, other in SIZES.items():
        if given[one] != given[other]:
            yield f"{one} is {given[one]}, {other} {given[other]}"
    if len(set(given["conv_dim"])) != 1 or len(given["conv_dim"]) != len(CONV_LAYERS):
        yield f"conv_dim is {given['conv_dim']}, built are {len(CONV_LAYERS)} layers of one width"


def _other_signal(extractor: Mapping[str, Any], job: str) -> Iterator[str]:
    """Settings of the feature extractor with which a model would hear, or speak, something else."""
    ours = extractor_settings(SpeechT5Config())
    for name in ("sampling_rate", *(_MEL if "speech" in JOBS[job].targets else ())):
        if extractor.get(name, ours[name]) != ours[name]:
            yield f"{name} of the feature extractor is {extractor[name]}, here {ours[name]}"


def _other_padding(given: Mapping[str, Any], job: str) -> Iterator[str]:
    """Positions of speech that is heard and of text that is written are counted from the padding's index."""
    padding = Dictionary().pad()
    if given["pad_token_id"] != padding and job != "t2s":
        yield f"pad_token_id is {given['pad_token_id']}, from which positions are counted there, and {padding} here"


def generation_config(job: str, symbols: list[str]) -> dict[str, Any]:
    """generation_config.json: what starts and ends a text and, where the job writes one, what no decoder produces."""
    dictionary = Dictionary()
    never = [dictionary.bos(), dictionary.pad()]
    never += [symbols.index(symbol) for symbol in (MASK_SYMBOL, CTC_BLANK_SYMBOL) if symbol in symbols]
    made = {"bos_token_id": dictionary.bos(), "pad_token_id": dictionary.pad(), "eos_token_id": dictionary.eos()}
    made |= {"decoder_start_token_id": dictionary.eos(), "max_length": TEXT_POSITIONS}
    return made | ({"suppress_tokens": never} if "text" in JOBS[job].targets else {})


def extractor_settings(config: SpeechT5Config) -> dict[str, Any]:
    """preprocessor_config.json: the waveform, and our log-mel."""
    return {
        "feature_extractor_type": "SpeechT5FeatureExtractor",
        "processor_class": "SpeechT5Processor",
        "sampling_rate": SAMPLE_RATE,
        "feature_size": 1,
        "padding_value": 0.0,
        "padding_side": "right",
        "return_attention_mask": True,
        "do_normalize": bool(config.normalize_waveform),
        "num_mel_bins": MEL_BINS,
        "hop_length": MEL_HOP * 1000 // SAMPLE_RATE,  # ms
        "win_length": MEL_WINDOW * 1000 // SAMPLE_RATE,  # ms
        "win_function": "hann_window",
        "fmin": MEL_MIN_HZ,
        "fmax": MEL_MAX_HZ,
        "mel_floor": MEL_FLOOR,
    }
