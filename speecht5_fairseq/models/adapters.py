"""Models over a frozen base: what they train, and several of them beside one base in one process."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from fairseq import checkpoint_utils, tasks
from omegaconf import DictConfig
from torch import nn

from .base_checkpoint import Bases
from .calls import check_task
from .checkpoint import read_checkpoint
from .partial import BaseReference
from .parts import net_of

logger = logging.getLogger(__name__)


class Loaded(NamedTuple):
    """A model with the task that it was trained for, as fairseq's own loading gives them."""

    model: nn.Module
    task: Any
    cfg: DictConfig


def load_adapted(paths: Iterable[str | Path], overrides: Mapping[str, Any] | None = None) -> list[Loaded]:
    """Load checkpoints over frozen bases, of one job or of several; a base that they share is held once.

    The frozen parameters of such models are the same objects, so that ``.to(device)`` or ``.half()`` of one moves the
    base of all: do to all of them what is done to one.

    Args:
        paths: checkpoints of fairseq-train; whole ones (without ``--base-checkpoint``) load as ever.
        overrides: options to change in all of them, as ``--model-overrides`` does: where ``data`` or the
            ``base_checkpoint`` stand now, say. Dictionaries that are in neither are those of the checkpoint.

    Raises:
        CheckpointError: a base that is missing or another one, see ``Bases.read`` and ``partial.completed``; a file
            that cannot be read, or wants to run something.
    """
    bases, found = Bases(), []
    for path in map(str, paths):
        # the task looks for what its files lack in the checkpoint that --path names
        check_task(read_checkpoint(path), path)
        state = checkpoint_utils.load_checkpoint_to_cpu(path, {"path": path, **(overrides or {})})
        task = tasks.setup_task(state["cfg"].task, from_checkpoint=True)
        task.bases, task.checkpoint_folders = bases, [Path(path).parent]
        (model,), cfg, task = checkpoint_utils.load_model_ensemble_and_task([path], task=task, state=state)
        found.append(Loaded(model, task, cfg))
    return found


def report(model: nn.Module) -> None:
    """Log what a model over a base takes from it and what it trains.

    Raises:
        ValueError: nothing is trained.
    """
    base: BaseReference | None = model.base
    if base is None:
        return
    trained, total = trained_weights(model), sum(parameter.numel() for parameter in model.parameters())
    count = sum(trained.values())
    if not count:
        raise ValueError("nothing is trained over --base-checkpoint: give --lora-rank, --adapter-dim, or --train-nets")
    logger.info("base: %s, %s weights of it are frozen: %s", base, f"{total - count:,}", ", ".join(base.nets))
    if base.left:
        logger.warning("left in the base, not used by this job: %s", ", ".join(base.left))
    if base.new:
        logger.warning("new, not in the base (initial values): %s", ", ".join(base.new))
    parts = ", ".join(f"{net} {weights:,}" for net, weights in trained.items())
    logger.info("trained: %s of %s weights (%.2f%%): %s", f"{count:,}", f"{total:,}", 100 * count / total, parts)


def trained_weights(model: nn.Module) -> dict[str, int]:
    """Numbers of trained weights by net; what nets share counts in the first."""
    counts: dict[str, int] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            net = net_of(name)
            counts[net] = counts.get(net, 0) + parameter.numel()
    return counts
