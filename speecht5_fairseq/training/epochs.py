"""Epochs of a training: their loader workers end with them, and their place is found on any number of processes.

Workers that are left to the garbage collector hold an update up, five seconds each.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from fairseq.data.iterators import EpochBatchIterator
from fairseq.tasks import FairseqTask

logger = logging.getLogger(__name__)
SHARDS = "num_shards"  # in the iterator's state


class PromptEpochs(FairseqTask):
    """A task that stops the workers of a training epoch when it is asked for the next one.

    fairseq makes an iterator for each epoch of a training split. It and its DataLoader hold each other (through
    ``ordered_batches``), so that a finished epoch stays until the garbage collector comes by, in the middle of some
    later update. The collector closes the queues between the processes before it finalizes the DataLoader, whose word
    to its workers then arrives nowhere: it waits for each of them until a time-out of five seconds. Stopped while the
    queues are open they are gone within milliseconds.
    """

    _training: EpochBatchIterator | None = None
    update_freq: Sequence[int] = (1,)  # fairseq's --update-freq: batches of an update, by epoch

    def get_batch_iterator(self, dataset, *args, **kwargs):
        """fairseq's; those that it uses again, of splits for validation, keep their workers."""
        batches = super().get_batch_iterator(dataset, *args, **kwargs)
        if not self.can_reuse_epoch_itr(dataset):
            before, self._training = self._training, batches
            if before is not None and before.next_epoch_idx > before.epoch:
                stop_workers(before)
            batches = self._training = PlacedBatches.of(batches, self.update_freq)
        return batches


class PlacedBatches(EpochBatchIterator):
    """fairseq's iterator, whose state tells over how many processes its batches were dealt.

    Its place is counted in batches of one process, which fairseq takes over as it is: with half as many processes half
    of what was seen would come again, with twice as many as much would be left out. fairseq also takes the place for
    one between two updates; where it is not, an epoch would end before its last batches and then begin once more.
    """

    update_freq: Sequence[int]

    @classmethod
    def of(cls, batches: EpochBatchIterator, update_freq: Sequence[int]) -> PlacedBatches:
        """The same iterator, before its first epoch."""
        placed = cls.__new__(cls)
        placed.__dict__.update(batches.__dict__)
        placed.update_freq = update_freq
        return placed

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {SHARDS: self.num_shards}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where the state was; where its batches make no whole updates, some are seen again, with a warning."""
        before, place = state_dict.get(SHARDS, self.num_shards), state_dict.get("iterations_in_epoch", 0)
        seen, epoch = place * before, state_dict["epoch"]
        frequency = self.update_freq[min(epoch, len(self.update_freq)) - 1]
        again = seen % (self.num_shards * frequency)
        if again:
            logger.warning(
                "%d batches of epoch %d were seen by %d processes; %d of them come again with %d processes and "
                "--update-freq %d",
                seen,
                epoch,
                before,
                again,
                self.num_shards,
                frequency,
            )
        super().load_state_dict({**state_dict, "iterations_in_epoch": (seen - again) // self.num_shards})


def stop_workers(batches: EpochBatchIterator) -> None:
    """End the worker processes of an iterator; an epoch that it starts later has new ones."""
    loader = batches.dataloader
    workers = None if loader is None else loader._iterator  # the persistent ones: torch has no public way to end them
    if workers is not None:
        workers._shutdown_workers()
        loader._iterator = None
