"""A checkpoint before it is loaded: its file, the options it was trained with, and what is asked of it at a start."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any, NamedTuple

import torch

from .errors import CheckpointError
from .released_format import from_released, is_released
from .released_options import config_from_released, released_preset


class DictionaryFiles(NamedTuple):
    """Where the dictionaries of a model stand: what a message about a checkpoint that does not fit points at."""

    text: str | Path = "dict.txt"
    units: str | Path = "dict.km.txt"
    classes: str | Path = "dict.txt"


UNNAMED_FILES = DictionaryFiles()
# How torch says that a pickle names a class or function that is not on its list.
_WANTED = re.compile(r"[Uu]nsupported (?:global: )?GLOBAL (\S+)")
_ZIP = b"PK\x03\x04"  # how the files begin that torch has written since 1.6; older ones cannot stay on disk


class Start(NamedTuple):
    """What is asked of the checkpoint of ``--finetune-from-model``; a resumed run and decoding ask for nothing.

    Attributes:
        nets: the parts to take, ``--finetune-nets``; empty for all that the model has.
        new_vocabulary: take the rows of the symbols that stay, ``--new-vocabulary``.
        prediction: ``--speech-prediction`` of the run that wrote the checkpoint.
    """

    nets: str = ""
    new_vocabulary: bool = False
    prediction: str = "mel"


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """A checkpoint file, ours or the published code's, whose tensors stay on disk until they are looked at.

    Raises:
        CheckpointError: it cannot be read, or holds no model.
    """
    state = read_state(path)
    if is_released(state["model"]):
        state["model"] = from_released(state["model"]).tensors
    return state


def read_state(path: str | Path) -> dict[str, Any]:
    """A checkpoint file as it stands, with the tensor names of the code that wrote it.

    Raises:
        CheckpointError: see ``read_checkpoint``.
    """
    state = read_tensors(path)
    if not isinstance(state, dict) or not isinstance(state.get("model"), dict):
        raise CheckpointError(f"{path}: holds no model; give a checkpoint that fairseq-train wrote with this user dir")
    return state


def read_tensors(path: str | Path) -> Any:
    """What torch saved in a file of tensors and plain values; nothing in it is run.

    Raises:
        CheckpointError: it cannot be read, or would run code.
    """
    try:
        with open(path, "rb") as file:
            mapped = file.read(len(_ZIP)) == _ZIP
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except OSError:
        raise
    except Exception as error:  # of a file that is none of torch's, unpickling raises whatever it stumbles over
        wanted = _WANTED.search(str(error))
        if wanted:
            raise CheckpointError(
                f"{path}: wants to run {wanted[1]}, which loading tensors does not need, so it is not loaded; give a "
                "checkpoint of tensors and plain values"
            ) from error
        told = isinstance(error, (RuntimeError, pickle.UnpicklingError)) and str(error)
        reason = told.splitlines()[0] if told else type(error).__name__
        raise CheckpointError(f"{path}: no readable checkpoint ({reason}); copy it again, or give another") from error


def trained_prediction(state: dict[str, Any]) -> str:
    """``--speech-prediction`` of the run that wrote a checkpoint; "mel" where that is not told."""
    options = model_options(state)
    if released_preset(options) is not None:
        return str(config_from_released(options).speech_prediction)
    return str(options.get("speech_prediction", "mel"))


def model_options(state: dict[str, Any]) -> dict[str, Any]:
    """The model's options in a checkpoint, the checkpoint's own and not a copy; none where it does not tell."""
    options = (state.get("cfg") or {}).get("model") or {}
    return options if isinstance(options, dict) else vars(options)
