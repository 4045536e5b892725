"""Write a HiFi-GAN generator in either layout that `generation.hifigan_checkpoint` reads, which has the name tables.

For `transformers`, the folder that `SpeechT5HifiGan.from_pretrained` loads; for the original, what ParallelWaveGAN
loads. Our mel settings are stated in both configurations.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import yaml
from torch import Tensor

from ..constants import MEL_BINS, SAMPLE_RATE
from ..data.atomic import atomic_text, replacing
from ..generation.hifigan_checkpoint import (
    HUGGINGFACE_SIZES,
    HUGGINGFACE_TABLE,
    ORIGINAL_SIZES,
    ORIGINAL_TABLE,
    translated_name,
    without_weight_norm,
)
from ..generation.vocoder_checks import mel_settings
from ..modules.hifigan import HifiganGenerator


def export_huggingface(generator: HifiganGenerator, folder: str | Path) -> None:
    """Write config.json and model.safetensors; each is complete or not there.

    The configuration comes last: a folder of an interrupted export does not load.

    Raises:
        ImportError: safetensors is not installed.
    """
    try:
        from safetensors.torch import save_file
    except ImportError as error:
        raise ImportError("writing model.safetensors needs safetensors; `pip install safetensors`") from error
    sizes = generator.sizes._asdict()
    config = {"model_type": "speecht5_hifigan", "architectures": ["SpeechT5HifiGan"]}
    config |= {theirs: sizes[ours] for ours, theirs in HUGGINGFACE_SIZES.items()}
    config |= {name: value for name, value in mel_settings().items() if name != "num_mels"}
    tensors = _renamed(generator, HUGGINGFACE_TABLE)
    _write(Path(folder) / "model.safetensors", lambda file: save_file(tensors, file, metadata={"format": "pt"}))
    with atomic_text(Path(folder) / "config.json") as file:
        json.dump(config, file, indent=2)


def export_original(generator: HifiganGenerator, folder: str | Path) -> None:
    """Write checkpoint.pkl, stats.npy and config.yml; each is complete or not there.

    Raises:
        ValueError: a generator without normalisation, which this layout cannot say.
    """
    if not generator.sizes.normalize:
        raise ValueError("normalize is False: the original layout always normalises; set mean 0 and scale 1 instead")
    tensors = with_weight_norm(_renamed(generator, ORIGINAL_TABLE))
    statistics = np.stack([tensors.pop("mean").numpy(), tensors.pop("scale").numpy()])
    checkpoint = {"model": {"generator": tensors}}
    _write(Path(folder) / "checkpoint.pkl", lambda file: torch.save(checkpoint, file))
    _write(Path(folder) / "stats.npy", lambda file: np.save(file, statistics))
    with atomic_text(Path(folder) / "config.yml") as file:
        yaml.safe_dump(_original_config(generator), file)


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


def _write(path: Path, save: Callable[[Path], object]) -> None:
    with replacing(path) as partial:
        save(partial)
