"""The files of a folder in the layout of `transformers`: settings as JSON, tensors as safetensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..models.checkpoint import read_file
from ..models.errors import CheckpointError
from ..models.kinds import wrong_kinds

CONFIG, EXTRACTOR, PROCESSOR = "config.json", "preprocessor_config.json", "processor_config.json"
WEIGHTS, PICKLED, SHARDS = "model.safetensors", "pytorch_model.bin", "model.safetensors.index.json"


def read_settings(folder: Path, name: str = CONFIG, kinds: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """One of the folder's files of settings.

    Args:
        kinds: examples of what is read of it, see ``wrong_kinds``.

    Raises:
        CheckpointError: it is missing or not readable, or a setting is of another kind than its example.
    """
    file = folder / name
    if not file.is_file():
        raise CheckpointError(
            f"{folder}: no {name} in this folder, so it is none of transformers'; give the folder that save_pretrained "
            "wrote, or the file of a checkpoint"
        )
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{file}: no readable settings ({error}); copy the file again") from error
    if not isinstance(settings, dict):
        raise CheckpointError(f"{file}: holds no settings by name; copy the file again")
    check_settings(settings, kinds or {}, str(file))
    return settings


def check_settings(settings: Mapping[str, Any], kinds: Mapping[str, Any], place: str) -> None:
    """Hold settings against examples of their kinds, see ``wrong_kinds``.

    Raises:
        CheckpointError: names those of another kind.
    """
    wrong = [*wrong_kinds(settings, kinds)]
    if wrong:
        raise CheckpointError(f"{place}: {'; '.join(wrong)}; give the file that belongs to the model")


def read_weights(folder: Path) -> dict[str, Tensor]:
    """The tensors of a folder: of its shards, or of its one file.

    Raises:
        CheckpointError: there is none, or it is not readable.
        ImportError: safetensors is needed and not installed.
    """
    if (folder / SHARDS).is_file():
        places = read_settings(folder, SHARDS, {"weight_map": {}}).get("weight_map", {})
        check_settings(places, dict.fromkeys(places, ""), str(folder / SHARDS))
        names = sorted(set(places.values()))
        return {name: tensor for shard in names for name, tensor in read_safetensors(folder / shard).items()}
    if (folder / WEIGHTS).is_file():
        return read_safetensors(folder / WEIGHTS)
    if not (folder / PICKLED).is_file():
        raise CheckpointError(f"{folder}: no {WEIGHTS} and no {PICKLED} in this folder; copy the whole folder")
    tensors = read_file(folder / PICKLED)
    if not isinstance(tensors, dict) or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise CheckpointError(f"{folder / PICKLED}: holds no tensors by name; give the file that save_pretrained wrote")
    return tensors


def read_safetensors(file: Path) -> dict[str, Tensor]:
    """The tensors of a file.

    Raises:
        CheckpointError: it is not there or not readable.
        ImportError: safetensors is not installed.
    """
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise ImportError(f"{file}: reading it needs safetensors; `pip install safetensors`") from error
    try:
        return load_file(file)
    except (SafetensorError, FileNotFoundError) as error:
        raise CheckpointError(f"{file}: not readable as safetensors ({error}); copy the file again") from error


def write_tensors(file: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write tensors as safetensors.

    Args:
        metadata: texts of the file by name.

    Raises:
        ImportError: safetensors is not installed.
    """
    try:
        from safetensors.torch import save_file
    except ImportError as error:
        raise ImportError(f"writing {file.name} needs safetensors; `pip install safetensors`") from error
    apart = {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}  # it refuses shared memory
    save_file(apart, file, metadata=metadata)


def write_settings(file: Path, settings: dict[str, Any]) -> None:
    """Settings as JSON, to be read by people too."""
    file.write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
