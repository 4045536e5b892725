"""A checkpoint before it is loaded: its file, the options it was trained with, and what is asked of it at a start."""

from __future__ import annotations

import pickle
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
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path}: no readable checkpoint ({reason}); copy it again, or give another") from error
    if not isinstance(state, dict) or not isinstance(state.get("model"), dict):
        raise CheckpointError(f"{path}: holds no model; give a checkpoint that fairseq-train wrote with this user dir")
    if is_released(state["model"]):
        state["model"] = from_released(state["model"]).tensors
    return state


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
