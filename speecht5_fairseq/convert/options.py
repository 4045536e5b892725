"""The options in a checkpoint, whether this code wrote them or the published one: of model, task and criterion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING as NO_DEFAULT
from dataclasses import Field, fields, replace
from enum import Enum
from pathlib import Path
from typing import Any

from fairseq.criterions import CRITERION_DATACLASS_REGISTRY
from fairseq.dataclass.configs import FairseqConfig
from fairseq.tasks import TASK_DATACLASS_REGISTRY

from ..models import SpeechT5Config, SpeechT5LargeConfig
from ..models.errors import CheckpointError
from ..models.facts import checked_preset
from ..models.jobs import JOBS, PREFIX, PRETRAIN
from ..models.kinds import wrong_kinds
from ..models.options import unread_options
from ..models.released_options import config_from_released
from ..models.released_presets import released_preset

# Options of the tasks that name files, folders and accounts of one place: they do not travel.
PLACES = {
    "data", "label_dir", "audio_root", "save_dir", "path", "restore_file", "finetune_from_model", "results_path",
    "checkpoint_path", "text_data", "spm_model", "vocoder", "tensorboard_logdir", "wandb_project",
}  # fmt: skip


def task_name(job: str) -> str:
    """The registered task of a job."""
    return PREFIX + (PRETRAIN if job.startswith(PRETRAIN) else job)


def criterion_name(job: str) -> str:
    """The registered criterion of a job."""
    return f"{PREFIX}speech" if job in ("t2s", "s2s") else task_name(job)


def task_options(task: Mapping[str, Any], job: str) -> dict[str, Any]:
    """Of a task's options those that the task of the job has here, without places.

    The published code keeps the whole command line there; what has one name on both sides means the same.
    """
    known = {field.name for field in fields(TASK_DATACLASS_REGISTRY[task_name(job)])} - PLACES - {"_name"}
    return {name: plain(value) for name, value in task.items() if name in known}


def criterion_options(criterion: Mapping[str, Any], job: str) -> dict[str, Any] | None:
    """Of a criterion's options those that the criterion of the job has here; None without any."""
    known = {field.name for field in fields(CRITERION_DATACLASS_REGISTRY[criterion_name(job)])} - {"_name"}
    return {name: plain(value) for name, value in criterion.items() if name in known} or None


def read_config(options: Mapping[str, Any], path: Path, job: str, nets: set[str]) -> SpeechT5Config:
    """Our options of the model; those that an older version did not have are at their defaults.

    Args:
        nets: that the checkpoint has; of options of the published code, those of others are not taken.

    Raises:
        CheckpointError: there are none, of another model, of a newer version, or with values of the wrong kind.
        ValueError: options of the published code with a value that this code does not build.
    """
    if released_preset(options) is not None:
        return _checked(_of_released(options, job, nets), path)
    kind, name = checked_preset(options, path), str(options.get("_name") or options.get("arch"))
    made = kind(**{name: value for name, value in options.items() if name != "arch"} | {"_name": name})
    return _checked(made, path)


def _checked(config: SpeechT5Config, path: Path) -> SpeechT5Config:
    wrong = [*wrong_kinds(vars(config), {field.name: field.default for field in fields(SpeechT5Config)})]
    if wrong:
        raise CheckpointError(f"{path}: options of the model: {'; '.join(wrong)}; give one that fairseq-train wrote")
    return config


def _of_released(options: Mapping[str, Any], job: str, nets: set[str]) -> SpeechT5Config:
    """The options of the published code as one of our own presets."""
    config = config_from_released(options)
    kind, name = (SpeechT5LargeConfig, "speecht5_large") if config.pre_norm else (SpeechT5Config, "speecht5")
    made = kind(**{field.name: getattr(config, field.name) for field in fields(kind)} | {"_name": name})
    made = without_unread(replace(made, no_ctc_head=job == "s2t" and "ctc_head" not in nets), nets, kind)
    return made if "quantizer" in JOBS[job].heads else replace(made, codebook_prob=SpeechT5Config.codebook_prob)


def without_unread(config: SpeechT5Config, nets: set[str], preset: type[SpeechT5Config]) -> SpeechT5Config:
    """The options, those that only nets outside ``nets`` read at the defaults of ``preset``."""
    unread = unread_options(nets)
    return replace(config, **{field.name: field.default for field in fields(preset) if field.name in unread})


def filled(kind: type, given: Mapping[str, Any]) -> dict[str, Any]:
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
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, (list, tuple)) else value
