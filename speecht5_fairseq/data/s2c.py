"""Speech to class (speaker identification)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from .base import SpeechDataset, SpeechOptions
from .classes import ClassLabels
from .collate import SpeechClassItem, collate_speech_class
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
        options: see `SpeechDataset`.

    Raises:
        DataError, ManifestError: see `SpeechDataset`.
    """

    def __init__(
        self, manifest: Manifest, labels: ClassLabels | None, *, crop_samples: int, **options: Unpack[SpeechOptions]
    ) -> None:
        super().__init__(manifest, crop_samples=crop_samples if options["training"] else None, **options)
        self.labels = labels

    def __getitem__(self, index: int) -> SpeechClassItem:
        index = int(index)
        start = int(self.seeds.rng(index).integers(self.spare(index) + 1))
        return SpeechClassItem(
            id=index,
            seed=self.seeds.seed(index),
            waveform=torch.from_numpy(self.read_crop(index, start)),
            label=None if self.labels is None else self.labels.number(index),
        )

    def collater(self, samples: Sequence[SpeechClassItem]) -> dict:
        """The batch of the class's table."""
        return collate_speech_class(samples)
