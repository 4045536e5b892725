"""Checkpoints of this code: read on the way out, and written, with dict.txt and the sentencepiece model beside them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from fairseq.criterions import CRITERION_DATACLASS_REGISTRY
from fairseq.tasks import TASK_DATACLASS_REGISTRY

from ..data.atomic import replacing
from ..data.piece_model import PieceModel
from ..models.checkpoint import model_options, section
from ..models.contents import Contents, contents_of, cuts_text, files_of, saved_contents
from ..models.jobs import job_of_nets, told_job
from ..models.parts import nets_of
from .options import (
    criterion_name,
    criterion_options,
    filled,
    plain,
    read_config,
    task_name,
    task_options,
)
from .portable import Portable, check_whole, find_job

DICTIONARY, SENTENCEPIECE = "dict.txt", "spm.model"
_HISTORY = ("criterion_name", "optimizer_name", "lr_scheduler_state", "num_updates")


def from_fairseq(state: dict[str, Any], path: Path, job: str | None) -> Portable:
    """The model of a checkpoint of this code.

    Raises:
        CheckpointError: another model's, without its options, or not whole.
    """
    task, nets = section(state, "task"), nets_of(state["model"])
    contents = contents_of(state, path)
    found = find_job(job, told_job(task), state["model"], path)
    home = told_job(task) or job_of_nets(nets) or found
    model = Portable(
        path=path,
        tensors=dict(state["model"]),
        config=read_config(model_options(state), path, home, nets),
        job=found,
        home=home,
        task=task_options(task, home),
        criterion=criterion_options(section(state, "criterion"), home),
        history=read_history(state),
        sentencepiece=read_sentencepiece(contents, task),
        cuts_text=cuts_text(contents, task, published=False),
        units=tuple(contents.units),
        unit_source=contents.unit_source,
    )
    check_whole(model)
    return model


def read_history(state: dict[str, Any]) -> list[dict[str, Any]]:
    """What a checkpoint tells of its trainings, without the states of their optimizers."""
    entries = state.get("optimizer_history") or []
    return [{name: plain(entry[name]) for name in _HISTORY if name in entry} for entry in entries]


def read_sentencepiece(contents: Contents, task: dict[str, Any]) -> bytes | None:
    """The sentencepiece model in a checkpoint, or in the file that its task names, where that still is; else None."""
    if contents.pieces is not None:
        return contents.pieces.content
    file = task.get("spm_model") or task.get("bpe_tokenizer")
    return Path(file).read_bytes() if file and Path(file).is_file() else None


def write_fairseq(model: Portable, out: Path) -> None:
    """Write ``out``, and beside it dict.txt and spm.model where the job has them; each is complete or not there."""
    write_companions(model, out.parent)
    state = {
        "args": None,
        "cfg": complete_options(model, out.parent),
        "model": model.tensors,
        "criterion": None,
        "optimizer_history": model.history or new_history(model),
        "task_state": task_state(model),
        "extra_state": {},
        "last_optimizer_state": None,
    }
    with replacing(out) as partial:
        torch.save(state, partial)


def new_history(model: Portable) -> list[dict[str, Any]]:
    """What fairseq's loader asks for of a model whose training it does not know."""
    name = CRITERION_DATACLASS_REGISTRY[criterion_name(model.job)].__name__.removesuffix("Config")
    return [{"criterion_name": name, "optimizer_name": "none", "lr_scheduler_state": {}, "num_updates": 0}]


def piece_model(model: Portable) -> PieceModel | None:
    """The sentencepiece model of a job with text, by the name of the file that is written."""
    if model.sentencepiece is None or not model.has_text:
        return None
    return PieceModel(Path(SENTENCEPIECE), model.sentencepiece)


def task_state(model: Portable) -> dict[str, Any]:
    """What a checkpoint holds besides weights and options, see ``models.contents``."""
    return saved_contents(pieces=piece_model(model), units=model.units, unit_source=model.unit_source)


def companions(model: Portable) -> dict[str, bytes]:
    """What stands beside a checkpoint file, by file name: what ``inspect --extract`` would write of it."""
    contents = {"symbols": model.symbols, "classes": model.classes, "units": list(model.units)}
    return files_of(Contents(model.path, **contents, pieces=piece_model(model), piece_file=SENTENCEPIECE, signal={}))


def names_sentencepiece(model: Portable) -> bool:
    """Whether the options name the sentencepiece model: so they tell that texts are cut, even where it is not there."""
    return model.has_text and (model.cuts_text or model.sentencepiece is not None)


def write_companions(model: Portable, folder: Path) -> None:
    for name, content in companions(model).items():
        with replacing(folder / name) as partial:
            partial.write_bytes(content)


def complete_options(model: Portable, folder: Path) -> dict[str, dict[str, Any]]:
    """``cfg`` of a checkpoint: model, task and criterion, what is not told at its default; data are in ``folder``."""
    task, criterion = task_name(model.job), criterion_name(model.job)
    places = {"_name": task, "data": str(folder)}
    if names_sentencepiece(model):
        places["spm_model"] = str(folder / SENTENCEPIECE)
    losses = model.criterion or {}
    if model.job == "s2t" and not losses and model.config.no_ctc_head:
        losses = {"ce_weight": 1.0, "ctc_weight": 0.0}
    return {
        "model": {name: plain(value) for name, value in asdict(model.config).items()},
        "task": filled(TASK_DATACLASS_REGISTRY[task], {**model.task, **places}),
        "criterion": filled(CRITERION_DATACLASS_REGISTRY[criterion], {**losses, "_name": criterion}),
    }
