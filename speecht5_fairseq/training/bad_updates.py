"""Losses that are NaN or infinite: the batch is named and left out of the update, and too many in a row end the run."""

import logging
import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from fairseq.criterions import FairseqCriterion
from fairseq.dataclass import FairseqDataclass
from fairseq.distributed import utils as distributed_utils
from fairseq.logging import metrics
from fairseq.optim import FairseqOptimizer
from fairseq.optim.amp_optimizer import AMPOptimizer
from fairseq.tasks import FairseqTask
from torch import Tensor, nn

from .. import ranges
from .processes import process_count
from .running_statistics import average_statistics, kept_statistics

logger = logging.getLogger(__name__)

COUNT = "bad_batches"  # in every logging output: workers add theirs name by name
CRASH_FILE = "crash.pt"  # fairseq's name of the checkpoint that it writes when an update fails
SHOWN = 20  # utterances that a message names


@dataclass
class BadUpdatesConfig(FairseqDataclass):
    """Options of every task that trains."""

    max_bad_updates: int = ranges.ranged(
        10, "updates in a row that may have a batch whose loss is NaN or infinite; one more is an error", ranges.COUNT
    )


class BadUpdatesError(FloatingPointError):
    """More updates in a row than ``--max-bad-updates`` had a batch whose loss is not finite.

    fairseq answers a FloatingPointError by writing crash.pt, and goes over the batch again to log the first module
    whose output is not finite.
    """


class Batches(NamedTuple):
    """Batches of one update, of all workers once they are added up."""

    good: int = 0
    bad: int = 0


class GuardedTask(FairseqTask):
    """Training steps whose batches count only where their loss is finite.

    A batch whose loss is not finite takes no part in its update: its gradient, its sample size and what it logs are
    zero, and BatchNorm's statistics are those of before, as they are after the stand-in of a worker that has no batch
    left. The other batches of the update, with ``--update-freq`` or on other workers, make the update alone. Where
    there are none the optimizer takes no step, and neither the weights nor the optimizer's state change; the update is
    counted, so that the schedule goes on. After an update all workers have one BatchNorm's statistics.
    """

    def __init__(self, cfg: BadUpdatesConfig, **kwargs: Any) -> None:
        super().__init__(cfg, **kwargs)
        self.batches = Batches()
        self.bad_updates = 0  # in a row
        self.last_bad = "none on this worker: see the logs of the others"

    def train_step(
        self,
        sample: dict,
        model: nn.Module,
        criterion: FairseqCriterion,
        optimizer: FairseqOptimizer,
        update_num: int,
        ignore_grad: bool = False,
    ) -> tuple[Tensor, int, dict]:
        """fairseq's step; the logging output tells whether the batch was left out."""
        if all(parameter.grad is None for parameter in model.parameters()):
            self.begin_update(model)
        bad, restore = False, kept_statistics(model)

        def guarded(model: nn.Module, sample: dict) -> tuple[Tensor, int, dict]:
            nonlocal bad
            loss, size, log = criterion(model, sample)
            bad = not bool(torch.isfinite(loss.detach()).all())
            if not bad:
                return loss, size, log | {COUNT: 0}
            restore()
            if not ignore_grad:  # fairseq's stand-in for a worker that has no batch left is none of its own
                self._tell(sample, log, update_num)
            return zero_loss(loss), size * 0, zero_log(log) | {COUNT: int(not ignore_grad)}

        try:
            result = super().train_step(sample, model, guarded, optimizer, update_num, ignore_grad)
        except RuntimeError:  # fairseq goes on from one out of memory, without the gradients so far
            self.begin_update(model)
            raise
        if ignore_grad:
            restore()
        else:
            self.batches = Batches(self.batches.good + (not bad), self.batches.bad + bad)
        return result

    def begin_update(self, model: nn.Module) -> None:
        """Before the first batch of each try at an update.

        After an overflow with --fp16 fairseq tries again without a step: what was counted is of batches thrown away.
        """
        self.batches = Batches()

    def optimizer_step(self, optimizer: FairseqOptimizer, model: nn.Module, update_num: int) -> None:
        """fairseq's step, where a batch of any worker is good; the workers agree.

        Raises:
            BadUpdatesError: too many updates in a row had a bad batch.
        """
        own, batches, self.batches = self.batches, self._of_all_workers(model), Batches()
        self.bad_updates = self.bad_updates + 1 if batches.bad else 0
        if self.bad_updates > self.cfg.max_bad_updates:
            raise BadUpdatesError(self._message(update_num))
        average_statistics(model, moved=own.good > 0)
        if batches.good or not batches.bad:
            super().optimizer_step(optimizer, model, update_num)
        elif isinstance(optimizer, AMPOptimizer):  # it has unscaled the gradients, and may do so once an update
            optimizer.scaler.update()

    def reduce_metrics(self, logging_outputs: list[dict], criterion: FairseqCriterion) -> None:
        """fairseq's sums, and in training the batches left out."""
        super().reduce_metrics(logging_outputs, criterion)
        bad = sum(int(log.get(COUNT, 0)) for log in logging_outputs)
        if not bad:
            return
        metrics.log_scalar_sum(COUNT, bad)
        told = all("loss" in meters for meters in metrics.get_active_aggregators())  # of sums, in pre-training
        if not told and not sum(float(log["sample_size"]) for log in logging_outputs):
            metrics.log_scalar("loss", 0.0, weight=0, round=3)  # fairseq puts -1 into the mean where there is none

    def _tell(self, sample: dict, log: dict, update_num: int) -> None:
        self.last_bad = f"{named_parts(log)} of {self._places(sample)}"
        if self.bad_updates <= self.cfg.max_bad_updates:  # not once more when fairseq looks for the module
            logger.warning("update %d: a loss is not finite, its batch is left out: %s", update_num, self.last_bad)

    def _places(self, sample: dict) -> str:
        """Where the utterances of a batch stand."""
        dataset = self.datasets.get(self.cfg.train_subset)
        if dataset is None:
            return f"the rows {sample['id'].tolist()}" if "id" in sample else "utterances without rows"
        places = dataset.places(sample)
        more = f" and {len(places) - SHOWN} more" if len(places) > SHOWN else ""
        return ", ".join(places[:SHOWN]) + more

    def _of_all_workers(self, model: nn.Module) -> Batches:
        if process_count() == 1:
            return self.batches
        counts = torch.tensor(self.batches, device=next(model.parameters()).device)
        distributed_utils.all_reduce(counts, group=distributed_utils.get_data_parallel_group())
        return Batches(*counts.tolist())

    def _message(self, update_num: int) -> str:
        allowed = self.cfg.max_bad_updates
        return (
            f"update {update_num}: {self.bad_updates} updates in a row had a batch whose loss is not finite, more than "
            f"--max-bad-updates {allowed}; the last: {self.last_bad}. If it is always the same rows, correct or delete "
            "them; if not, the run diverged: go on from an earlier checkpoint with a lower --lr, a lower --clip-norm, "
            f"or without --fp16. The state before this update is in --save-dir as {CRASH_FILE} (go on from it with "
            "--restore-file and --reset-dataloader)"
        )


def zero_loss(loss: Tensor) -> Tensor:
    """A loss of 0 whose gradient is 0, not NaN, for exactly the parameters that ``loss`` has gradients for.

    Workers of torch's DistributedDataParallel wait for the gradients of those.
    """
    seen, waiting, parameters = set(), [loss.grad_fn], []
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):  # AccumulateGrad: where a parameter's gradient ends up
            parameters.append(node.variable)
        waiting += [following for following, _ in node.next_functions]
    return sum(((parameter * 0).sum().float() for parameter in parameters), loss.new_zeros(()))


def zero_log(log: dict) -> dict:
    """A logging output of the same names, types and shapes that adds nothing to the sums."""
    return {name: torch.zeros_like(value) if torch.is_tensor(value) else value * 0 for name, value in log.items()}


def named_parts(log: dict) -> str:
    """The entries of a logging output that are not finite, "ce nan, ctc inf"; "loss" only where it is alone."""
    values = {name: float(value) for name, value in log.items() if not torch.is_tensor(value) or value.numel() == 1}
    bad = {name: value for name, value in values.items() if not math.isfinite(value)}
    parts = {name: value for name, value in bad.items() if name != "loss"} or bad or {"loss": math.nan}
    return ", ".join(f"{name} {value}" for name, value in parts.items())
