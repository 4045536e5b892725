"""What a checkpoint file is, found without building its model: job, origin, sizes, training, contents, parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from .checkpoint import model_options, read_checkpoint, section, updates_of
from .config import SpeechT5Config, SpeechT5LargeConfig, SpeechT5SmallConfig
from .contents import Contents, checked_contents
from .dictionary_change import TIED_EMBEDDINGS
from .errors import CheckpointError
from .jobs import job_of
from .loading import CLASS_ROWS, UNITS
from .new_nets import NO_NETS
from .partial import DIGEST
from .parts import net_of, nets_of
from .released_options import config_from_released
from .released_presets import released_preset
from .signal_values import KEY as SIGNAL_KEY
from .vocabulary import decode

PRESETS = {"speecht5": SpeechT5Config, "speecht5_large": SpeechT5LargeConfig, "speecht5_small": SpeechT5SmallConfig}
OURS, RELEASED = "speecht5_fairseq", "the published code"
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")  # of BatchNorm, which learn nothing


class Base(NamedTuple):
    """The frozen base of a checkpoint of additions: where it stood in training, and the digest of its tensors."""

    path: str
    digest: str


class Origin(NamedTuple):
    """Who wrote a checkpoint, and from what.

    Attributes:
        writer: ``OURS`` or ``RELEASED``.
        base: of additions; None for a whole model.
        averaged: names of the checkpoints that it is the mean of.
        finetuned_from: the file that the run started from, empty where it does not tell.
    """

    writer: str
    base: Base | None
    averaged: list[str]
    finetuned_from: str


class Training(NamedTuple):
    """How far a checkpoint was trained; None where it does not tell."""

    updates: int
    epoch: int | None
    metric: str | None
    best: float | None
    optimizer: bool  # whether its state is inside, which only going on with the run needs


class Part(NamedTuple):
    """The parameters of a net in the file; a tied embedding counts in the first net that has it."""

    net: str
    parameters: int
    bytes: int


class Facts(NamedTuple):
    """What a checkpoint is.

    Attributes:
        job: a key of ``JOBS``.
        preset: the model's name in fairseq, empty where it does not tell.
        options: all of the model's, by our names.
        changed: those that differ from the preset's.
        task: all of the task's.
        ctc_weight: of the CTC loss in training; None where it does not tell.
        units: rows of the unit head.
        classes: rows of the speaker head.
        parts: of ``tensors``' nets in their order.
        nets: those that the model has, of a checkpoint of additions those with something in the file.
    """

    path: Path
    bytes: int
    job: str
    origin: Origin
    preset: str
    options: dict[str, Any]
    changed: dict[str, Any]
    task: dict[str, Any]
    ctc_weight: float | None
    training: Training
    contents: Contents
    units: int
    classes: int
    parts: list[Part]
    nets: list[str]


def read_facts(path: str | Path) -> Facts:
    """Read a checkpoint of ours, of additions to a base, or of the published code.

    Raises:
        CheckpointError: see ``read_checkpoint``, another model's checkpoint, or one of a newer version.
        ValueError: options of the published code with which this code builds no model.
    """
    state = read_checkpoint(path)
    tensors = state["model"]
    contents = checked_contents(state, path)
    given, task = model_options(state), section(state, "task")
    preset, options = _options(given, path)
    return Facts(
        path=Path(path),
        bytes=Path(path).stat().st_size,
        job=job_of(task, nets_of(tensors)),
        origin=_origin(state, given),
        preset=str(given.get("_name") or given.get("arch") or ""),
        options=options,
        changed=changed(options, preset),
        task=dict(task),
        ctc_weight=ctc_weight_of(section(state, "criterion")),
        training=_training(state),
        contents=contents,
        units=len(tensors.get(UNITS, ())),
        classes=len(tensors.get(CLASS_ROWS, ())),
        parts=count_parts(tensors),
        nets=list(dict.fromkeys(net_of(name) for name in tensors if net_of(name) not in NO_NETS | {net_of(DIGEST)})),
    )


def changed(options: Mapping[str, Any], preset: type[SpeechT5Config] | None) -> dict[str, Any]:
    """The options that differ from the defaults of ``preset``, in its order."""
    if preset is None:
        return {}
    defaults = {field.name: field.default for field in fields(preset) if not field.name.startswith("_")}
    known = {name: default for name, default in defaults.items() if name in options}
    return {name: options[name] for name, default in known.items() if str(options[name]) != str(default)}


def ctc_weight_of(criterion: Mapping[str, Any]) -> float | None:
    """The weight of the CTC loss in a training; None where its options do not tell.

    That a model has a CTC head does not tell: the published code builds one in every job, and trains it in few.
    """
    weight = criterion.get("ctc_weight")
    return max(0.0, float(weight)) if isinstance(weight, (int, float)) else None  # below 0 trained as 0 did


def count_parts(tensors: Mapping[str, Tensor]) -> list[Part]:
    """Parameters by net; neither names nor statistics are parameters, and the tied embedding is one."""
    counts: dict[str, list[int]] = {}
    tied = next((name for name in TIED_EMBEDDINGS if name in tensors), None)
    for name, tensor in tensors.items():
        net = net_of(name)
        if not tensor.is_floating_point() or name.endswith(_STATISTICS) or (name in TIED_EMBEDDINGS and name != tied):
            continue
        counted = counts.setdefault(net, [0, 0])
        counted[0] += tensor.numel()
        counted[1] += tensor.numel() * tensor.element_size()
    return [Part(net, *counted) for net, counted in counts.items()]


def checked_preset(options: Mapping[str, Any], path: str | Path) -> type[SpeechT5Config]:
    """The preset that options of this code name, all of which this version has.

    Raises:
        CheckpointError: they are another model's, or of a newer version.
    """
    name = options.get("_name") or options.get("arch")
    kind = PRESETS.get(str(name))
    if kind is None:
        raise CheckpointError(
            f"{path}: its options are those of the model {name!r}, not of SpeechT5 (cfg.model); give a checkpoint that "
            "fairseq-train wrote with this user dir"
        )
    unknown = sorted(str(name)[:80] for name in set(options) - {field.name for field in fields(kind)} - {"arch"})
    if unknown:
        raise CheckpointError(f"{path}: options that this version does not know: {', '.join(unknown)}; take a newer")
    return kind


def _options(given: Mapping[str, Any], path: str | Path) -> tuple[type[SpeechT5Config] | None, dict[str, Any]]:
    """The preset, None where a checkpoint tells no options, and the options by our names."""
    preset = released_preset(given)
    if preset is not None:
        return preset, _public(asdict(config_from_released(given)))
    if not given:
        return None, {}
    return checked_preset(given, path), _public(given)


def _public(options: Mapping[str, Any]) -> dict[str, Any]:
    known = {field.name for field in fields(SpeechT5Config) if not field.name.startswith("_")}
    return {name: value for name, value in options.items() if name in known}


def _origin(state: Mapping[str, Any], given: Mapping[str, Any]) -> Origin:
    digest = state["model"].get(DIGEST)
    base = None if digest is None else Base(str(given.get("base_checkpoint") or ""), decode(digest)[0])
    run = section(state, "checkpoint")
    averaged = (state.get("extra_state") or {}).get("averaged") or []
    told = SIGNAL_KEY in (state.get("task_state") or {})  # ours by the published options' names
    writer = OURS if told or released_preset(given) is None else RELEASED
    return Origin(writer, base, list(averaged), str(run.get("finetune_from_model") or ""))


def _training(state: Mapping[str, Any]) -> Training:
    extra = state.get("extra_state") or {}
    run = section(state, "checkpoint")
    best = extra.get("best")
    return Training(
        updates=updates_of(dict(state)),
        epoch=(extra.get("train_iterator") or {}).get("epoch"),
        metric=None if best is None else str(run.get("best_checkpoint_metric", "loss")),
        best=None if best is None else float(best),
        optimizer=isinstance(state.get("last_optimizer_state"), dict) and bool(state["last_optimizer_state"]),
    )
