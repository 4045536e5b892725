"""Codes that nothing chooses any more: they are seeded anew from recent encoder states, the same on every worker."""

import logging

import torch
from fairseq.distributed import utils as distributed_utils
from fairseq.logging import metrics
from fairseq.optim import FairseqOptimizer
from torch import Tensor

from ..data.seeding import utterance_seed
from ..models.speecht5 import SpeechT5Model
from ..modules.quantizer import Quantizer, spread
from .codebook import COUNTS
from .optimizers import has_flat_copies, renew_copies
from .processes import process_count

logger = logging.getLogger(__name__)

OPTION = "--revive-codes"
STATES = 256  # of the update's last batches, from which the seeds are drawn


class CodeRevival:
    """Counts for how many updates in a row each code was not chosen, and revives those that reach a limit.

    Args:
        updates: the limit; 0 revives nothing.
        seed: of the draws, together with the update.

    Attributes:
        unchosen: (G, C) int64, updates in a row; None before the first. A checkpoint's task state holds it.
    """

    def __init__(self, *, updates: int, seed: int) -> None:
        self.updates, self.seed = updates, seed
        self.unchosen: Tensor | None = None
        self.chosen: Tensor | None = None  # (G, C) in this worker's batches of the update so far
        self._counted: int | None = None  # the last update that was finished

    def prepare(self, model: SpeechT5Model, optimizer: FairseqOptimizer) -> None:
        """Called before each batch.

        Raises:
            ValueError: the optimizer holds its float32 copies of the parameters in one piece.
        """
        if not self._acts_on(model):
            return
        if has_flat_copies(optimizer):
            raise ValueError(
                f"{OPTION} needs parameters one by one: with --fp16 add --fp16-no-flatten-grads, or use "
                "--memory-efficient-fp16"
            )
        model.quantizer.kept_states = STATES

    def begin_update(self, model: SpeechT5Model) -> None:
        """Forget what was noted in a try at an update that fairseq threw away, as after an overflow with --fp16."""
        self.chosen = None
        if self._acts_on(model):
            model.quantizer.recent.clear()

    def note(self, log: dict) -> None:
        """Take in the logging output of a batch; one that was left out has chosen nothing."""
        for name in COUNTS if self.updates else ():
            if name in log:
                counts = log[name].detach().long()
                self.chosen = counts if self.chosen is None else self.chosen + counts

    def finish_update(self, model: SpeechT5Model, optimizer: FairseqOptimizer, update: int) -> None:
        """Revive after the optimizer's step; every worker calls it, and all do the same."""
        chosen, self.chosen = self.chosen, None
        if not self._acts_on(model) or update == self._counted:  # with --amp, the same update once more
            return
        self._counted = update
        recent = _taken(model.quantizer)
        counts = _of_all_workers(chosen, model.quantizer).cpu()
        if not counts.any():  # every batch was left out
            return
        before = torch.zeros_like(counts) if self.unchosen is None else self.unchosen
        self.unchosen = torch.where(counts > 0, 0, before + 1)
        dead = self.unchosen >= self.updates
        if dead.any() and self._revive(model.quantizer, recent, dead, update):
            renew_copies(optimizer, model.quantizer.parameters())
            self.unchosen[dead] = 0

    def _acts_on(self, model: SpeechT5Model) -> bool:
        """Whether there are codes to revive; frozen ones stay as they are."""
        quantizer = model.quantizer
        return self.updates > 0 and quantizer is not None and all(p.requires_grad for p in quantizer.parameters())

    def _revive(self, quantizer: Quantizer, recent: Tensor, dead: Tensor, update: int) -> bool:
        """Whether there was a state to revive the codes with."""
        if process_count() > 1:
            group = distributed_utils.get_data_parallel_group()
            recent = torch.cat(distributed_utils.all_gather(recent, group=group))
        states = spread(_finite(recent), STATES)
        if not len(states):
            return False
        generator = torch.Generator().manual_seed(utterance_seed(self.seed, 0, update))
        quantizer.revive(dead, states, generator)
        count = int(dead.sum())
        metrics.log_scalar_sum("codes_revived", count)
        logger.info("update %d: %d of %d codes revived", update, count, dead.numel())
        return True


def _taken(quantizer: Quantizer) -> Tensor:
    """STATES recent states of this worker (STATES, D), which it forgets; NaN where it has none that is finite."""
    shape = STATES, quantizer.projection.in_features
    batches = [torch.full(shape, torch.nan, device=quantizer.codebook.device), *quantizer.recent]
    quantizer.recent.clear()
    finite = _finite(torch.cat(batches))
    return spread(finite, STATES) if len(finite) else batches[0]


def _finite(states: Tensor) -> Tensor:
    """The rows without NaN and infinity: a batch that was left out may have others."""
    return states[states.isfinite().all(-1)]


def _of_all_workers(chosen: Tensor | None, quantizer: Quantizer) -> Tensor:
    """How often each code was chosen in the update, (G, C) int64."""
    none = torch.zeros(quantizer.groups, quantizer.entries, dtype=torch.long, device=quantizer.codebook.device)
    counts = none if chosen is None else chosen
    if process_count() > 1:
        distributed_utils.all_reduce(counts, group=distributed_utils.get_data_parallel_group())
    return counts
