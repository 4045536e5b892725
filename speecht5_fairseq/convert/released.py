"""Checkpoints of the published SpeechT5 code, read and written; names and options stand in ``models.released_*``."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ..constants import SAMPLE_RATE
from ..criterions.released import CRITERION_FLAGS, CTC_WEIGHT
from ..data.atomic import replacing
from ..models.checkpoint import model_options, section
from ..models.contents import contents_of, cuts_text
from ..models.errors import CheckpointError, listed
from ..models.jobs import PRETRAIN, path_nets, told_job
from ..models.parts import nets_of
from ..models.released_format import from_released, to_released
from ..models.released_options import released_from_config
from ..models.released_presets import BASE, FINE_TUNING, LARGE, PRESETS, released_preset
from ..tasks.released import FIXED_TASK, IDLE_TASK, TASK_FLAGS
from .fairseq_file import (
    DICTIONARY,
    SENTENCEPIECE,
    names_sentencepiece,
    new_history,
    read_history,
    read_sentencepiece,
    task_state,
    write_companions,
)
from .options import (
    criterion_options,
    read_config,
    task_options,
    without_unread,
)
from .portable import Portable, check_whole, find_job, with_dictionary

TASK = "speecht5"
# Nets that the published code builds in every job.
ALWAYS = ("decoder", *sorted(path_nets(PRETRAIN)), "ctc_head")


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
    contents = contents_of(state, path)
    translated, task = from_released(state["model"], str(path)), section(state, "task")
    found = find_job(job, told_job(task), translated.tensors, path)
    model = Portable(
        path=path,
        tensors=translated.tensors,
        config=read_config(options, path, found, nets_of(translated.tensors)),
        job=found,
        home=found,
        task=task_options(task, found),
        criterion=criterion_options(section(state, "criterion"), found),
        history=read_history(state),
        sentencepiece=read_sentencepiece(contents, task),
        cuts_text=cuts_text(contents, task, published=True),
        units=tuple(contents.units),
        unit_source=contents.unit_source,
        notes=(f"read by nothing and left out: {listed(translated.unused)}",) if translated.unused else (),
    )
    check_whole(model)
    beside = path.with_name(DICTIONARY)
    if dictionary is None and beside.is_file() and (model.has_text or model.job == "s2c"):
        dictionary = beside
        model = model.noting(f"symbols: those of {beside}")
    return with_dictionary(model, dictionary)


def write_released(model: Portable, out: Path) -> Portable:
    """Write ``out`` as the published code would, and its dict.txt (and spm.model) beside it.

    Returns:
        the model, with a note of the nets that the published code would look for.

    Raises:
        CheckpointError: tensors that the format cannot hold.
        ValueError: an option that the published code does not have.
    """
    state = released_state(model, out.parent)
    write_companions(model, out.parent)
    with replacing(out) as partial:
        torch.save(state, partial)
    missing = [net for net in ALWAYS if net not in nets_of(model.tensors)]
    if missing:
        return model.noting(f"not there, though the published code builds them in every job: {', '.join(missing)}")
    return model


def released_state(model: Portable, folder: Path) -> dict[str, Any]:
    """The whole checkpoint in the published code's layout; what belongs to it stands in ``folder``."""
    nets = nets_of(model.tensors)
    fine_tuned = not model.job.startswith(PRETRAIN)
    arch = LARGE if model.config.pre_norm else FINE_TUNING if fine_tuned else BASE
    config = without_unread(model.config, nets, PRESETS[arch])
    if "quantizer" not in nets:  # their probability asks for one, whatever the job
        config = replace(config, codebook_prob=0.0)
    return {
        "args": None,
        "cfg": {
            "model": released_from_config(config, arch),
            "task": _task(model, folder),
            "criterion": _criterion(model),
        },
        "model": to_released(model.tensors),
        "criterion": None,
        "optimizer_history": model.history or new_history(model),
        "task_state": task_state(model),
        "extra_state": {},
        "last_optimizer_state": None,
    }


def _task(model: Portable, folder: Path) -> Namespace:
    """Every flag of the published task, at its default but for what the model is; options of ours stand beside."""
    flags = {flag.name: flag.default for flag in TASK_FLAGS} | {name: idle[0] for name, idle in IDLE_TASK.items()}
    flags |= {name: values[0] for name, values in FIXED_TASK.items()}
    flags |= {
        "sample_rate": SAMPLE_RATE,
        "normalize": model.config.normalize_waveform,
        CTC_WEIGHT.name: CTC_WEIGHT.default,
    }
    job = PRETRAIN if model.job.startswith(PRETRAIN) else model.job
    places = {"data": str(folder)}
    if names_sentencepiece(model):
        places["bpe_tokenizer"] = str(folder / SENTENCEPIECE)
    return Namespace(**{**flags, **model.job_options, **places, "task": TASK, "_name": TASK, "t5_task": job})


def _criterion(model: Portable) -> Namespace | None:
    """The losses that it was trained with: those flags that have one name, and mean the same, on both sides."""
    losses = model.criterion or {}
    shared = {flag.name: losses[flag.name] for flag in CRITERION_FLAGS if flag.name in losses}
    return Namespace(**shared, _name=TASK) if shared else None
