"""HiFi-GAN checkpoints in two layouts: `transformers`' and the original's, which is ParallelWaveGAN's.

transformers  a folder with config.json, and model.safetensors or pytorch_model.bin
original      a .pkl or .pt that holds {"model": {"generator": tensors}}, config.yml and stats.npy (mean, scale) beside

Names are translated by one strict two-column table a layout; what is missing, extra or of another shape is an error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import yaml
from torch import Tensor

from ..constants import MEL_BINS
from ..modules.hifigan import HifiganGenerator, HifiganSizes
from .vocoder_checks import VocoderError, check_mel_settings

# ours -> theirs: modules with numbers as {n}, {m}; ".weight" and ".bias" follow, or nothing for a statistic
HUGGINGFACE_TABLE = {
    "input_conv": "conv_pre",
    "upsamples.{n}": "upsampler.{n}",
    "blocks.{n}.dilated.{m}": "resblocks.{n}.convs1.{m}",
    "blocks.{n}.plain.{m}": "resblocks.{n}.convs2.{m}",
    "output_conv": "conv_post",
    "mean": "mean",
    "scale": "scale",
}
ORIGINAL_TABLE = {
    "input_conv": "input_conv",
    "upsamples.{n}": "upsamples.{n}.1",
    "blocks.{n}.dilated.{m}": "blocks.{n}.convs1.{m}.1",
    "blocks.{n}.plain.{m}": "blocks.{n}.convs2.{m}.1",
    "output_conv": "output_conv.1",
    "mean": "mean",
    "scale": "scale",
}
# Where a configuration has the generator's sizes: our field -> theirs.
HUGGINGFACE_SIZES = {
    "channels": "upsample_initial_channel",
    "upsample_rates": "upsample_rates",
    "upsample_kernels": "upsample_kernel_sizes",
    "block_kernels": "resblock_kernel_sizes",
    "block_dilations": "resblock_dilation_sizes",
    "slope": "leaky_relu_slope",
    "normalize": "normalize_before",
}
ORIGINAL_SIZES = {
    "channels": "channels",
    "upsample_rates": "upsample_scales",
    "upsample_kernels": "upsample_kernel_sizes",
    "block_kernels": "resblock_kernel_sizes",
    "block_dilations": "resblock_dilations",
}
# What the original's generator_params may say besides: only these values are built here.
_ORIGINAL_FIXED = {
    "in_channels": MEL_BINS,
    "out_channels": 1,
    "kernel_size": 7,
    "use_additional_convs": True,
    "bias": True,
    "nonlinear_activation": "LeakyReLU",
    "use_causal_conv": False,
}
# The pairs (length, direction) that weight norm leaves in a checkpoint: torch's two ways of spelling them.
_WEIGHT_NORM = (
    (".weight_g", ".weight_v"),
    (".parametrizations.weight.original0", ".parametrizations.weight.original1"),
)
_STATISTICS = ("mean", "scale")
_OWN_CONFIG = "put the configuration that belongs to the vocoder there"
ORIGINAL_CONFIG, ORIGINAL_SUFFIXES = "config.yml", (".pkl", ".pt", ".pth")
_WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")


class _Files(NamedTuple):
    """The files of one vocoder, and whether they are in the original layout."""

    weights: Path
    config: Path
    original: bool


def load_hifigan(path: Path) -> HifiganGenerator:
    """Load a generator from a folder or a weights file in either layout, on the CPU, weight norm folded.

    Raises:
        VocoderError: files are missing, unreadable or of other mel settings, or tensors do not fit.
    """
    files = _find(path)
    config = _read_config(files.config)
    check_mel_settings(config, files.config)
    read_sizes = _original_sizes if files.original else _huggingface_sizes
    generator = _built(read_sizes(config, files.config), files.config)
    tensors = _read_original(files) if files.original else _read_tensors(files.weights)
    table = ORIGINAL_TABLE if files.original else HUGGINGFACE_TABLE
    generator.load_state_dict(_translated(generator, without_weight_norm(tensors), table, files.weights))
    return generator.eval()


def translated_name(name: str, table: Mapping[str, str]) -> str:
    """The name that a tensor of ours has in the layout of `table`."""
    module, dot, ending = name.rpartition(".")
    if name in table:
        module, dot, ending = name, "", ""
    numbers = re.findall(r"\d+", module)
    pattern = re.sub(r"\d+", "{}", module).replace("{}", "{n}", 1).replace("{}", "{m}", 1)
    return table[pattern].format(**dict(zip("nm", numbers, strict=False))) + dot + ending


def without_weight_norm(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict with every (length, direction) pair of weight norm multiplied to the weight."""
    plain = dict(tensors)
    for length, direction in _WEIGHT_NORM:
        for name in [name.removesuffix(length) for name in tensors if name.endswith(length)]:
            if name + direction in plain:
                pair = plain.pop(name + direction).float(), plain.pop(name + length).float()
                plain[f"{name}.weight"] = torch._weight_norm(*pair, 0)
    return plain


def _find(path: Path) -> _Files:
    if path.is_dir():
        config = path / "config.json"
        if config.is_file():
            present = [path / name for name in _WEIGHT_FILES if (path / name).is_file()]
            return _Files(_only(path, present[:1]), config, False)
        weights = _only(path, sorted(p for p in path.iterdir() if p.suffix in ORIGINAL_SUFFIXES))
        return _Files(weights, path / ORIGINAL_CONFIG, True)
    original = path.suffix not in (".safetensors", ".bin")
    return _Files(path, path.with_name(ORIGINAL_CONFIG if original else "config.json"), original)


def _only(folder: Path, found: list[Path]) -> Path:
    if len(found) == 1:
        return found[0]
    layouts = f"config.json with {' or '.join(_WEIGHT_FILES)}, or config.yml and stats.npy with one .pkl or .pt"
    if not found:
        raise VocoderError(f"{folder}: no HiFi-GAN in this folder; it has to hold {layouts}")
    names = ", ".join(file.name for file in found)
    raise VocoderError(f"{folder}: several checkpoints ({names}); name one of these files instead of the folder")


def _read_config(file: Path) -> dict:
    try:
        text = file.read_text(encoding="utf-8")
        config = json.loads(text) if file.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise VocoderError(f"{file}: no readable configuration ({error}); {_OWN_CONFIG}") from error
    if not isinstance(config, dict):
        raise VocoderError(f"{file}: holds a {type(config).__name__}, not settings by name; {_OWN_CONFIG}")
    return config


def _huggingface_sizes(config: dict, file: Path) -> dict[str, object]:
    """`transformers` leaves settings out at will; its defaults are ours."""
    kind = config.get("model_type", "speecht5_hifigan")
    if kind != "speecht5_hifigan":
        raise VocoderError(f"{file}: model_type is {kind!r}, not 'speecht5_hifigan'; give the folder of the vocoder")
    return {ours: config[theirs] for ours, theirs in HUGGINGFACE_SIZES.items() if theirs in config}


def _original_sizes(config: dict, file: Path) -> dict[str, object]:
    params = config.get("generator_params")
    kind = config.get("generator_type", "HiFiGANGenerator")
    if kind != "HiFiGANGenerator" or not isinstance(params, dict):
        raise VocoderError(f"{file}: generator_type is {kind!r}; needed are HiFiGANGenerator and its generator_params")
    lacking = [theirs for theirs in ORIGINAL_SIZES.values() if theirs not in params]
    if lacking:
        raise VocoderError(f"{file}: generator_params lacks {', '.join(lacking)}; {_OWN_CONFIG}")
    wrong = [f"{k} {params[k]} (needed {v})" for k, v in _ORIGINAL_FIXED.items() if params.get(k, v) != v]
    if wrong:
        raise VocoderError(f"{file}: generator_params has {', '.join(wrong)}; give a plain HiFi-GAN of 80 mel bins")
    slope = (params.get("nonlinear_activation_params") or {}).get("negative_slope", 0.1)
    return {ours: params[theirs] for ours, theirs in ORIGINAL_SIZES.items()} | {"slope": slope}


def _built(sizes: Mapping[str, object], file: Path) -> HifiganGenerator:
    try:
        return HifiganGenerator(sizes=HifiganSizes(**{name: _tuples(value) for name, value in sizes.items()}))
    except (TypeError, ValueError) as error:
        raise VocoderError(f"{file}: no generator of these sizes: {error}; {_OWN_CONFIG}") from error


def _tuples(value: object) -> object:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _read_tensors(file: Path) -> dict:
    try:
        if file.suffix == ".safetensors":
            return _read_safetensors(file)
        return torch.load(file, map_location="cpu", weights_only=True)
    except VocoderError:
        raise
    except Exception as error:  # pickle, zip and safetensors each raise their own
        raise VocoderError(
            f"{file}: not readable as a checkpoint of plain tensors ({error}); copy or download the file again"
        ) from error


def _read_safetensors(file: Path) -> dict[str, Tensor]:
    try:
        from safetensors.torch import load_file  # only this layout needs the package
    except ImportError as error:
        raise VocoderError(f"{file}: reading it needs safetensors; `pip install safetensors`") from error
    return load_file(file)


def _read_original(files: _Files) -> dict[str, Tensor]:
    """The generator's tensors, with the statistics from stats.npy where the checkpoint does not hold them."""
    checkpoint = _read_tensors(files.weights)
    try:
        tensors = dict(checkpoint["model"]["generator"])
    except (KeyError, TypeError, ValueError) as error:
        raise VocoderError(
            f'{files.weights}: no {{"model": {{"generator": ...}}}} in it; give a checkpoint of ParallelWaveGAN'
        ) from error
    if all(name in tensors for name in _STATISTICS):
        return tensors
    file = files.weights.with_name("stats.npy")
    try:
        mean, scale = np.load(file, allow_pickle=False).astype(np.float32)
    except (OSError, ValueError, EOFError) as error:
        raise VocoderError(
            f"{file}: no mean and scale, one row each ({error}); put the stats.npy of the vocoder beside its checkpoint"
        ) from error
    return tensors | {"mean": torch.from_numpy(mean.reshape(-1)), "scale": torch.from_numpy(scale.reshape(-1))}


def _translated(
    generator: HifiganGenerator, theirs: Mapping[str, Tensor], table: Mapping[str, str], file: Path
) -> dict[str, Tensor]:
    """Our state dict out of theirs, each tensor where it belongs and none left."""
    ours = generator.state_dict()
    names = {name: translated_name(name, table) for name in ours}
    problems = [f"{other} is missing" for other in names.values() if other not in theirs]
    problems += [f"{other} is extra" for other in theirs if other not in set(names.values())]
    for name, other in names.items():
        if other in theirs and theirs[other].shape != ours[name].shape:
            shapes = tuple(theirs[other].shape), tuple(ours[name].shape)
            problems.append(f"{other} has shape {shapes[0]}, the configuration says {shapes[1]}")
    if problems:
        raise VocoderError(
            f"{file}: {len(problems)} tensors do not fit the configuration beside it: {'; '.join(problems)}. "
            "Give the configuration that belongs to this checkpoint"
        )
    return {name: theirs[other].float() for name, other in names.items()}
