"""What a checkpoint file has to be made of, so that whoever reads a part of it finds what it takes that part for."""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from .errors import CheckpointError, shortened
from .kinds import wrong_kinds
from .partial import DIGEST
from .plain_values import is_plain, unplain
from .vocabulary import CLASSES, SYMBOLS

SECTIONS = ("model", "task", "criterion", "checkpoint")  # of the options that are read
# Kinds of what is read, by the place where it stands; None and what is not there tell nothing.
_STATE = {"cfg": {}, "task_state": {}, "extra_state": {}, "optimizer_history": [{}]}
_OPTIONS = dict.fromkeys(("_name", "arch", "t5_task", "spm_model", "bpe_tokenizer"), "")
_TASK_STATE = {"sentencepiece": {}, "units": [""], "unit_source": {}, "signal": {}}
_UNIT_SOURCE = {"model": "", "features": ""}
_PIECES = {"file": "", "model": torch.empty(0)}
_EXTRA_STATE = {"averaged": [""], "best": 0.0, "train_iterator": {}}
_NUMBERS = {"num_updates": 0, "epoch": 0}
_TEXTS = (SYMBOLS, CLASSES, DIGEST)  # tensors that hold the code points of texts
_SHOWN = 80  # letters of a tensor's name in a message
_SCALE = re.compile(r".*\.(alpha|num_batches_tracked)")


def check_layout(state: Mapping[str, Any], path: str) -> None:
    """Check the kinds of all that is read of a checkpoint besides its options' values.

    Args:
        state: what the file holds; ``model`` is a dict.

    Raises:
        CheckpointError: something is of another kind; it is named.
    """
    wrong = unplain({name: part for name, part in state.items() if name != "model"})
    problems = [wrong] if wrong else [*_wrong_tensors(state["model"]), *_wrong_parts(state)]
    if problems:
        raise CheckpointError(
            f"{path}: {'; '.join(problems)}: not as a checkpoint has it; give one that fairseq-train wrote with this "
            "user dir"
        )


def _wrong_tensors(model: Mapping[Any, Any]) -> Iterator[str]:
    named = {name: part for name, part in model.items() if isinstance(name, str)}
    others = [name[:_SHOWN] for name, part in named.items() if not isinstance(part, Tensor)]
    others += [f"a name that is a {type(name).__name__}" for name in model if name not in named]
    if others:
        yield f"in model no tensors: {shortened(others)}"
    tensors = {name: part for name, part in named.items() if isinstance(part, Tensor)}
    strange = [name[:_SHOWN] for name, tensor in tensors.items() if not is_plain(tensor)]
    if strange:
        yield f"in model tensors that are not laid out one value after another: {shortened(strange)}"
        return
    single = [name[:_SHOWN] for name, tensor in tensors.items() if _is_single(name, tensor)]
    if single:
        yield f"in model single numbers: {shortened(single)}"
    for name in _TEXTS:
        codes = model.get(name)
        if isinstance(codes, Tensor) and (codes.dim() != 1 or codes.dtype != torch.int32 or _no_letters(codes)):
            yield f"{name} holds no letters"


def _is_single(name: str, tensor: Tensor) -> bool:
    """Whether it is a single number, other than the scale of the positions and BatchNorm's count of batches."""
    return tensor.dim() == 0 and not _SCALE.fullmatch(name)


def _no_letters(codes: Tensor) -> bool:
    return bool(((codes < 0) | (codes > 0x10FFFF)).any())


def _wrong_parts(state: Mapping[str, Any]) -> Iterator[str]:
    parts = _told(state, _STATE)
    yield from wrong_kinds(parts, _STATE)
    cfg, task, extra = (_dict(parts.get(name)) for name in ("cfg", "task_state", "extra_state"))
    options = {name: vars(part) if isinstance(part, Namespace) else part for name, part in _told(cfg, SECTIONS).items()}
    yield from wrong_kinds(options, {name: {} for name in SECTIONS})
    for name in ("model", "task"):
        yield from wrong_kinds(_told(_dict(options.get(name)), _OPTIONS), _OPTIONS)
    yield from wrong_kinds(_told(task, _TASK_STATE), _TASK_STATE)
    yield from wrong_kinds(_told(_dict(task.get("unit_source")), _UNIT_SOURCE), _UNIT_SOURCE)
    yield from wrong_kinds(_told(extra, _EXTRA_STATE), _EXTRA_STATE)
    yield from wrong_kinds(_told(_dict(extra.get("train_iterator")), _NUMBERS), _NUMBERS)
    history = parts.get("optimizer_history")
    for entry in history if isinstance(history, list) else ():
        yield from wrong_kinds(_told(_dict(entry), _NUMBERS), _NUMBERS)
    if isinstance(task.get("sentencepiece"), dict):
        yield from _wrong_pieces(task["sentencepiece"])


def _wrong_pieces(pieces: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"sentencepiece has no {name}" for name in _PIECES if name not in pieces)
    yield from wrong_kinds(pieces, _PIECES)
    model = pieces.get("model")
    if isinstance(model, Tensor) and model.dtype != torch.uint8:
        yield "the model of sentencepiece is no tensor of bytes"


def _told(found: Mapping[str, Any], names: Any) -> dict[str, Any]:
    return {name: found[name] for name in names if found.get(name) is not None}


def _dict(found: Any) -> dict[str, Any]:
    return found if isinstance(found, dict) else {}
