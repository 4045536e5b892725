"""A checkpoint before it is loaded: its file, the options it was trained with, and what is asked of it at a start."""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import torch

_LISTED = 8  # names shown in a message before "and N more"


class CheckpointError(ValueError):
    """A checkpoint that does not fit the model."""


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
    """A checkpoint file whose tensors stay on disk until they are looked at.

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
    return state


def trained_prediction(state: dict[str, Any]) -> str:
    """``--speech-prediction`` of the run that wrote a checkpoint; "mel" where that is not told."""
    return str(model_options(state).get("speech_prediction", "mel"))


def model_options(state: dict[str, Any]) -> dict[str, Any]:
    """The model's options in a checkpoint, the checkpoint's own and not a copy; none where it does not tell."""
    options = (state.get("cfg") or {}).get("model") or {}
    return options if isinstance(options, dict) else vars(options)


def listed(names: Iterable[str]) -> str:
    """The first names in alphabetical order, and how many more there are."""
    return shortened(sorted(names))


def shortened(names: list[str]) -> str:
    """The first names in their own order, and how many more there are."""
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more
