"""A checkpoint before it is loaded: its file, and what is said of one that does not fit."""

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


UNNAMED_FILES = DictionaryFiles()


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


def listed(names: Iterable[str]) -> str:
    """The first names in alphabetical order, and how many more there are."""
    ordered = sorted(names)
    more = f" and {len(ordered) - _LISTED} more" if len(ordered) > _LISTED else ""
    return ", ".join(ordered[:_LISTED]) + more
