"""Checkpoints of this code: read on the way out, and written, with dict.txt and the sentencepiece model beside them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from fairseq.criterions import CRITERION_DATACLASS_REGISTRY
from fairseq.tasks import TASK_DATACLASS_REGISTRY

from ..constants import CTC_BLANK_SYMBOL, MASK_SYMBOL
from ..data.atomic import replacing
from ..data.piece_model import PieceModel
from ..models.checkpoint import model_options
from ..models.contents import contents_of, saved_contents
from ..models.parts import nets_of
from .options import (
    criterion_name,
    criterion_options,
    filled,
    plain,
    read_config,
    section,
    task_name,
    task_options,
    told_job,
)
from .portable import Portable, check_whole, find_job, job_of
from .sentencepiece_model import special_pieces

DICTIONARY, SENTENCEPIECE = "dict.txt", "spm.model"
_HISTORY = ("criterion_name", "optimizer_name", "lr_scheduler_state", "num_updates")


def from_fairseq(state: dict[str, Any], path: Path, job: str | None) -> Portable:
    """The model of a checkpoint of this code.

    Raises:
        CheckpointError: another model's, without its options, or not whole.
    """
    task, nets = section(state, "task"), nets_of(state["model"])
    found = find_job(job, told_job(task), state["model"], path)
    contents = contents_of(state, path)
    inside = None if contents.pieces is None else contents.pieces.content
    home = told_job(task) or job_of(nets) or found
    model = Portable(
        path=path,
        tensors=dict(state["model"]),
        config=read_config(model_options(state), path, home, nets),
        job=found,
        home=home,
        task=task_options(task, home),
        criterion=criterion_options(section(state, "criterion"), home),
        history=read_history(state),
        sentencepiece=inside or _existing(task.get("spm_model") or task.get("bpe_tokenizer")),
        units=contents.units,
    )
    check_whole(model)
    return model


def read_history(state: dict[str, Any]) -> list[dict[str, Any]]:
    """What a checkpoint tells of its trainings, without the states of their optimizers."""
    entries = state.get("optimizer_history") or []
    return [{name: plain(entry[name]) for name in _HISTORY if name in entry} for entry in entries]


def _existing(file: Any) -> bytes | None:
    return Path(file).read_bytes() if file and Path(file).is_file() else None


def write_fairseq(model: Portable, out: Path) -> None:
    """Write ``out``, and beside it dict.txt and spm.model where the job has them; each is complete or not there."""
    write_companions(model, out.parent)
    pieces = companions(model).get(SENTENCEPIECE)
    inside = None if pieces is None else PieceModel(out.parent / SENTENCEPIECE, pieces)
    state = {
        "args": None,
        "cfg": complete_options(model, out.parent),
        "model": model.tensors,
        "criterion": None,
        "optimizer_history": model.history or new_history(model),
        "task_state": saved_contents(pieces=inside, units=model.units),
        "extra_state": {},
        "last_optimizer_state": None,
    }
    with replacing(out) as partial:
        torch.save(state, partial)


def new_history(model: Portable) -> list[dict[str, Any]]:
    """What fairseq's loader asks for of a model whose training it does not know."""
    name = CRITERION_DATACLASS_REGISTRY[criterion_name(model.job)].__name__.removesuffix("Config")
    return [{"criterion_name": name, "optimizer_name": "none", "lr_scheduler_state": {}, "num_updates": 0}]


def companions(model: Portable) -> dict[str, bytes]:
    """What stands beside a checkpoint file, by file name."""
    files = {}
    symbols = model.classes or own_symbols(model.symbols)
    if symbols:
        files[DICTIONARY] = "".join(f"{symbol} 1\n" for symbol in symbols).encode()
    if model.sentencepiece is not None and model.reads_or_writes_text:
        files[SENTENCEPIECE] = model.sentencepiece
    return files


def own_symbols(symbols: list[str]) -> list[str]:
    """A dictionary's symbols without those that loading adds: the special ones before them and the two behind."""
    before, after = len(special_pieces()), (MASK_SYMBOL, CTC_BLANK_SYMBOL)
    return [symbol for symbol in symbols[before:] if symbol not in after]


def write_companions(model: Portable, folder: Path) -> None:
    for name, content in companions(model).items():
        with replacing(folder / name) as partial:
            partial.write_bytes(content)


def complete_options(model: Portable, folder: Path) -> dict[str, dict[str, Any]]:
    """``cfg`` of a checkpoint: model, task and criterion, what is not told at its default; data are in ``folder``."""
    task, criterion = task_name(model.job), criterion_name(model.job)
    places = {"_name": task, "data": str(folder)}
    if SENTENCEPIECE in companions(model):
        places["spm_model"] = str(folder / SENTENCEPIECE)
    losses = model.criterion or {}
    if model.job == "s2t" and not losses and model.config.no_ctc_head:
        losses = {"ce_weight": 1.0, "ctc_weight": 0.0}
    return {
        "model": {name: plain(value) for name, value in asdict(model.config).items()},
        "task": filled(TASK_DATACLASS_REGISTRY[task], {**model.task, **places}),
        "criterion": filled(CRITERION_DATACLASS_REGISTRY[criterion], {**losses, "_name": criterion}),
    }
