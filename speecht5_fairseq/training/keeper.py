"""What keeps a training's work: it saves before it stops, however it has to, and tells where one goes on."""

from __future__ import annotations

import logging
import math
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from fairseq import checkpoint_utils
from fairseq.data.iterators import EpochBatchIterator
from fairseq.trainer import Trainer
from omegaconf import OmegaConf
from torch import distributed

from ..data.errors import DataError
from .checkpoint_folder import LAST
from .positions import Position, ToldEpochs, start_of_epoch
from .processes import process_count
from .stop_signals import StopSignals

logger = logging.getLogger(__name__)

RESETS = ("reset_dataloader", "reset_lr_scheduler", "reset_meters", "reset_optimizer")


class LoaderError(RuntimeError):
    """A process of the data loader is gone."""


class Keeper:
    """Sees to it that no finished update of one training is lost.

    Args:
        trainer: fairseq's, which has loaded what the run goes on from.
        cfg: fairseq's options of checkpoints.
    """

    def __init__(self, trainer: Trainer, cfg: Any) -> None:
        self.trainer = trainer
        self.cfg = cfg
        self.signals = StopSignals()
        self.agreed = False  # all processes know that one of them was asked to stop
        self.leaving = False  # the next save is the last
        self._epochs: ToldEpochs | None = None  # the running one
        self._began_at = self._saved_at = trainer.get_num_updates()  # _saved_at: updates in the last checkpoint
        self._updates = -1  # when the batches of the running update were begun
        self._position: Position | None = None  # before them

    @property
    def file(self) -> Path:
        """Where it saves out of turn, and where fairseq-train looks for a run to go on."""
        name = Path(LAST)
        return Path(self.cfg.save_dir, f"{name.stem}{self.trainer.checkpoint_suffix}{name.suffix}").absolute()

    @property
    def must_stop(self) -> bool:
        """Whether this process was asked to stop, or in several, whether all have heard of it."""
        return self.agreed if process_count() > 1 else self.signals.asked is not None

    def watch(self, batches: EpochBatchIterator) -> ToldEpochs:
        """The batches of training, which tell this keeper where the run stands."""
        self._epochs = ToldEpochs(batches, before=self.before_batch, failed=self.failed)
        return self._epochs

    def watch_validation(self, batches: EpochBatchIterator) -> ToldEpochs:
        """The batches of validation, whose failures end the run as well."""
        return ToldEpochs(batches, before=forget_lost_children, failed=self.failed)

    def before_batch(self) -> None:
        """Before a batch is loaded; between two updates it stops where that was asked.

        Raises:
            SystemExit: with the conventional status, once all is saved.
        """
        forget_lost_children()
        updates = self.trainer.get_num_updates()
        if updates == self._updates:
            return
        self._updates, self._position = updates, Position(self._epochs.epoch, self._epochs.state_dict())
        if self.must_stop:
            raise self._stop()

    def before_validation(self) -> None:
        """Validation may take longer than the patience of who asked to stop: save at once, and then go on with it."""
        if self.must_stop and self._save(self._place()):
            logger.info("%s: saved; the validation of this update comes first, then it stops", self.signals.name)

    def failed(self, error: Exception) -> BaseException:
        """Save before the run ends because a batch could not be loaded.

        Returns:
            What to raise: the error, with a mend where it has none.
        """
        try:
            if not self._needs_others:
                self._save(self._place())
                logger.error("a batch cannot be loaded (%s), and the run ends: %s", _in_short(error), self._where())
        except OSError as unsaved:
            logger.error("%s", unsaved)
        lost = self.trainer.cfg.dataset.num_workers > 0 and tells_of_lost_worker(error)
        if lost and self.signals.asked and process_count() == 1:  # a scheduler may have ended the workers as well
            return SystemExit(self.signals.status)
        return of_lost_worker(error) if lost else error

    def save(self, fairseq_save: Callable, batches: Any, val_loss: float | None, cfg: Any) -> str | None:
        """fairseq's saving; where it fails the run goes on without, but for the last time.

        Raises:
            OSError: nothing can be written, and this may be the last save of the run.
        """
        best = vars(checkpoint_utils.save_checkpoint).get("best")
        updates = self.trainer.get_num_updates()
        try:
            path = fairseq_save(cfg, self.trainer, batches, val_loss)
        except OSError as error:
            _put_back_best(best)
            message = self._unsaved(error, updates)
            if self.leaving or self._may_be_last(batches):
                raise OSError(error.errno, message) from error
            logger.error("%s; training goes on and saves again when it is due", message)
            return None
        if not (cfg.no_save or cfg.no_last_checkpoints):
            self._saved_at = updates
        return path

    def _stop(self) -> SystemExit:
        self._save(self._place())
        if process_count() > 1:  # a process that ends takes the others with it, under torchrun
            distributed.barrier()
        logger.info("%s: stopped after update %d: %s", self.signals.name, self._updates, self._where())
        return SystemExit(self.signals.status)

    def _save(self, place: Any) -> bool:
        """Save where that was not done since the last update; whether it was done now."""
        if self.trainer.get_num_updates() == self._saved_at and not self._sharded:  # the others may not have saved
            return False
        self.leaving = True
        checkpoint_utils.save_checkpoint(only_last(self.cfg), self.trainer, place, None)
        self.leaving = False
        return True

    def _place(self) -> Any:
        """Where the data stands after the last finished update, for fairseq's saving."""
        if self._updates == self.trainer.get_num_updates():  # batches of the next one may have been loaded
            return self._position
        return self._epochs if self._epochs.begun else start_of_epoch(self._epochs.epoch)

    def _where(self) -> str:
        if self.cfg.no_save:
            return "nothing is saved (--no-save)"
        if self._saved_at == self._began_at:
            return "no update was finished since the start; the same command line starts again"
        resets = [f"--{name.replace('_', '-')}" for name in RESETS if self.cfg[name]]
        without = f" without {', '.join(resets)}" if resets else ""
        if self.cfg.restore_file != LAST:
            return f"saved in {self.file}; --restore-file {self.file} goes on from there{without}"
        return f"saved in {self.file}; the same command line{without} goes on from there"

    @property
    def _needs_others(self) -> bool:
        """Whether this process cannot save alone, while the others wait for its gradients."""
        return process_count() > 1 and (self._sharded or not self.trainer.is_data_parallel_master)

    @property
    def _sharded(self) -> bool:
        """Whether a save takes all processes, each of which holds a part of the state."""
        training = self.trainer.cfg.distributed_training
        return training.zero_sharding != "none" or training.ddp_backend == "fully_sharded"

    def _unsaved(self, error: OSError, updates: int) -> str:
        earlier = f"the one of update {self._saved_at} is whole" if self._saved_at else "there is none of before"
        return (
            f"update {updates}: the checkpoint could not be written to {self.cfg.save_dir}: {error.strerror or error}"
            f"{_free_space(self.cfg.save_dir)}; {earlier}; make the folder writable, with room for another checkpoint"
        )

    def _may_be_last(self, batches: Any) -> bool:
        """By fairseq's rules; whether patience ends the run is told to nobody, so that it counts as if it did."""
        cfg, trainer = self.trainer.cfg, self.trainer
        optimization = cfg.optimization
        hours, most_hours = trainer.cumulative_training_time() / 3600, optimization.stop_time_hours
        return (
            trainer.get_num_updates() >= (optimization.max_update or math.inf)
            or (batches.end_of_epoch() and batches.epoch >= (optimization.max_epoch or math.inf))
            or 0 < most_hours < hours
            or cfg.checkpoint.patience > 0
            or trainer.get_lr() <= optimization.stop_min_lr
        )


def only_last(cfg: Any) -> SimpleNamespace:
    """Options of checkpoints with which fairseq saves ``checkpoint_last.pt`` and deletes nothing."""
    options = OmegaConf.to_container(cfg, resolve=True) if OmegaConf.is_config(cfg) else vars(cfg)
    every = {"no_last_checkpoints": False, "no_epoch_checkpoints": True, "save_interval_updates": 0}
    keep_all = {"keep_interval_updates": -1, "keep_last_epochs": -1, "keep_best_checkpoints": -1}
    return SimpleNamespace(**{**options, **every, **keep_all})


def of_lost_worker(error: Exception) -> LoaderError:
    """What a batch failed with whose process is gone, so that its reader knows what to mend."""
    return LoaderError(
        f"{str(error) or type(error).__name__}. A process of the data loader was killed, by the system if memory ran "
        "out: fewer --num-workers or less in a batch (--max-tokens) need less"
    )


def _in_short(error: Exception) -> str:
    """Its last line: what a loader worker failed with comes after the worker's traceback."""
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__


def tells_of_lost_worker(error: Exception) -> bool:
    """Whether a process of the data loader is gone, by torch's words, or by those of the batch that it was handing on.

    What a worker itself failed with comes in other words of torch's, "Caught ... in DataLoader worker process".
    """
    text = str(error)
    if isinstance(error, EOFError | ConnectionError | FileNotFoundError):
        of_a_file = getattr(error, "filename", None) is not None  # not of the socket between the processes
        return not (of_a_file or isinstance(error, DataError) or "Caught " in text)
    return "DataLoader worker" in text and ("exited unexpectedly" in text or "killed by signal" in text)


def forget_lost_children() -> None:
    """Let torch tell of a lost loader worker when its batch is asked for, and not in the middle of an update.

    With ``--data-buffer-size 0`` it also looks at them in a handler of SIGCHLD, which raises wherever the process is.
    """
    handler = signal.getsignal(signal.SIGCHLD)
    if callable(handler) and handler.__module__.startswith("torch.utils.data"):
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def _put_back_best(best: float | None) -> None:
    """fairseq notes the best validation before it has saved it, and would not save the next best."""
    if best is None:
        vars(checkpoint_utils.save_checkpoint).pop("best", None)
    else:
        checkpoint_utils.save_checkpoint.best = best


def _free_space(folder: str) -> str:
    if not os.path.isdir(folder):
        return ""
    return f" ({shutil.disk_usage(folder).free / 1e9:.1f} GB free)"
