"""Write a HiFi-GAN generator in either layout that `generation.hifigan_checkpoint` reads, which has the name tables.

For `transformers`, the folder that `SpeechT5HifiGan.from_pretrained` loads; for the original, what ParallelWaveGAN
loads. Our mel settings are stated in both configurations.
"""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import torch
import yaml
from torch import Tensor

from ..constants import MEL_BINS, SAMPLE_RATE
from ..data.atomic import replacing_files
from ..generation.hifigan_checkpoint import (
    HUGGINGFACE_SIZES,
    HUGGINGFACE_TABLE,
    ORIGINAL_CONFIG,
    ORIGINAL_SIZES,
    ORIGINAL_SUFFIXES,
    ORIGINAL_TABLE,
    translated_name,
    without_weight_norm,
)
from ..generation.vocoder_checks import mel_settings
from ..modules.hifigan import HifiganGenerator
from .huggingface_files import CONFIG, PICKLED, SHARDS, WEIGHTS, write_settings, write_tensors

# What a reader of either layout would find in the folder; of the original's checkpoints that which is written here.
ORIGINAL_FILES = (ORIGINAL_CONFIG, "checkpoint.pkl", "stats.npy")
HUGGINGFACE_FILES = (CONFIG, WEIGHTS, PICKLED, SHARDS)


def export_huggingface(generator: HifiganGenerator, folder: str | Path) -> None:
    """Write config.json and model.safetensors in place of a vocoder that is there, in either layout.

    Raises:
        ImportError: safetensors is not installed.
        ValueError: the folder holds a checkpoint that would be in force, or be left without its configuration.
    """
    sizes = generator.sizes._asdict()
    config = {"model_type": "speecht5_hifigan", "architectures": ["SpeechT5HifiGan"]}
    config |= {theirs: sizes[ours] for ours, theirs in HUGGINGFACE_SIZES.items()}
    config |= {name: value for name, value in mel_settings().items() if name != "num_mels"}
    with _replacing_vocoder(Path(folder), CONFIG) as partial:
        write_tensors(partial / WEIGHTS, _renamed(generator, HUGGINGFACE_TABLE), {"format": "pt"})
        write_settings(partial / CONFIG, config)


def export_original(generator: HifiganGenerator, folder: str | Path) -> None:
    """Write checkpoint.pkl, stats.npy and config.yml in place of a vocoder that is there, in either layout.

    Raises:
        ValueError: a generator without normalisation, which this layout cannot say; or see ``export_huggingface``.
    """
    if not generator.sizes.normalize:
        raise ValueError("normalize is False: the original layout always normalises; set mean 0 and scale 1 instead")
    tensors = with_weight_norm(_renamed(generator, ORIGINAL_TABLE))
    statistics = np.stack([tensors.pop("mean").numpy(), tensors.pop("scale").numpy()])
    with _replacing_vocoder(Path(folder), ORIGINAL_CONFIG) as partial:
        torch.save({"model": {"generator": tensors}}, partial / "checkpoint.pkl")
        np.save(partial / "stats.npy", statistics)
        (partial / ORIGINAL_CONFIG).write_text(yaml.safe_dump(_original_config(generator)), encoding="utf-8")


def _replacing_vocoder(folder: Path, last: str) -> AbstractContextManager[Path]:
    others = [file.name for file in folder.glob("*") if file.suffix in ORIGINAL_SUFFIXES]
    others = sorted(name for name in others if name not in ORIGINAL_FILES)
    if others:
        raise ValueError(
            f"{folder}: holds {', '.join(others)}, a checkpoint besides the files that are replaced, which a reader of "
            "the folder might take; give another OUT, or move it away"
        )
    return replacing_files(folder, last=last, stale=(*HUGGINGFACE_FILES, *ORIGINAL_FILES))


def with_weight_norm(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """A state dict with every weight as weight_g and weight_v, the way old-style weight norm keeps it.

    The length is that of the weight itself, so the pair multiplies back to the weight, up to rounding.
    """
    split = {}
    for name, tensor in tensors.items():
        if name.endswith(".weight"):
            axes = tuple(range(1, tensor.dim()))
            split[f"{name}_g"] = tensor.square().sum(axes, keepdim=True).sqrt()
            split[f"{name}_v"] = tensor
        else:
            split[name] = tensor
    return split


def _original_config(generator: HifiganGenerator) -> dict[str, object]:
    sizes = json.loads(json.dumps(generator.sizes._asdict()))  # yaml writes tuples in Python's own way, JSON as lists
    params = {theirs: sizes[ours] for ours, theirs in ORIGINAL_SIZES.items()}
    params |= {"in_channels": MEL_BINS, "out_channels": 1, "kernel_size": 7, "bias": True, "use_weight_norm": True}
    params |= {"use_additional_convs": True, "nonlinear_activation": "LeakyReLU"}
    params["nonlinear_activation_params"] = {"negative_slope": sizes["slope"]}
    settings = {name: value for name, value in mel_settings().items() if name != "model_in_dim"}
    return settings | {"sampling_rate": SAMPLE_RATE, "generator_type": "HiFiGANGenerator", "generator_params": params}


def _renamed(generator: HifiganGenerator, table: dict[str, str]) -> dict[str, Tensor]:
    """The generator's tensors on the CPU, weight norm folded, by the table's names."""
    ours = without_weight_norm(generator.state_dict())
    return {translated_name(name, table): tensor.detach().cpu().contiguous() for name, tensor in ours.items()}
