"""Speech to class (speaker identification)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from ..constants import ENCODER_WINDOW
from .base import SpeechDataset, SpeechLimits
from .classes import ClassLabels
from .collate import SpeechClassItem, collate_speech_class
from .errors import DataError
from .manifest import Manifest

if TYPE_CHECKING:
    from typing_extensions import Unpack


class S2CDataset(SpeechDataset):
    """Utterances and their classes. B utterances, S samples.

    | key | shape, type | content |
    |---|---|---|
    | id | (B,) int64 | manifest row, from 0 |
    | nsentences | int | B |
    | ntokens | int | B: an utterance has one class |
    | net_input.waveform | (B, S) float32 | 16 kHz, zero padded |
    | net_input.sample_lengths | (B,) int64 | samples |
    | net_input.seeds | (B,) int64 | seed of each utterance in this epoch |
    | classes | (B,) int64 | class of each utterance, from 0; None without labels |
    | target | None | fairseq looks for it |

    Args:
        labels: None to classify speech whose classes are not known.
        crop_samples: longest stretch of an utterance in training, drawn anew each epoch; evaluation takes all of it.
        limits: see `SpeechDataset`.

    Raises:
        DataError: crop_samples is smaller than one encoder window.
        ManifestError: see `SpeechDataset`.
    """

    def __init__(
        self, manifest: Manifest, labels: ClassLabels | None, *, crop_samples: int, **limits: Unpack[SpeechLimits]
    ) -> None:
        if crop_samples < ENCODER_WINDOW:
            raise DataError(f"--crop-samples is {crop_samples}; give at least one encoder window ({ENCODER_WINDOW})")
        super().__init__(manifest, crop_samples=crop_samples if limits["training"] else None, **limits)
        self.labels = labels

    def __getitem__(self, index: int) -> SpeechClassItem:
        index = int(index)
        return SpeechClassItem(
            id=index,
            seed=self.seeds.seed(index),
            waveform=torch.from_numpy(self._read(index)),
            label=None if self.labels is None else self.labels.number(index),
        )

    def _read(self, index: int):
        """A crop (S,) of the row, or all of it where it is no longer than a crop, whose length can then be checked."""
        length = int(self.sizes[index])
        spare = int(self.manifest.samples[index]) - length
        if not spare:
            return self.read(index)
        return self.read(index, int(self.seeds.rng(index).integers(spare + 1)), length)

    def collater(self, samples: Sequence[SpeechClassItem]) -> dict:
        """The batch of the class's table."""
        return collate_speech_class(samples)
