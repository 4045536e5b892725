"""Tensor names of the SpeechT5 in `transformers` beside ours: one strict two-column table.

`transformers` has no CTC head, unit head or quantizer and no pre-norm ("large") model, so only the nets of the s2t, t2s
and s2s paths of a post-norm model stand here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from ..models.name_table import NameTable, under

_SPEECH_ENCODER_PRENET = {
    "layer_norm": "feature_projection.layer_norm",
    "projection": "feature_projection.projection",
    "mask_embedding": "masked_spec_embed",
    "position_conv.conv.bias": "pos_conv_embed.conv.bias",
    "position_conv.conv.parametrizations.weight.original0": "pos_conv_embed.conv.parametrizations.weight.original0",
    "position_conv.conv.parametrizations.weight.original1": "pos_conv_embed.conv.parametrizations.weight.original1",
    "extractor.convs.{n}.weight": "feature_encoder.conv_layers.{n}.conv.weight",
    "extractor.norms.{n}": "feature_encoder.conv_layers.{n}.layer_norm",
}
_SPEECH_DECODER_PRENET = {
    "layers.{n}": "layers.{n}",
    "projection": "final_layer",
    "positions.alpha": "encode_positions.alpha",
    "speaker_projection": "speaker_embeds_layer",
}
_SPEECH_DECODER_POSTNET = {
    "feat_out": "feat_out",
    "prob_out": "prob_out",
    "convs.{n}": "layers.{n}.conv",
    "norms.{n}": "layers.{n}.batch_norm",
}
_ENCODER = {
    "relative_positions.vectors": "embed_positions.pe_k",
    "layer_norm": "layer_norm",
    "layers.{n}.self_attn": "layers.{n}.attention",
    "layers.{n}.self_attn_layer_norm": "layers.{n}.layer_norm",
    "layers.{n}.feed_forward.fc1": "layers.{n}.feed_forward.intermediate_dense",
    "layers.{n}.feed_forward.fc2": "layers.{n}.feed_forward.output_dense",
    "layers.{n}.final_layer_norm": "layers.{n}.final_layer_norm",
}
_DECODER = {
    "layers.{n}.self_attn": "layers.{n}.self_attn",
    "layers.{n}.self_attn_layer_norm": "layers.{n}.self_attn_layer_norm",
    "layers.{n}.encoder_attn": "layers.{n}.encoder_attn",
    "layers.{n}.encoder_attn_layer_norm": "layers.{n}.encoder_attn_layer_norm",
    "layers.{n}.feed_forward.fc1": "layers.{n}.feed_forward.intermediate_dense",
    "layers.{n}.feed_forward.fc2": "layers.{n}.feed_forward.output_dense",
    "layers.{n}.final_layer_norm": "layers.{n}.final_layer_norm",
}
_PRENETS = {"encoder": "speecht5.encoder.prenet", "decoder": "speecht5.decoder.prenet"}
TABLE = NameTable(
    {
        **under("speech_encoder_prenet", _PRENETS["encoder"], _SPEECH_ENCODER_PRENET),
        "text_encoder_prenet.embedding": f"{_PRENETS['encoder']}.embed_tokens",
        "text_encoder_prenet.positions.alpha": f"{_PRENETS['encoder']}.encode_positions.alpha",
        **under("encoder", "speecht5.encoder.wrapped_encoder", _ENCODER),
        **under("decoder", "speecht5.decoder.wrapped_decoder", _DECODER),
        "text_decoder_prenet.embedding": f"{_PRENETS['decoder']}.embed_tokens",
        **under("speech_decoder_prenet", _PRENETS["decoder"], _SPEECH_DECODER_PRENET),
        "text_decoder_postnet.embedding": "text_decoder_postnet.lm_head",
        **under("speech_decoder_postnet", "speech_decoder_postnet", _SPEECH_DECODER_POSTNET),
    }
)


# The output projection is the embedding: theirs files hold it once, and from_pretrained puts it into both places.
TIED = {"text_decoder_postnet.lm_head.weight": f"{_PRENETS['decoder']}.embed_tokens.weight"}
EMBEDDINGS = tuple(f"{prenet}.embed_tokens.weight" for prenet in _PRENETS.values())
MASK_VECTOR = "speech_encoder_prenet.mask_embedding"  # theirs has none where it is told never to mask
# Tables of positions, which older files hold though they are computed; and how older torch spells weight norm.
_COMPUTED = re.compile(r".*\.(encode_positions\.pe|(pos_sinusoidal_embed|embed_positions)\.weights)")
_WEIGHT_NORM = {
    f"{_PRENETS['encoder']}.pos_conv_embed.conv.weight_{old}": (
        f"{_PRENETS['encoder']}.pos_conv_embed.conv.parametrizations.weight.original{new}"
    )
    for old, new in (("g", 0), ("v", 1))
}


class Split(NamedTuple):
    """Our tensors, by their names where `transformers` has them, by ours where it has not."""

    theirs: dict[str, Tensor]
    left: dict[str, Tensor]


def to_huggingface(ours: Mapping[str, Tensor], names: Iterable[str]) -> Split:
    """The state dict that `transformers` writes for a job of the tensors ``names``, and what it cannot hold.

    All of ``ours`` that are not among ``names`` are left, whatever they are called.
    """
    translated = {name: TABLE.theirs(name) for name in names if name in ours}
    theirs = {other: ours[name] for name, other in translated.items() if other and other not in TIED}
    left = {name: tensor for name, tensor in ours.items() if not translated.get(name)}
    return Split(theirs, left)


def named_today(theirs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict of any of their versions as the newest has it in memory: with the tied table in both places."""
    today = {_WEIGHT_NORM.get(name, name): tensor for name, tensor in theirs.items() if not _COMPUTED.fullmatch(name)}
    for name, source in TIED.items():
        if source in today:
            today.setdefault(name, today[source])
    return today


def ours_named(theirs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict of theirs by our names, of the tensors that have one."""
    return {ours: tensor for name, tensor in theirs.items() if (ours := TABLE.ours(name)) is not None}


def rearranged(theirs: Mapping[str, Tensor], places: list[int | None]) -> dict[str, Tensor]:
    """The state dict with row ``places[i]`` of the embedding at row i, zeros where that is None."""
    tables = [name for name in (*EMBEDDINGS, *TIED) if name in theirs]
    known = torch.tensor([place is not None for place in places])
    rows = torch.tensor([place or 0 for place in places])
    return {**theirs, **{name: theirs[name][rows] * known[:, None].to(theirs[name].dtype) for name in tables}}


def from_huggingface(theirs: dict[str, Tensor], names: list[str]) -> dict[str, Tensor]:
    """Our state dict for the tensors ``names`` out of a `transformers` state dict.

    Raises:
        KeyError: a name without a counterpart, or a counterpart that ``theirs`` lacks; all are listed.
    """
    found = {name: TABLE.theirs(name) for name in names}
    missing = [f"{name} ({other or 'no counterpart'})" for name, other in found.items() if other not in theirs]
    if missing:
        raise KeyError(f"{len(missing)} tensors are not in the transformers checkpoint: {', '.join(missing)}")
    return {name: theirs[other] for name, other in found.items()}
