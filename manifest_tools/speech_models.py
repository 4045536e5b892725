"""HuBERT from fairseq, `transformers` or torchaudio, and our own checkpoints: a waveform in, the frames of a layer out.

Layers are counted alike in all of them: 0 is the input of the first Transformer layer, L the plain output of the L-th,
without the LayerNorm that stands after the last one in pre-norm models. This is `extract_features(output_layer=L)` of
fairseq and `hidden_states[L]` of `transformers`, but for the last layer of a pre-norm model, which is normalised there.
The layers after it are not kept.

Shapes: S samples, T frames (50 a second), D model width.
"""

from __future__ import annotations

import ast
import logging
import warnings
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torchaudio
from fairseq.data import Dictionary
from torch import Tensor, nn

from speecht5_fairseq.interface.loading import load_hearing
from speecht5_fairseq.models.checkpoint import read_file, section

logger = logging.getLogger(__name__)

FAIRSEQ_EPSILON = 1e-5  # of torch's layer_norm, over the waveform
TRANSFORMERS_EPSILON = 1e-7  # of its feature extractor, over the waveform
MOST_CONV_LAYERS = 100
SHOWN = 200  # characters of an option that a message repeats
_PRETRAINING = ("final_proj.", "target_glu.", "label_embs_concat")  # of fairseq's HuBERT; features need none of them


class SpeechModel(NamedTuple):
    """A model in evaluation.

    Attributes:
        net: the modules, to be moved to a device.
        states: waveform (1, S) -> frames (1, T, D).
        epsilon: added to the variance where the waveform is to have mean 0 and variance 1; None to take it as it is.
    """

    net: nn.Module
    states: Callable[[Tensor], Tensor]
    epsilon: float | None


def kept(layers: nn.ModuleList, layer: int, checkpoint: str | Path) -> nn.ModuleList:
    """The first `layer` layers. Raises ValueError where there are fewer."""
    if not 0 <= layer <= len(layers):
        raise ValueError(
            f"--layer {layer}: {checkpoint} has {len(layers)} layers; give 1 to {len(layers)}, or 0 for their input"
        )
    return layers[:layer]


def load_speecht5(path: str, layer: int) -> SpeechModel:
    """The speech encoder of a checkpoint of ours, pre-trained or fine-tuned, or of the published code.

    Raises CheckpointError for another file, or a model that hears no speech.
    """
    model = load_hearing(path, device="cpu")
    model.encoder.layers = kept(model.encoder.layers, layer, path)

    def states(waveform: Tensor) -> Tensor:
        lengths = torch.tensor([waveform.size(1)], device=waveform.device)
        return model.encode(waveform=waveform, sample_lengths=lengths, layer=layer).states

    return SpeechModel(model, states, None)  # it normalises by itself where it was trained so


def load_fairseq_hubert(path: str, layer: int) -> SpeechModel:
    """A file of fairseq's HubertModel, as `hubert_base_ls960.pt`. Nothing in it is run.

    Raises CheckpointError or ValueError with the mend for another file.
    """
    from fairseq.models.hubert.hubert import HubertConfig, HubertModel
    from fairseq.tasks.hubert_pretraining import HubertPretrainingConfig

    with torch.serialization.safe_globals([Dictionary]):  # of its units: symbols and counts, no code
        state = read_file(path)
    model_options, task_options = _fairseq_options(state, path)
    logging.getLogger("fairseq.models.hubert.hubert").setLevel(logging.WARNING)  # it logs its options
    model_options["conv_feature_layers"] = str(_conv_layers(model_options, path))  # which fairseq would run as code
    config = _config(HubertConfig, model_options, path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of the weight_norm that fairseq's code asks for
            model = HubertModel(config, _config(HubertPretrainingConfig, task_options, path), [None])
    except Exception as error:  # whatever values that are no options make fairseq's code trip over
        raise ValueError(
            f"--checkpoint {path}: its options make no HuBERT ({type(error).__name__}: {error}); give one of fairseq's"
        ) from error
    model.remove_pretraining_modules()
    tensors = {name: tensor for name, tensor in state["model"].items() if not str(name).startswith(_PRETRAINING)}
    _load(model, tensors, path)
    _truncate(model.encoder, layer, path, pre_norm=config.layer_norm_first)
    epsilon = FAIRSEQ_EPSILON if task_options.get("normalize") else None
    return SpeechModel(model, lambda waveform: model.extract_features(waveform)[0], epsilon)


def _truncate(encoder: nn.Module, layer: int, path: str, *, pre_norm: bool) -> None:
    """Leave the layers after `layer` out, and with them the LayerNorm at the end of a pre-norm encoder."""
    encoder.layers = kept(encoder.layers, layer, path)
    if pre_norm:
        encoder.layer_norm = nn.Identity()


def _fairseq_options(state: Any, path: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The model's and the task's options; files of before fairseq 1.0 hold both in one."""
    if not (isinstance(state, dict) and isinstance(state.get("model"), dict)):
        raise ValueError(f"--checkpoint {path}: holds no model; give a checkpoint of fairseq's HuBERT")
    try:
        old = vars(state["args"]) if state.get("args") is not None else {}
        model, task = (dict(section(state, name) or old) for name in ("model", "task"))
    except (TypeError, AttributeError) as error:
        raise ValueError(f"--checkpoint {path}: holds no options; give a checkpoint of fairseq's HuBERT") from error
    name = str(model.get("_name") or model.get("arch") or "")
    if not name.startswith("hubert") or name.endswith("_ctc"):
        raise ValueError(
            f"--checkpoint {path}: holds the model {name or 'of no name'}; give the checkpoint of HuBERT's "
            "pre-training, or --extractor speecht5 for one of ours"
        )
    return model, task


def _config(kind: type, options: Mapping[str, Any], path: str) -> Any:
    """fairseq's options of a class; those that this fairseq does not know are warned of."""
    known = {field.name for field in fields(kind)}
    unknown = sorted(set(options) - known - {"_name", "arch"})
    if unknown and "_name" in options:  # in a file of before 1.0 stand those of all classes
        logger.warning("%s: options that this fairseq does not know and leaves out: %s", path, ", ".join(unknown))
    return kind(**{name: value for name, value in options.items() if name in known})


def _conv_layers(options: Mapping[str, Any], path: str) -> list[tuple[int, int, int]]:
    """`conv_feature_layers`, an expression of lists in Python's syntax, without running it."""
    from fairseq.models.hubert.hubert import HubertConfig

    text = str(options.get("conv_feature_layers") or HubertConfig.conv_feature_layers)
    try:
        found = _lists(ast.parse(text.strip(), mode="eval").body)
        return [(int(channels), int(kernel), int(stride)) for channels, kernel, stride in found]
    except (SyntaxError, ValueError, TypeError, OverflowError, RecursionError, MemoryError) as error:
        shown = text if len(text) <= SHOWN else f"{text[:SHOWN]} ..."
        raise ValueError(
            f"--checkpoint {path}: conv_feature_layers {shown!r} is no list of (channels, kernel, stride) ({error}); "
            "give a checkpoint of fairseq's HuBERT"
        ) from error


def _lists(node: ast.expr) -> Any:
    """The value of lists and tuples of numbers, added or repeated."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Mult)):
        left, right = _lists(node.left), _lists(node.right)
        if isinstance(node.op, ast.Add):
            return left + right
        if not (isinstance(left, list) and isinstance(right, int) and len(left) * right <= MOST_CONV_LAYERS):
            raise ValueError("a list is repeated by a small number")
        return left * right
    return ast.literal_eval(node)


def _load(model: nn.Module, tensors: Mapping[str, Tensor], path: str) -> None:
    try:
        model.load_state_dict(tensors)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise ValueError(f"--checkpoint {path}: its weights are not those of its model ({error})") from error
    model.eval().requires_grad_(False)


def load_transformers_hubert(folder: str, layer: int) -> SpeechModel:
    """A folder of `transformers` with a HuBERT, its head left out.

    Raises ImportError without `transformers`, ValueError with the mend for another folder.
    """
    try:
        from transformers import AutoConfig, HubertModel
    except ImportError as error:
        raise ImportError("--extractor transformers-hubert needs transformers: pip install transformers") from error
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        if config.model_type != "hubert":
            raise ValueError(f"it holds {config.model_type}, not hubert")
        model, loading = HubertModel.from_pretrained(folder, local_files_only=True, output_loading_info=True)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ValueError(f"--checkpoint {folder}: no HuBERT of transformers ({error}); give its folder") from error
    missing = sorted(set(loading["missing_keys"]) - {"masked_spec_embed"})  # features have no masks
    if missing:
        raise ValueError(
            f"--checkpoint {folder}: lacks weights of HuBERT ({', '.join(missing[:3])} ...); copy the folder again"
        )
    model.float().eval().requires_grad_(False)
    _truncate(model.encoder, layer, folder, pre_norm=config.do_stable_layer_norm)
    normalised = _transformers_normalises(Path(folder), config.feat_extract_norm)
    epsilon = TRANSFORMERS_EPSILON if normalised else None
    return SpeechModel(model, lambda waveform: model(waveform).last_hidden_state, epsilon)


def _transformers_normalises(folder: Path, norm: str) -> bool:
    """As preprocessor_config.json says; without the file, as fairseq trained models of the kind."""
    from transformers import Wav2Vec2FeatureExtractor

    if (folder / "preprocessor_config.json").is_file():
        return bool(Wav2Vec2FeatureExtractor.from_pretrained(folder, local_files_only=True).do_normalize)
    logger.info("%s has no preprocessor_config.json: the waveform is normalised as in fairseq's models", folder)
    return norm == "layer"


class Published(NamedTuple):
    """A HuBERT that torchaudio publishes: what builds it, and whether it was trained on normalised waveforms."""

    build: Callable[[], nn.Module]
    normalize: bool


TORCHAUDIO = {  # name in torchaudio.pipelines
    "HUBERT_BASE": Published(torchaudio.models.hubert_base, normalize=False),
    "HUBERT_LARGE": Published(torchaudio.models.hubert_large, normalize=True),
    "HUBERT_XLARGE": Published(torchaudio.models.hubert_xlarge, normalize=True),
}


def load_torchaudio_hubert(named: str, layer: int) -> SpeechModel:
    """NAME=FILE: a model of `TORCHAUDIO` with the weights of a state dict. Raises ValueError for another file."""
    name, _, file = named.partition("=")
    published = TORCHAUDIO[name]
    tensors = read_file(file)
    if not (isinstance(tensors, dict) and all(isinstance(each, Tensor) for each in tensors.values())):
        raise ValueError(f"--checkpoint {named}: {file} is no state dict; give the file that torchaudio fetches")
    model = published.build()
    _load(model, tensors, named)
    transformer = model.encoder.transformer
    # torchaudio's name says the opposite for the stack: a pre-norm one has its LayerNorm last
    _truncate(transformer, layer, named, pre_norm=not transformer.layer_norm_first)
    epsilon = FAIRSEQ_EPSILON if published.normalize else None
    return SpeechModel(model, lambda waveform: model(waveform)[0], epsilon)
