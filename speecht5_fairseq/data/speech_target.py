"""What data sets with a speech target share: mel frames, speaker vectors, and utterances that cannot be read."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .archives import file_exists
from .base import SpeechDataset, SpeechOptions
from .collate import FailedItem
from .errors import DataError
from .manifest import Manifest
from .mel import log_mel

if TYPE_CHECKING:
    from typing_extensions import Unpack


class TargetOptions(SpeechOptions, total=False):
    """Keyword arguments that data sets of the jobs hand on to `SpeechTargetDataset`, which explains them."""

    with_targets: bool
    tolerant: bool
    without: Collection[int]


class SpeechTargetDataset(SpeechDataset):
    """Utterances whose target is speech in a voice.

    Args:
        with_targets: read the target recordings; generation needs none.
        tolerant: an utterance that cannot be read is a `FailedItem` under the batch's "failed" and not an error.
        without: rows that are not to be visited (done before, or known to be bad).
        options: see `SpeechDataset`.
    """

    target_column: str

    def __init__(
        self,
        manifest: Manifest,
        *,
        with_targets: bool = True,
        tolerant: bool = False,
        without: Collection[int] = (),
        **options: Unpack[SpeechOptions],
    ) -> None:
        if not with_targets:
            options["step_frames"] = 0
        super().__init__(manifest, **options)
        self.with_targets = with_targets
        self.tolerant = tolerant
        self.kept = self.kept[~np.isin(self.kept, list(without))]

    @abstractmethod
    def read_item(self, index: int) -> Any:
        """The item of row `index`."""

    @abstractmethod
    def collate(self, items: Sequence[Any]) -> dict:
        """A batch of items."""

    def __getitem__(self, index: int) -> Any:
        try:
            return self.read_item(int(index))
        except DataError as error:
            if not self.tolerant:
                raise
            return FailedItem(int(index), str(error))

    def collater(self, samples: Sequence[Any]) -> dict:
        """The batch of the class's table; "failed" beside, or alone, where utterances could not be read."""
        failed = [sample for sample in samples if isinstance(sample, FailedItem)]
        batch = self.collate([sample for sample in samples if not isinstance(sample, FailedItem)])
        return batch | {"failed": failed} if failed else batch

    def batch_by_size(self, indices: np.ndarray, *args: Any, **kwargs: Any) -> list[np.ndarray]:
        """As in `SizedDataset`; no index is no batch where the rest of a run may have been done before."""
        if self.tolerant and not len(indices):
            return []
        return super().batch_by_size(indices, *args, **kwargs)

    def target_frames(self, index: int) -> torch.Tensor | None:
        """Log-mel (N, M) of the row's target, or None without targets."""
        if not self.with_targets:
            return None
        return log_mel(torch.from_numpy(self.read(index, column=self.target_column)))

    def reference(self, index: int) -> Path | None:
        """The row's target recording, where there is such a file."""
        path = self.manifest.file_of(index, self.target_column)
        return Path(path) if path and file_exists(path) else None
