"""The one epoch of fairseq-generate, seen by the task: fairseq's loop tells of neither failures nor its end."""

from collections.abc import Callable, Iterator
from typing import Any

from ..data.collate import FailedItem


class WatchedEpoch:
    """Stands for fairseq's EpochBatchIterator where fairseq-generate asks it for its epoch.

    Args:
        batches: fairseq's own.
        on_failed: called with each utterance that could not be read; the batch goes on without it.
        on_end: called with the number of batches after the last.
    """

    def __init__(self, batches: Any, *, on_failed: Callable[[FailedItem], None], on_end: Callable[[int], None]) -> None:
        self.batches = batches
        self.on_failed = on_failed
        self.on_end = on_end

    def next_epoch_itr(self, **options: Any) -> "WatchedEpoch":
        """The iterator of batches."""
        return WatchedEpoch(self.batches.next_epoch_itr(**options), on_failed=self.on_failed, on_end=self.on_end)

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[dict]:
        for batch in self.batches:
            for item in batch.pop("failed", ()):
                self.on_failed(item)
            yield batch
        self.on_end(len(self.batches))
