"""Where a run stands in its training data, as fairseq's saving asks for it, and iterators that tell of each batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fairseq.data.iterators import CountingIterator, EpochBatchIterator


class Position:
    """Stands for fairseq's EpochBatchIterator where it saves: as it was before the batches of an unfinished update.

    Args:
        epoch: of the batches, from 1.
        state: of the iterator, when the update before was finished.
    """

    def __init__(self, epoch: int, state: dict[str, Any]) -> None:
        self.epoch = epoch
        self._state = state

    def end_of_epoch(self) -> bool:
        """Never: there was another batch to come."""
        return False

    def state_dict(self) -> dict[str, Any]:
        """As the iterator's own."""
        return self._state


def start_of_epoch(epoch: int) -> Position:
    """Before the first batch of an epoch, as fairseq writes it at the end of the one before."""
    return Position(epoch, {"version": 2, "epoch": epoch, "iterations_in_epoch": 0, "shuffle": True})


class ToldEpochs:
    """fairseq's EpochBatchIterator, whose batches are told of before they are loaded and when they fail.

    Args:
        batches: fairseq's own; all that is not named here is its.
        before: called before each batch is asked for.
        failed: called with the error that the loading of a batch ended with; what it returns is raised.
    """

    def __init__(
        self, batches: EpochBatchIterator, *, before: Callable[[], None], failed: Callable[[Exception], BaseException]
    ) -> None:
        self.batches = batches
        self.before = before
        self.failed = failed
        self.begun = False  # whether its epoch was asked for

    def __getattr__(self, name: str) -> Any:
        return getattr(self.batches, name)

    def __len__(self) -> int:
        return len(self.batches)

    @property
    def first_batch(self) -> Any:
        """fairseq's stand-in for processes that run out of batches: loaded here, at the start of an epoch."""
        try:
            return self.batches.first_batch
        except Exception as error:
            raise self.failed(error) from error

    def next_epoch_itr(self, **options: Any) -> ToldBatches:
        """The iterator of an epoch; loader processes that went on from the epoch before are asked here already."""
        try:
            batches = self.batches.next_epoch_itr(**options)
        except Exception as error:
            raise self.failed(error) from error
        self.begun = True
        return ToldBatches(batches, before=self.before, failed=self.failed)


class ToldBatches(CountingIterator):
    """fairseq's iterator of an epoch's batches; see ``ToldEpochs``."""

    def __init__(
        self, batches: CountingIterator, *, before: Callable[[], None], failed: Callable[[Exception], BaseException]
    ) -> None:
        super().__init__(batches, start=batches.n, total=len(batches))
        self.batches = batches
        self.before = before
        self.failed = failed

    def __next__(self) -> Any:
        self.before()
        try:
            return super().__next__()
        except StopIteration:
            raise
        except Exception as error:
            raise self.failed(error) from error

    def take(self, n: int) -> ToldBatches:
        """fairseq's, of both iterators: the inner one says where the epoch ends."""
        self.batches.take(n)
        self.total = min(self.total, n)
        return self
