"""Checkpoints of the published SpeechT5 code, read and written; names and options stand in ``models.released_*``."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch

from ..data.atomic import replacing
from ..models import SpeechT5Config, SpeechT5LargeConfig
from ..models.checkpoint import model_options
from ..models.errors import CheckpointError, listed
from ..models.jobs import JOBS
from ..models.parts import nets_of
from ..models.released_format import from_released, to_released
from ..models.released_options import (
    BASE,
    FINE_TUNING,
    LARGE,
    PRESETS,
    config_from_released,
    released_from_config,
    released_preset,
)
from .fairseq_file import DICTIONARY, new_history, plain, read_history, without_places, write_companions
from .portable import Portable, check_whole, find_job, path_nets, section, with_dictionary, without_unread

# Nets that the published code builds in every job.
ALWAYS = ("decoder", *sorted(path_nets("pretrain")), "ctc_head")
_PRETRAIN = "pretrain"  # one job there, with text or without


def from_released_file(state: dict[str, Any], path: Path, job: str | None, dictionary: Path | None) -> Portable:
    """The model of a checkpoint of the published code, with every net that it holds.

    Args:
        dictionary: its dict.txt; where that is None, the one beside the checkpoint, if there is one.

    Raises:
        CheckpointError: without its options, or not whole; or a dictionary of another size.
    """
    options = model_options(state)
    if released_preset(options) is None:
        raise CheckpointError(
            f"{path}: tensors of the published code without its options (cfg.model.arch); give another"
        )
    translated, task = from_released(state["model"]), section(state, "task")
    found = find_job(job, _told_job(task), translated.tensors, path)
    model = Portable(
        path=path,
        tensors=translated.tensors,
        config=_plain_config(config_from_released(options), found, nets_of(translated.tensors)),
        job=found,
        home=found,
        task=without_places(task),
        history=read_history(state),
        notes=(f"read by nothing and left out: {listed(translated.unused)}",) if translated.unused else (),
    )
    check_whole(model)
    beside = path.with_name(DICTIONARY)
    if dictionary is None and beside.is_file() and (model.reads_or_writes_text or model.job == "s2c"):
        dictionary = beside
        model = model.noting(f"symbols: those of {beside}")
    return with_dictionary(model, dictionary)


def _told_job(task: dict[str, Any]) -> str | None:
    """The job of a task of the published code; which of ours its pre-training is, the nets tell."""
    job = task.get("t5_task")
    return job if job in JOBS and job != _PRETRAIN else None


def _plain_config(config: SpeechT5Config, job: str, nets: set[str]) -> SpeechT5Config:
    """The options as one of our own presets, without those of nets that the checkpoint does not have."""
    kind, name = (SpeechT5LargeConfig, "speecht5_large") if config.pre_norm else (SpeechT5Config, "speecht5")
    made = kind(**{field.name: getattr(config, field.name) for field in fields(kind)} | {"_name": name})
    made = replace(made, no_ctc_head=job == "s2t" and "ctc_head" not in nets)
    made = without_unread(made, nets, kind)
    return made if "quantizer" in JOBS[job].heads else replace(made, codebook_prob=SpeechT5Config.codebook_prob)


def write_released(model: Portable, out: Path) -> Portable:
    """Write ``out`` as the published code would, and its dict.txt (and spm.model) beside it.

    Returns:
        the model, with a note of the nets that the published code would look for.

    Raises:
        CheckpointError: tensors that the format cannot hold.
        ValueError: an option that the published code does not have.
    """
    state = released_state(model)
    write_companions(model, out.parent)
    with replacing(out) as partial:
        torch.save(state, partial)
    missing = [net for net in ALWAYS if net not in nets_of(model.tensors)]
    if missing:
        return model.noting(f"not there, though the published code builds them in every job: {', '.join(missing)}")
    return model


def released_state(model: Portable) -> dict[str, Any]:
    """The whole checkpoint in the published code's layout."""
    nets = nets_of(model.tensors)
    pretraining = model.job.startswith(_PRETRAIN)
    arch = LARGE if model.config.pre_norm else BASE if pretraining else FINE_TUNING
    config = without_unread(model.config, nets, PRESETS[arch])
    if "quantizer" not in nets:  # their probability asks for one, whatever the job
        config = replace(config, codebook_prob=0.0)
    task = {**{name: plain(value) for name, value in model.job_options.items()}, "_name": "speecht5"}
    task |= {"t5_task": _PRETRAIN if pretraining else model.job, "data": ".", "normalize": config.normalize_waveform}
    return {
        "args": None,
        "cfg": {"model": released_from_config(config, arch), "task": Namespace(**task), "criterion": None},
        "model": to_released(model.tensors),
        "criterion": None,
        "optimizer_history": model.history or new_history(model),
        "task_state": {},
        "extra_state": {},
        "last_optimizer_state": None,
    }
