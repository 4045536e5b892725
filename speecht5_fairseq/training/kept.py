"""Training steps that hear of requests to stop, and training data whose failures are heard of."""

from typing import Any

from fairseq.criterions import FairseqCriterion
from fairseq.optim import FairseqOptimizer
from torch import Tensor, nn

from .epochs import PromptEpochs
from .keeper import Keeper

ASKED = "_stop_asked"  # in every logging output: fairseq adds the processes' up, so that all know at the same update


class KeptTask(PromptEpochs):
    """A task whose training saves before it stops; see ``Keeper``.

    Attributes:
        keeper: of the training; None before fairseq has loaded what it goes on from, and in all that does not train.
    """

    keeper: Keeper | None = None

    def train_step(
        self,
        sample: dict,
        model: nn.Module,
        criterion: FairseqCriterion,
        optimizer: FairseqOptimizer,
        update_num: int,
        ignore_grad: bool = False,
    ) -> tuple[Tensor, int, dict]:
        """fairseq's step; the logging output tells whether this process was asked to stop."""
        loss, size, log = super().train_step(sample, model, criterion, optimizer, update_num, ignore_grad)
        return loss, size, log | self._request()

    def valid_step(self, sample: dict, model: nn.Module, criterion: FairseqCriterion) -> tuple[Tensor, int, dict]:
        """As ``train_step``."""
        if self.keeper is not None:
            self.keeper.before_validation()
        loss, size, log = super().valid_step(sample, model, criterion)
        return loss, size, log | self._request()

    def reduce_metrics(self, logging_outputs: list[dict], criterion: FairseqCriterion) -> None:
        """fairseq's sums; here all processes have heard of each other's requests."""
        super().reduce_metrics(logging_outputs, criterion)
        if self.keeper is not None and sum(int(log.get(ASKED, 0)) for log in logging_outputs):
            self.keeper.agreed = True

    def get_batch_iterator(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        """fairseq's; in training the keeper is told of its batches."""
        batches = super().get_batch_iterator(dataset, *args, **kwargs)
        if self.keeper is None:
            return batches
        return (self.keeper.watch_validation if self.can_reuse_epoch_itr(dataset) else self.keeper.watch)(batches)

    def _request(self) -> dict[str, int]:
        """Nothing where nobody keeps the training, a loss that is computed by hand say."""
        if self.keeper is None:
            return {}
        return {ASKED: int(self.keeper.signals.asked is not None)}
