"""No option of a checkpoint is run: those that Python would call something for, and models that are not ours.

Some of fairseq's own models hand options, which they take of the checkpoint, to Python's `eval` (the layers of a
convolutional language model, the cutoffs of an adaptive softmax): a file without pickled code may still run some.
"""

from __future__ import annotations

import ast
from argparse import Namespace
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fairseq.models import ARCH_MODEL_REGISTRY, MODEL_REGISTRY

from .checkpoint import read_file
from .errors import CheckpointError
from .facts import PRESETS, checked_preset
from .plain_values import unplain
from .speecht5 import SpeechT5Model

OUR_TASKS = "speecht5"  # how the names of all our tasks begin, and of none of fairseq's
PLACES = ("data", "path", "save_dir", "finetune_from_model", "restore_file")  # files and folders, which none evaluates


def check_model(options: Any) -> None:
    """Check that a model which fairseq is about to build is one of ours.

    Args:
        options: of the model, of the command line or of a checkpoint, whose newer options fairseq would leave out.

    Raises:
        CheckpointError: another model's, or one of a newer version.
    """
    name = getattr(options, "_name", None) or getattr(options, "arch", None)
    kind = ARCH_MODEL_REGISTRY.get(name) or MODEL_REGISTRY.get(name)
    if kind is None or not issubclass(kind, SpeechT5Model):
        raise CheckpointError(
            f"the model {name!r} (--arch, or cfg.model of the checkpoint) is not SpeechT5: this task builds speecht5, "
            "speecht5_small, speecht5_large and the published t5_transformer_* alone"
        )
    if isinstance(options, Mapping) and name in PRESETS:
        checked_preset(options, "the checkpoint")


def check_task(state: Mapping[str, Any], path: str | Path) -> None:
    """Check that the task which a checkpoint names, and fairseq is about to set up, is one of ours.

    Raises:
        CheckpointError: another's.
    """
    found = (state.get("cfg") or {}).get("task") or state.get("args") or {}
    options = found if isinstance(found, Mapping) else vars(found)
    names = [str(options[key]) for key in ("task", "_name") if options.get(key)]  # fairseq's rule: the first, if there
    if not names or not all(name.startswith(OUR_TASKS) for name in names):
        raise CheckpointError(
            f"{path}: its task is {' or '.join(names) or 'not told'}, not one of SpeechT5 (cfg.task); give one "
            "that fairseq-train wrote with this user dir"
        )


def check_language_model(path: str | Path) -> None:
    """Check the options of a language model's checkpoint before fairseq builds it.

    Raises:
        CheckpointError: it cannot be read, wants to run something, or see ``check_no_calls``.
    """
    state = read_file(path)
    check_no_calls(state if isinstance(state, dict) else {}, path)


def check_no_calls(state: Mapping[str, Any], path: str | Path) -> None:
    """Check that no option of model and task in a checkpoint would call something if it were evaluated.

    Raises:
        CheckpointError: one would; names it. Or the options are no values by name, or too many or too deep to read.
    """
    cfg = state.get("cfg") or {}
    wrong = unplain(cfg) or unplain(state.get("args")) if isinstance(cfg, Mapping) else "no values by name"
    if wrong:
        raise CheckpointError(f"{path}: its options are {wrong}; give one that fairseq-train wrote")
    for section in (cfg.get("model"), cfg.get("task"), state.get("args")):
        for name, value in _texts(section):
            if name not in PLACES and _calls(value):
                raise CheckpointError(
                    f"{path}: refused, and nothing in it was run: its option {name} is {value[:80]!r}, which fairseq "
                    "might evaluate; a checkpoint holds plain values: give one that fairseq-train wrote"
                )


def _texts(options: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Every string among options, with the name of its option."""
    if isinstance(options, str):
        yield name, options
    elif isinstance(options, (Mapping, Namespace)):
        for key, value in (vars(options) if isinstance(options, Namespace) else options).items():
            yield from _texts(value, str(key))
    elif isinstance(options, (list, tuple)):
        for value in options:
            yield from _texts(value, name)


def _calls(text: str) -> bool:
    """Whether evaluating a text would call something."""
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # which eval refuses as well
        return False
    return any(isinstance(node, ast.Call) for node in ast.walk(tree))
