"""Speech for joint pre-training: random crops with their units, mel frames and speaker vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from ..constants import ENCODER_STRIDE, ENCODER_WINDOW
from .base import SpeechDataset, SpeechOptions
from .collate import UnitSpeechItem, collate_unit_speech
from .labels import UnitLabels, check_count
from .manifest import Manifest
from .mel import log_mel

if TYPE_CHECKING:
    from typing_extensions import Unpack


class PretrainSpeechDataset(SpeechDataset):
    """Crops of utterances. B utterances, S samples, T encoder frames, N mel frames, M mel bins.

    | key | shape, type | content |
    |---|---|---|
    | id | (B,) int64 | manifest row, from 0 |
    | nsentences | int | B |
    | ntokens | int | units in the batch |
    | net_input.waveform | (B, S) float32 | 16 kHz, zero padded |
    | net_input.sample_lengths | (B,) int64 | samples |
    | net_input.seeds | (B,) int64 | seed of each utterance in this epoch |
    | net_input.target_frames | (B, N, M) float32 | log-mel of the same crop, zero padded |
    | net_input.frame_lengths | (B,) int64 | mel frames |
    | net_input.speaker | (B, 512) float32 | speaker vector; absent when the manifest has no such column |
    | target.units | (B, T) int64 | class of each encoder frame, -100 where padded or unknown |

    A crop starts at a multiple of the encoder's stride, so that encoder frame t of the crop is frame start / stride + t
    of the utterance and its unit is the utterance's own.

    Args:
        crop_samples: longest crop; --max-tokens counts the samples that remain.
        options: see `SpeechDataset`.

    Raises:
        DataError, ManifestError: the labels are not one line a row, or see `SpeechDataset`.
    """

    def __init__(
        self, manifest: Manifest, labels: UnitLabels, *, crop_samples: int = 250_000, **options: Unpack[SpeechOptions]
    ) -> None:
        check_count(manifest, labels)
        super().__init__(manifest, crop_samples=crop_samples, **options)
        self.labels = labels

    def __getitem__(self, index: int) -> UnitSpeechItem:
        index = int(index)
        length = int(self.sizes[index])
        first_frame = self._first_frame(index)
        waveform = torch.from_numpy(self.read_crop(index, first_frame * ENCODER_STRIDE))
        return UnitSpeechItem(
            id=index,
            seed=self.seeds.seed(index),
            waveform=waveform,
            target_frames=log_mel(waveform),
            units=self.labels.frame_classes(index, first_frame, encoder_frames(length)),
            speaker=self.speaker(index) if self.manifest.has("speaker") else None,
        )

    def _first_frame(self, index: int) -> int:
        """Encoder frame at which this epoch's crop of row `index` starts."""
        return int(self.seeds.rng(index).integers(self.spare(index) // ENCODER_STRIDE + 1))

    def collater(self, samples: Sequence[UnitSpeechItem]) -> dict:
        """The batch of the class's table."""
        return collate_unit_speech(samples)


def encoder_frames(samples: int) -> int:
    """T for a waveform of that many samples: the extractor pads nothing, so its layers act as one of their product."""
    return (samples - ENCODER_WINDOW) // ENCODER_STRIDE + 1
