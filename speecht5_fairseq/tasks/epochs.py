"""Loader workers end with their epoch: left to the garbage collector they hold an update up, five seconds each."""

from fairseq.data.iterators import EpochBatchIterator
from fairseq.tasks import FairseqTask


class PromptEpochs(FairseqTask):
    """A task that stops the workers of a training epoch when it is asked for the next one.

    fairseq makes an iterator for each epoch of a training split. It and its DataLoader hold each other (through
    ``ordered_batches``), so that a finished epoch stays until the garbage collector comes by, in the middle of some
    later update. The collector closes the queues between the processes before it finalizes the DataLoader, whose word
    to its workers then arrives nowhere: it waits for each of them until a time-out of five seconds. Stopped while the
    queues are open they are gone within milliseconds.
    """

    _training: EpochBatchIterator | None = None

    def get_batch_iterator(self, dataset, *args, **kwargs):
        """fairseq's; those that it uses again, of splits for validation, keep their workers."""
        batches = super().get_batch_iterator(dataset, *args, **kwargs)
        if not self.can_reuse_epoch_itr(dataset):
            before, self._training = self._training, batches
            if before is not None and before.next_epoch_idx > before.epoch:
                stop_workers(before)
        return batches


def stop_workers(batches: EpochBatchIterator) -> None:
    """End the worker processes of an iterator; an epoch that it starts later has new ones."""
    loader = batches.dataloader
    workers = None if loader is None else loader._iterator  # the persistent ones: torch has no public way to end them
    if workers is not None:
        workers._shutdown_workers()
        loader._iterator = None
