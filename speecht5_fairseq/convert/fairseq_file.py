"""Checkpoints of this code: read on the way out, and written, with dict.txt and the sentencepiece model beside them."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import MISSING as NO_DEFAULT
from dataclasses import Field, asdict, fields
from enum import Enum
from pathlib import Path
from typing import Any

import torch
from fairseq.criterions import CRITERION_DATACLASS_REGISTRY
from fairseq.dataclass.configs import FairseqConfig
from fairseq.models import MODEL_DATACLASS_REGISTRY
from fairseq.tasks import TASK_DATACLASS_REGISTRY

from ..constants import CTC_BLANK_SYMBOL, MASK_SYMBOL
from ..data.atomic import replacing
from ..models import SpeechT5Config
from ..models.checkpoint import model_options
from ..models.errors import CheckpointError
from ..models.jobs import JOBS
from ..models.parts import nets_of
from .portable import Portable, check_whole, find_job, job_of, section
from .sentencepiece_model import special_pieces

DICTIONARY, SENTENCEPIECE = "dict.txt", "spm.model"
# Options of the tasks that name files and folders of one machine: they do not travel.
PLACES = (
    "data", "label_dir", "audio_root", "save_dir", "path", "restore_file", "finetune_from_model", "results_path",
    "checkpoint_path", "text_data", "spm_model", "vocoder",
)  # fmt: skip
_HISTORY = ("criterion_name", "optimizer_name", "lr_scheduler_state", "num_updates")
_PREFIX = "speecht5_"


def from_fairseq(state: dict[str, Any], path: Path, job: str | None) -> Portable:
    """The model of a checkpoint of this code.

    Raises:
        CheckpointError: another model's, without its options, or not whole.
    """
    task, criterion = section(state, "task"), section(state, "criterion")
    found = find_job(job, _told_job(task), state["model"], path)
    home = _told_job(task) or job_of(nets_of(state["model"])) or found
    told = task.get("_name") == task_name(home)
    model = Portable(
        path=path,
        tensors=dict(state["model"]),
        config=read_config(model_options(state), path),
        job=found,
        home=home,
        task=without_places(task) if told else {},
        criterion=criterion if told and criterion else None,
        history=read_history(state),
        sentencepiece=_existing(task.get("spm_model")),
    )
    check_whole(model)
    return model


def read_history(state: dict[str, Any]) -> list[dict[str, Any]]:
    """What a checkpoint tells of its trainings, without the states of their optimizers."""
    entries = state.get("optimizer_history") or []
    return [{name: plain(entry[name]) for name in _HISTORY if name in entry} for entry in entries]


def without_places(task: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in task.items() if name not in PLACES}


def task_name(job: str) -> str:
    """The registered task of a job."""
    return _PREFIX + ("pretrain" if job == "pretrain_speech" else job)


def _told_job(task: dict[str, Any]) -> str | None:
    """The job of our task; which of the two of pre-training, its nets tell."""
    jobs = [job for job in JOBS if task.get("_name") == task_name(job)]
    return jobs[0] if len(jobs) == 1 else None


def _existing(file: Any) -> bytes | None:
    return Path(file).read_bytes() if file and Path(file).is_file() else None


def read_config(options: dict[str, Any], path: Path) -> SpeechT5Config:
    """Our options of the model; those that an older version did not have are at their defaults.

    Raises:
        CheckpointError: there are none, of another model, or of a newer version.
    """
    name = options.get("_name") or options.get("arch")
    kind = MODEL_DATACLASS_REGISTRY.get(str(name))
    if kind is None or not issubclass(kind, SpeechT5Config):
        raise CheckpointError(
            f"{path}: its options are those of the model {name!r}, not of SpeechT5 (cfg.model); give a checkpoint that "
            "fairseq-train wrote with this user dir"
        )
    unknown = sorted(set(options) - {field.name for field in fields(kind)} - {"arch"})
    if unknown:
        raise CheckpointError(
            f"{path}: options that this version does not know: {', '.join(unknown)}; take a newer one"
        )
    return kind(**{name: value for name, value in options.items() if name != "arch"} | {"_name": str(name)})


def write_fairseq(model: Portable, out: Path) -> None:
    """Write ``out``, and beside it dict.txt and spm.model where the job has them; each is complete or not there."""
    write_companions(model, out.parent)
    state = {
        "args": None,
        "cfg": complete_options(model, out.parent),
        "model": model.tensors,
        "criterion": None,
        "optimizer_history": model.history or new_history(model),
        "task_state": {},
        "extra_state": {},
        "last_optimizer_state": None,
    }
    with replacing(out) as partial:
        torch.save(state, partial)


def new_history(model: Portable) -> list[dict[str, Any]]:
    """What fairseq's loader asks for of a model whose training it does not know."""
    name = CRITERION_DATACLASS_REGISTRY[_criterion_name(model.job)].__name__.removesuffix("Config")
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


def _criterion_name(job: str) -> str:
    return f"{_PREFIX}speech" if job in ("t2s", "s2s") else task_name(job)


def complete_options(model: Portable, folder: Path) -> dict[str, dict[str, Any]]:
    """``cfg`` of a checkpoint: model, task and criterion, what is not told at its default; data are in ``folder``."""
    task, criterion = task_name(model.job), _criterion_name(model.job)
    places = {"_name": task, "data": str(folder)}
    if SENTENCEPIECE in companions(model):
        places["spm_model"] = str(folder / SENTENCEPIECE)
    losses = model.criterion or {}
    if model.job == "s2t" and not losses and model.config.no_ctc_head:
        losses = {"ce_weight": 1.0, "ctc_weight": 0.0}
    return {
        "model": {name: plain(value) for name, value in asdict(model.config).items()},
        "task": _filled(TASK_DATACLASS_REGISTRY[task], {**model.task, **places}),
        "criterion": _filled(CRITERION_DATACLASS_REGISTRY[criterion], {**losses, "_name": criterion}),
    }


def _filled(kind: type, given: dict[str, Any]) -> dict[str, Any]:
    """The options of a dataclass, ``given`` or at their defaults; one borrowed from another group has its default."""
    return {field.name: plain(given.get(field.name, _default(field))) for field in fields(kind)}


def _default(field: Field) -> Any:
    value = field.default_factory() if field.default is NO_DEFAULT else field.default
    if isinstance(value, str) and value.startswith("${"):
        group, _, name = value[2:-1].partition(".")
        return getattr(getattr(FairseqConfig(), group), name)
    return value


def plain(value: Any) -> Any:
    """As a checkpoint may hold it, which torch loads with ``weights_only``."""
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, Namespace):
        return plain(vars(value))
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, (list, tuple)) else value
