"""Tensor names of the SpeechT5 in `transformers` beside ours: one strict two-column table.

`transformers` has no CTC head, unit head or quantizer and no pre-norm ("large") model, so only the nets of the s2t, t2s
and s2s paths of a post-norm model stand here.
"""

from __future__ import annotations

from torch import Tensor

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
# ours -> theirs: the net's prefix on both sides, and the names under it ("" stands for the net itself)
TABLE: dict[str, tuple[str, dict[str, str]]] = {
    "speech_encoder_prenet": ("speecht5.encoder.prenet", _SPEECH_ENCODER_PRENET),
    "text_encoder_prenet": (
        "speecht5.encoder.prenet",
        {"embedding": "embed_tokens", "positions.alpha": "encode_positions.alpha"},
    ),
    "encoder": ("speecht5.encoder.wrapped_encoder", _ENCODER),
    "decoder": ("speecht5.decoder.wrapped_decoder", _DECODER),
    "text_decoder_prenet": ("speecht5.decoder.prenet", {"embedding": "embed_tokens"}),
    "speech_decoder_prenet": ("speecht5.decoder.prenet", _SPEECH_DECODER_PRENET),
    "text_decoder_postnet": ("text_decoder_postnet", {"embedding": "lm_head"}),
    "speech_decoder_postnet": ("speech_decoder_postnet", _SPEECH_DECODER_POSTNET),
}


def huggingface_name(name: str) -> str | None:
    """Name of one of our tensors in `transformers`; None where it has none."""
    net, _, rest = name.partition(".")
    if net not in TABLE:
        return None
    prefix, names = TABLE[net]
    parts = rest.split(".")
    for end in range(len(parts), 0, -1):  # the longest entry that the name begins with
        numbers = [part for part in parts[:end] if part.isdigit()]
        pattern = ".".join("{n}" if part == numbers[0] else part for part in parts[:end]) if numbers else None
        for candidate in (".".join(parts[:end]), pattern):
            if candidate in names:
                theirs = names[candidate].replace("{n}", numbers[0] if numbers else "")
                return ".".join([prefix, theirs, *parts[end:]])
    return None


def from_huggingface(theirs: dict[str, Tensor], names: list[str]) -> dict[str, Tensor]:
    """Our state dict for the tensors ``names`` out of a `transformers` state dict.

    Raises:
        KeyError: a name without a counterpart, or a counterpart that ``theirs`` lacks; all are listed.
    """
    found = {name: huggingface_name(name) for name in names}
    missing = [f"{name} ({other or 'no counterpart'})" for name, other in found.items() if other not in theirs]
    if missing:
        raise KeyError(f"{len(missing)} tensors are not in the transformers checkpoint: {', '.join(missing)}")
    return {name: theirs[other] for name, other in found.items()}
