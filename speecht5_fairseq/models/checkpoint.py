"""A checkpoint before it is loaded: its file, the options it was trained with, and what is asked of it at a start."""

from __future__ import annotations

import errno
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ..data.paths import FOLDER, irregular
from .errors import CheckpointError, listed
from .partial import DIGEST
from .parts import nets_of
from .released_format import from_released, is_released
from .released_presets import released_preset
from .signal_values import check_signal
from .state_layout import check_layout

OUR_MARK = "encoder.relative_positions.vectors.weight"  # in every model of ours, and in no other of fairseq's
ZIP = b"PK\x03\x04"  # how files of torch.save begin; older ones are bare pickles


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
        new_nets: nets that start from initial values, ``--new-nets``, besides those that no pre-training has.
        prediction: ``--speech-prediction`` of the run that wrote the checkpoint.
    """

    nets: str = ""
    new_vocabulary: bool = False
    new_nets: str = ""
    prediction: str = "mel"


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """A checkpoint file, ours or the published code's, whose tensors stay on disk until they are looked at.

    Nothing in a file is run: it may hold numbers, texts, lists, dicts and tensors.

    Raises:
        CheckpointError: it cannot be read, wants to run something, holds no model, or one of another signal; a file of
            the published code lacks tensors or has others.
    """
    state = read_state(path)
    if is_released(state["model"]):
        state["model"] = from_released(state["model"], str(path)).tensors
    return state


def read_state(path: str | Path) -> dict[str, Any]:
    """As ``read_checkpoint``, with the tensor names of the code that wrote it.

    Raises:
        CheckpointError: see there, or it is not laid out as a checkpoint.
    """
    state = read_file(path)
    if not isinstance(state, dict) or not isinstance(state.get("model"), dict):
        raise CheckpointError(f"{path}: holds no model; give a checkpoint that fairseq-train wrote with this user dir")
    check_layout(state, str(path))
    check_signal(state.get("task_state"), str(path))
    return state


def read_file(path: str | Path) -> Any:
    """What torch saved in a file, whatever that is; nothing in it is run.

    Raises:
        CheckpointError: it cannot be read, or wants to run something.
    """
    try:
        return _load(path)
    except OSError as error:
        raise CheckpointError(f"{path}: {_not_a_file(error)}") from error
    except Exception as error:  # whatever a file that is none makes the reader of pickles trip over
        raise CheckpointError(f"{path}: {_refusal(Path(path), str(error) or type(error).__name__)}") from error


def _load(path: str | Path) -> Any:
    kind = irregular(path)
    if kind not in (None, FOLDER):
        raise OSError(errno.EINVAL, f"{kind}, not a file")
    with open(path, "rb") as file:
        zipped = file.read(len(ZIP)) == ZIP
    return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)


def _not_a_file(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such checkpoint; correct the path"
    if isinstance(error, IsADirectoryError):
        return "a folder, not a checkpoint; name a file in it, checkpoint_best.pt say"
    return f"cannot be read ({error.strerror}); give a file that can"


def _refusal(path: Path, reason: str) -> str:
    wanted = re.search(r"GLOBAL (\S+)", reason)
    if wanted:
        return (
            f"refused, and nothing in it was run: it asks for {wanted[1]} when it is loaded, and a checkpoint holds "
            "numbers, texts, lists, dicts and tensors alone; give one that fairseq-train wrote with this user dir"
        )
    with path.open("rb") as file:
        zipped = file.read(len(ZIP)) == ZIP
    if zipped and not zipfile.is_zipfile(path):
        reason = f"cut off after {path.stat().st_size:,} bytes"
    elif reason.startswith("Weights only load failed"):  # torch goes on with the advice to load it without care
        reason = "nothing that torch.save writes of numbers, texts, lists, dicts and tensors"
    return f"no readable checkpoint ({reason.splitlines()[0]}); copy it again, or give another"


def check_ours(tensors: dict[str, Any], name: str) -> None:
    """Check that these are the tensors of one of our models, or of additions to one.

    Args:
        name: says which checkpoint, in errors.

    Raises:
        CheckpointError: they are those of something else.
    """
    if OUR_MARK not in tensors and DIGEST not in tensors:
        raise CheckpointError(
            f"{name}: it is not a speecht5_fairseq model; its nets are {listed(nets_of(tensors))}. Give a checkpoint "
            "that fairseq-train wrote with this user dir"
        )


def trained_prediction(state: dict[str, Any]) -> str:
    """``--speech-prediction`` of the run that wrote a checkpoint; "mel" where that is not told.

    Of the published code's masks and residuals, which this code does not build, their name there.
    """
    options = model_options(state)
    if released_preset(options) is not None:
        theirs = options.get("se_predict")
        return "mel" if theirs in (None, "target") else f"{theirs} (--se-predict)"
    return str(options.get("speech_prediction", "mel"))


def section(state: Mapping[str, Any], name: str) -> dict[str, Any]:
    """One part of a checkpoint's options, the checkpoint's own and not a copy; empty where it does not tell."""
    options = (state.get("cfg") or {}).get(name) or {}
    return options if isinstance(options, dict) else vars(options)


def model_options(state: Mapping[str, Any]) -> dict[str, Any]:
    """As ``section``, the model's."""
    return section(state, "model")


def updates_of(state: dict[str, Any]) -> int:
    """Updates that a checkpoint was trained for; 0 where it does not say."""
    history = state.get("optimizer_history") or [{}]
    return int(history[-1].get("num_updates", 0))
