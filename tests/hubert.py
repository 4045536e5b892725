"""One small HuBERT of random weights: a folder of transformers, a file of fairseq, a state dict of torchaudio."""

from functools import partial
from pathlib import Path

import torch
import torchaudio
from fairseq.data import Dictionary
from helpers import scramble
from torchaudio.models.wav2vec2.utils import import_huggingface_model
from transformers import HubertConfig, HubertModel

from manifest_tools.speech_models import Published

LAYERS = 3
CONV = {"conv_dim": (12,) * 7, "conv_kernel": (10, 3, 3, 3, 3, 2, 2), "conv_stride": (5, 2, 2, 2, 2, 2, 2)}
SIZES = {"hidden_size": 24, "num_hidden_layers": LAYERS, "num_attention_heads": 3, "intermediate_size": 40}
POSITIONS = {"num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 4}

# Parts of names: in transformers, in fairseq. The first that fits is taken.
NAMES = {
    "masked_spec_embed": "mask_emb",
    "feature_projection.layer_norm": "layer_norm",
    "feature_projection.projection": "post_extract_proj",
    "encoder.pos_conv_embed.conv.parametrizations.weight.original0": "encoder.pos_conv.0.weight_g",
    "encoder.pos_conv_embed.conv.parametrizations.weight.original1": "encoder.pos_conv.0.weight_v",
    "encoder.pos_conv_embed.conv": "encoder.pos_conv.0",
    ".attention.": ".self_attn.",
    ".feed_forward.intermediate_dense.": ".fc1.",
    ".feed_forward.output_dense.": ".fc2.",
    ".final_layer_norm.": ".final_layer_norm.",
}


def tiny_hubert(*, large: bool, seed: int = 0) -> HubertModel:
    """large: pre-norm, with LayerNorm in the extractor, on normalised waveforms."""
    torch.manual_seed(seed)
    norm = "layer" if large else "group"
    config = HubertConfig(**SIZES, **CONV, **POSITIONS, do_stable_layer_norm=large, feat_extract_norm=norm)
    return scramble(HubertModel(config)).eval()


def transformers_folder(folder: Path, model: HubertModel, *, normalize: bool | None = None) -> Path:
    """As `save_pretrained` writes it; normalize: of preprocessor_config.json, None for no such file."""
    from transformers import Wav2Vec2FeatureExtractor

    model.save_pretrained(folder)
    if normalize is not None:
        Wav2Vec2FeatureExtractor(do_normalize=normalize).save_pretrained(folder)
    return folder


def fairseq_name(name: str, *, large: bool) -> str:
    """A tensor's name in fairseq's HubertModel."""
    if name.startswith("feature_extractor."):
        norm = ".2.1." if large else ".2."
        return name.replace(".conv.", ".0.").replace(".layer_norm.", norm)
    for theirs, ours in NAMES.items():
        if theirs in name:
            return name.replace(theirs, ours)
    if name.startswith("encoder.layers."):
        return name.replace(".layer_norm.", ".self_attn_layer_norm.")
    return name


def fairseq_file(path: Path, model: HubertModel, **changes: object) -> Path:
    """As fairseq-train writes it, with what its pre-training has besides; changes: of the file's parts."""
    large = model.config.do_stable_layer_norm
    tensors = {fairseq_name(name, large=large): tensor for name, tensor in model.state_dict().items()}
    tensors |= {"final_proj.weight": torch.ones(24, 24), "final_proj.bias": torch.ones(24)}
    tensors["label_embs_concat"] = torch.ones(50, 24)
    options = {
        "_name": "hubert", "label_rate": 50, "extractor_mode": "layer_norm" if large else "default",
        "encoder_layers": LAYERS, "encoder_embed_dim": 24, "encoder_ffn_embed_dim": 40, "encoder_attention_heads": 3,
        "layer_norm_first": large, "conv_pos": 8, "conv_pos_groups": 4,
        "conv_feature_layers": "[(12,10,5)] + [(12,3,2)] * 4 + [(12,2,2)] * 2",
    }  # fmt: skip
    task = {"_name": "hubert_pretraining", "data": "/gone", "label_rate": 50, "normalize": large}
    state = {
        "args": None,
        "cfg": {"model": options, "task": task},
        "model": tensors,
        "optimizer_history": [{"num_updates": 3}],
        "task_state": {"dictionaries": [Dictionary()]},
        "last_optimizer_state": None,
    }
    torch.save({**state, **changes}, path)
    return path


def torchaudio_model(model: HubertModel) -> Published:
    """What stands in `TORCHAUDIO` for a model of this size."""
    blank = import_huggingface_model(HubertModel(model.config))
    return Published(partial(_copied, blank), normalize=model.config.do_stable_layer_norm)


def _copied(model: torchaudio.models.Wav2Vec2Model) -> torchaudio.models.Wav2Vec2Model:
    import copy

    return copy.deepcopy(model)


def torchaudio_file(path: Path, model: HubertModel) -> Path:
    """Its weights by torchaudio's names."""
    torch.save(import_huggingface_model(model).state_dict(), path)
    return path
