"""Checkpoints of the published SpeechT5 code: their tensors beside ours, in both directions.

Released files hold every net whatever the job, and some tensors that nothing computes with. Shapes: V symbols, U units,
C classes, D model width, G quantizer groups of E entries.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from .errors import CheckpointError, listed
from .name_table import NameTable, under

SPECIALS = 4  # <s>, <pad>, </s> and <unk> stand before the units and the classes of a fairseq dictionary
APPENDED = 2  # <mask> and <ctc_blank> stand after the classes

_ATTENTIONS = ("self_attn", "encoder_attn")
_LAYER = {
    f"layers.{{n}}.{ours}": f"layers.{{n}}.{theirs}"
    for ours, theirs in {
        **{name: name for name in _ATTENTIONS},
        **{f"{name}_layer_norm": f"{name}_layer_norm" for name in _ATTENTIONS},
        "feed_forward.fc1": "fc1",
        "feed_forward.fc2": "fc2",
        "final_layer_norm": "final_layer_norm",
    }.items()
}
ROWS = {
    **under("encoder", "encoder", _LAYER),
    "encoder.layers.{n}.norm_k": "encoder.layers.{n}.norm_k",
    "encoder.layer_norm": "encoder.layer_norm",
    "encoder.relative_positions.vectors": "encoder.pos_emb.pe_k",
    "ctc_head.projection": "encoder.proj",
    **under("decoder", "decoder", _LAYER),
    "decoder.layer_norm": "decoder.layer_norm",
    **under(
        "speech_encoder_prenet",
        "speech_encoder_prenet",
        {
            "mask_embedding": "mask_emb",
            "layer_norm": "layer_norm",
            "projection": "post_extract_proj",
            "position_conv.conv.bias": "pos_conv.0.bias",
            "position_conv.conv.parametrizations.weight.original0": "pos_conv.0.weight_g",
            "position_conv.conv.parametrizations.weight.original1": "pos_conv.0.weight_v",
            "extractor.convs.{n}": "feature_extractor.conv_layers.{n}.0",
        },
    ),
    "text_encoder_prenet.embedding": "text_encoder_prenet.encoder_prenet.0",
    "text_encoder_prenet.positions": "text_encoder_prenet.encoder_prenet.1",
    **under(
        "speech_decoder_prenet",
        "speech_decoder_prenet",
        {
            "layers.{n}": "decoder_prenet.0.0.prenet.{n}.0",
            "projection": "decoder_prenet.0.1",
            "positions": "decoder_prenet.1",
            "speaker_projection": "spkembs_layer.0",
        },
    ),
    "text_decoder_prenet.embedding": "text_decoder_prenet.embed_tokens",
    "text_decoder_postnet.embedding": "text_decoder_postnet.output_projection",
    **under(
        "speech_decoder_postnet",
        "speech_decoder_postnet",
        {
            "feat_out": "feat_out",
            "prob_out": "prob_out",
            "convs.{n}": "postnet.postnet.{n}.0",
            "norms.{n}": "postnet.postnet.{n}.1",
        },
    ),
    "unit_head.embeddings": "hubert_layer.label_embs_concat",
    "unit_head.projection": "hubert_layer.final_proj",
    "quantizer.codebook": "quantizer.vars",
    "quantizer.projection": "quantizer.weight_proj",
    "speaker_head.projection": "speaker_decoder_postnet.output_projection",
    "speaker_head.embedding.0": "speaker_decoder_postnet.bn_pooling",
    "speaker_head.embedding.1": "speaker_decoder_postnet.output_embedding",
    "speaker_head.embedding.2": "speaker_decoder_postnet.bn_embedding",
}
EMBEDDING_WEIGHT = "speaker_head.embedding.1.weight"
EMBEDDING_BIAS = "speaker_head.embedding.1.bias"
QUANTIZER_PROJECTION = "quantizer.projection.weight"
EMBEDDING_MEAN = "speaker_head.embedding.2.running_mean"
_NORM = "speech_encoder_prenet.extractor.norms.{n}"
# The extractor's norms: one GroupNorm behind the first convolution, or a LayerNorm, between two transpositions, behind
# each of them.
GROUP_NORM = NameTable({**ROWS, _NORM: "speech_encoder_prenet.feature_extractor.conv_layers.{n}.2"})
LAYER_NORM = NameTable({**ROWS, _NORM: "speech_encoder_prenet.feature_extractor.conv_layers.{n}.2.1"})
_IS_LAYER_NORM = re.compile(r"speech_encoder_prenet\.feature_extractor\.conv_layers\.\d+\.2\.1\.")

# Tensors that no computation of the published code reads: versions, and the decoder's relative positions.
UNUSED = re.compile(
    r"(encoder|decoder)\.version|.*\._float_tensor|decoder\.pos_emb\.pe_k\.weight|decoder\.layers\.\d+\.norm_k\.\w+"
)
_KEY_NORM = re.compile(r"encoder\.layers\.\d+\.norm_k\.")  # read by pre-norm models alone
PRE_NORM = "decoder.layer_norm.weight"  # the final norm, which post-norm models lack
RELEASED_MARK = "encoder.pos_emb.pe_k.weight"  # in every released file, and never in one of ours


class Translated(NamedTuple):
    """A released checkpoint's tensors by our names, and the names of those that nothing would read."""

    tensors: dict[str, Tensor]
    unused: list[str]


def is_released(tensors: Collection[str]) -> bool:
    """Whether these are the tensor names of a checkpoint of the published code."""
    return RELEASED_MARK in tensors


def from_released(theirs: Mapping[str, Tensor], name: str = "the checkpoint") -> Translated:
    """Our state dict, of every net that the checkpoint has.

    Args:
        name: says which checkpoint, in errors.

    Raises:
        CheckpointError: tensors that the released format does not have, or one without that which belongs to it.
    """
    table = LAYER_NORM if any(_IS_LAYER_NORM.match(name) for name in theirs) else GROUP_NORM
    unused = [name for name in theirs if _is_unused(name, pre_norm=PRE_NORM in theirs)]
    names = {name: table.ours(name) for name in theirs if name not in set(unused)}
    unknown = [name for name, ours in names.items() if ours is None]
    if unknown:
        raise CheckpointError(
            f"{name}: of the published code, with {len(unknown)} tensors that it is not known to have: "
            f"{listed(unknown)}; it was trained with options that this code does not build"
        )
    tensors = {ours: theirs[name] for name, ours in names.items()}
    return Translated(_ours_shaped(tensors, name), unused)


def _is_unused(name: str, *, pre_norm: bool) -> bool:
    return bool(UNUSED.fullmatch(name)) or (not pre_norm and bool(_KEY_NORM.match(name)))


def _ours_shaped(tensors: dict[str, Tensor], place: str) -> dict[str, Tensor]:
    """Without rows for what is no unit and no class, the codebook by groups, a bias where ours has one."""
    shaped = dict(tensors)
    if EMBEDDING_WEIGHT in shaped:
        shaped[EMBEDDING_BIAS] = shaped[EMBEDDING_WEIGHT].new_zeros(len(shaped[EMBEDDING_WEIGHT]))
    if "unit_head.embeddings" in shaped:
        shaped["unit_head.embeddings"] = shaped["unit_head.embeddings"][SPECIALS:]  # (4 + U, width)
    if "speaker_head.projection.weight" in shaped:
        shaped["speaker_head.projection.weight"] = shaped["speaker_head.projection.weight"][SPECIALS:-APPENDED]
    if "quantizer.codebook" in shaped:
        codebook = shaped["quantizer.codebook"]
        groups = _groups(codebook, _partner(shaped, "quantizer.codebook", QUANTIZER_PROJECTION, place))
        if groups:  # of other shapes loading says so
            shaped["quantizer.codebook"] = codebook.view(groups, -1, codebook.size(2))
    return shaped


def _groups(codebook: Tensor, projection: Tensor) -> int:
    """Groups of a codebook (1, G x E, D / G) by the projection (G x E, D); 0 where they do not fit."""
    if codebook.dim() != 3 or projection.dim() != 2 or not codebook.size(2):
        return 0
    groups, left = divmod(projection.size(1), codebook.size(2))
    return 0 if left or not groups or codebook.size(1) % groups else groups


def _partner(tensors: Mapping[str, Tensor], name: str, partner: str, place: str) -> Tensor:
    if partner not in tensors:
        raise CheckpointError(
            f"{place}: has {name} (by the names of this code) without {partner}; copy the checkpoint again, whole"
        )
    return tensors[partner]


def to_released(ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The published code's state dict for the nets of ``ours``; nets that it builds besides are not there.

    Rows for the special symbols among units and classes are zeros; tensors that nothing reads have the values of an
    untrained model.

    Raises:
        CheckpointError: tensors that the released format cannot hold, or one without that which belongs to it.
    """
    table = LAYER_NORM if _NORM.format(n=1) + ".weight" in ours else GROUP_NORM
    carried = {name: tensor for name, tensor in _theirs_shaped(ours).items() if not travels_apart(name)}
    names = {name: table.theirs(name) for name in carried}
    unknown = [name for name, theirs in names.items() if theirs is None]
    if unknown:
        raise CheckpointError(f"the released format cannot hold {len(unknown)} tensors: {listed(unknown)}")
    tensors = {theirs: carried[name] for name, theirs in names.items()}
    return {**tensors, **_unread(ours)}


def travels_apart(name: str) -> bool:
    """Whether a tensor of ours holds names (of symbols, classes), which the released format keeps in files."""
    return name.startswith(("vocabulary.", "classes."))


def _theirs_shaped(ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
    shaped = dict(ours)
    if EMBEDDING_BIAS in shaped:  # the BatchNorm behind it takes it in
        shaped[EMBEDDING_MEAN] = _partner(shaped, EMBEDDING_BIAS, EMBEDDING_MEAN, "the model") - shaped.pop(
            EMBEDDING_BIAS
        )
    if "unit_head.embeddings" in shaped:
        shaped["unit_head.embeddings"] = _padded(shaped["unit_head.embeddings"], SPECIALS, 0)
    if "speaker_head.projection.weight" in shaped:
        shaped["speaker_head.projection.weight"] = _padded(shaped["speaker_head.projection.weight"], SPECIALS, APPENDED)
    if "quantizer.codebook" in shaped:
        codebook = shaped["quantizer.codebook"]
        shaped["quantizer.codebook"] = codebook.reshape(1, -1, codebook.size(2))
    return shaped


def _padded(rows: Tensor, before: int, after: int) -> Tensor:
    zeros = rows.new_zeros(before + after, rows.size(1))
    return torch.cat([zeros[:before], rows, zeros[before:]])


def _unread(ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What the published code has and never reads, for the nets of ``ours``."""
    made = {"encoder.version": torch.tensor([3.0]), "decoder.version": torch.tensor([3.0])}
    table = ours["encoder.relative_positions.vectors.weight"]
    made["decoder.pos_emb.pe_k.weight"] = torch.zeros_like(table)
    for net in ("encoder", "decoder"):
        for layer in sorted({name.split(".")[2] for name in ours if name.startswith(f"{net}.layers.")}, key=int):
            key = f"{net}.layers.{layer}.norm_k"
            if f"{key}.weight" not in ours:
                made |= {f"{key}.weight": table.new_ones(table.size(1)), f"{key}.bias": table.new_zeros(table.size(1))}
    for net in ("speech_encoder_prenet", "text_decoder_prenet"):
        if any(name.startswith(f"{net}.") for name in ours):
            made[f"{net}.embed_positions._float_tensor"] = torch.zeros(1)
    return made
