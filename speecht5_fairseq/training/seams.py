"""Where fairseq-train's saving, loading and logging are joined to ours: four names of ``fairseq.checkpoint_utils`` and
one of ``fairseq.logging.progress_bar``.

fairseq looks them up in its modules at every call and has no other place for a user dir to come in: its trainer is told
to no task, and its files are written by functions of these modules.

| name | what ours adds |
|---|---|
| ``torch_persistent_save`` | synced, with a checksum, and nothing left of a save that fails |
| ``PathManager.copy`` | copies of checkpoints appear whole or not at all; fairseq writes over the old one |
| ``save_checkpoint`` | a full disk is told of, and does not end the run while it can go on |
| ``load_checkpoint`` | several processes each read the file, the same one; a new run has no hours; a keeper begins |
| ``SummaryWriter`` | a full disk does not end the run at TensorBoard's files either; None without tensorboard |

``save_checkpoint`` and ``load_checkpoint`` concern the trainings of our tasks alone.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fairseq import checkpoint_utils
from fairseq.file_io import PathManager
from fairseq.logging import progress_bar
from fairseq.trainer import Trainer

from ..data.workers import end_with_parents_alone
from ..models.checksum import copy_checkpoint, write_checkpoint
from .keeper import Keeper
from .kept import KeptTask
from .processes import check_same_start, process_count
from .steady_writer import SteadyWriter

logger = logging.getLogger(__name__)

_fairseq_write = checkpoint_utils.torch_persistent_save
_fairseq_save = checkpoint_utils.save_checkpoint
_fairseq_load = checkpoint_utils.load_checkpoint


class WholeCopies(PathManager):
    """fairseq's access to files, whose copies on a disk appear whole or not at all."""

    @staticmethod
    def copy(src_path: str, dst_path: str, overwrite: bool = False) -> bool:
        """Copy a file; whether it was done."""
        if not (overwrite and PathManager.supports_rename(src_path) and PathManager.supports_rename(dst_path)):
            return PathManager.copy(src_path, dst_path, overwrite)
        copy_checkpoint(src_path, dst_path)
        return True


def torch_persistent_save(obj: Any, filename: str, async_write: bool = False) -> None:
    """Write a checkpoint; see ``write_checkpoint``. Where fairseq writes to elsewhere or later, fairseq does."""
    if async_write or not PathManager.supports_rename(filename):
        _fairseq_write(obj, filename, async_write)
    else:
        write_checkpoint(obj, filename)


def save_checkpoint(cfg: Any, trainer: Trainer, epoch_itr: Any, val_loss: float | None) -> str | None:
    """fairseq's; see ``Keeper.save``."""
    keeper = trainer.task.keeper if isinstance(trainer.task, KeptTask) else None
    if keeper is None:
        return _fairseq_save(cfg, trainer, epoch_itr, val_loss)
    return keeper.save(_fairseq_save, epoch_itr, val_loss, cfg)


def load_checkpoint(cfg: Any, trainer: Trainer, **passthrough_args: Any) -> tuple[dict | None, Any]:
    """fairseq's; then the keeper begins, and with it the handling of signals."""
    task = trainer.task
    if not isinstance(task, KeptTask):
        return _fairseq_load(cfg, trainer, **passthrough_args)
    _refuse_unsound(trainer)
    end_with_parents_alone()  # loading may start workers already
    task.update_freq = trainer.cfg.optimization.update_freq
    with _loading_everywhere(cfg):
        extra_state, epoch_itr = _fairseq_load(cfg, trainer, **passthrough_args)
    if not trainer.get_num_updates():  # fairseq would count the hours of the training that this one starts from
        trainer._previous_training_time = 0
    check_same_start(trainer.get_num_updates(), cfg.save_dir)
    if cfg.write_checkpoints_asynchronously:
        logger.warning(
            "--write-checkpoints-asynchronously: a crash may leave broken checkpoints, which have no checksum"
        )
    task.keeper = Keeper(trainer, cfg)
    task.keeper.signals.install()
    return extra_state, task.keeper.watch(epoch_itr)


def _refuse_unsound(trainer: Trainer) -> None:
    """Refuse options of fairseq's that end in a crash, or in a model that nobody asked for.

    Raises:
        ValueError: one of them is given.
    """
    cfg = trainer.cfg.checkpoint
    if "continue_once" in cfg and cfg.continue_once:
        raise ValueError(
            f"--continue-once {cfg.continue_once}: a start that nothing checks; give it as --restore-file, or copy "
            f"it to {cfg.save_dir}/checkpoint_last.pt"
        )
    if "ema" in trainer.cfg and trainer.cfg.ema.store_ema:
        raise ValueError(
            "--store-ema: fairseq's moving average fails at the integers among this model's tensors, and decays tied "
            "embeddings twice; average checkpoints: python -m speecht5_fairseq.average --last-epochs N"
        )


@contextmanager
def _loading_everywhere(cfg: Any) -> Iterator[None]:
    """Every process reads the checkpoint itself.

    Handed on by the first one it would hold fairseq's options as objects, which torch refuses to load without running
    code: a run of several processes could not go on at all.
    """
    before = cfg.load_checkpoint_on_all_dp_ranks
    cfg.load_checkpoint_on_all_dp_ranks = process_count() > 1 or before
    try:
        yield
    finally:
        cfg.load_checkpoint_on_all_dp_ranks = before


def install() -> None:
    """Put ours in the place of fairseq's."""
    checkpoint_utils.PathManager = WholeCopies
    checkpoint_utils.torch_persistent_save = torch_persistent_save
    checkpoint_utils.save_checkpoint = save_checkpoint
    checkpoint_utils.load_checkpoint = load_checkpoint
    if progress_bar.SummaryWriter is not None:
        progress_bar.SummaryWriter = SteadyWriter
