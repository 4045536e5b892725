"""Speech to speech (voice conversion, enhancement)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from .collate import ConversionItem, collate_conversion
from .speech_target import SpeechTargetDataset


class S2SDataset(SpeechTargetDataset):
    """Pairs of recordings. B utterances, S samples, N mel frames, M mel bins.

    | key | shape, type | content |
    |---|---|---|
    | id | (B,) int64 | manifest row, from 0 |
    | nsentences | int | B |
    | ntokens | int | mel frames of the targets; 0 without targets |
    | rows | (B,) int64 | 0 .. B - 1, as in `T2SDataset` |
    | net_input.waveform | (B, S) float32 | source at 16 kHz, zero padded |
    | net_input.sample_lengths | (B,) int64 | samples of the source |
    | net_input.seeds | (B,) int64 | seed of each utterance in this epoch |
    | net_input.speaker | (B, 512) float32 | vector of the target's speaker |
    | net_input.target_frames | (B, N, M) float32 | log-mel, zero padded; absent without targets |
    | net_input.frame_lengths | (B,) int64 | mel frames; absent without targets |
    | target | None | fairseq looks for it |
    | failed | list of FailedItem | with `tolerant`: utterances that could not be read, which are nowhere else |

    Sizes are the samples of the source or the target, whichever is longer.
    """

    target_column = "target_path"

    def longest(self) -> np.ndarray:
        """Samples of each row's source or target."""
        return np.maximum(self.manifest.samples, self.target_samples())

    def target_samples(self) -> np.ndarray:
        """Samples of each row's target."""
        return self.manifest.counts["target_samples"]

    def read_item(self, index: int) -> ConversionItem:
        """The item of row `index`."""
        return ConversionItem(
            id=index,
            seed=self.seeds.seed(index),
            waveform=torch.from_numpy(self.read(index)),
            target_frames=self.target_frames(index),
            speaker=self.speaker(index),
        )

    def collate(self, items: Sequence[ConversionItem]) -> dict:
        """The batch of the class's table."""
        return collate_conversion(items)
