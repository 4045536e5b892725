"""Speech to text (recognition, translation)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from fairseq.data import Dictionary

from .base import SpeechDataset, SpeechOptions
from .collate import SpeechTextItem, collate_speech_text
from .labels import TextLabels, check_count
from .manifest import Manifest

if TYPE_CHECKING:
    from typing_extensions import Unpack


class S2TDataset(SpeechDataset):
    """Utterances and their texts. B utterances, S samples, L tokens.

    | key | shape, type | content |
    |---|---|---|
    | id | (B,) int64 | manifest row, from 0 |
    | nsentences | int | B |
    | ntokens | int | target tokens with </s>; 0 without labels |
    | net_input.waveform | (B, S) float32 | 16 kHz, zero padded |
    | net_input.sample_lengths | (B,) int64 | samples |
    | net_input.seeds | (B,) int64 | seed of each utterance in this epoch |
    | net_input.prev_output_tokens | (B, L) int64 | </s> pieces, right padded; absent without labels |
    | target | (B, L) int64 | pieces </s>, right padded; None without labels |
    | target_lengths | (B,) int64 | tokens with </s>; None without labels |

    Args:
        labels: None to decode speech without transcripts.
        dictionary: of the target text.
        options: see `SpeechDataset`.

    Raises:
        ManifestError: the labels are not one line a row, or see `SpeechDataset`.
    """

    def __init__(
        self,
        manifest: Manifest,
        labels: TextLabels | None,
        dictionary: Dictionary,
        **options: Unpack[SpeechOptions],
    ) -> None:
        if labels is not None:
            check_count(manifest, labels)
        super().__init__(manifest, **options)
        self.labels = labels
        self.dictionary = dictionary

    def __getitem__(self, index: int) -> SpeechTextItem:
        index = int(index)
        return SpeechTextItem(
            id=index,
            seed=self.seeds.seed(index),
            waveform=torch.from_numpy(self.read(index)),
            target=None if self.labels is None else self.labels.tokens(index),
        )

    def collater(self, samples: Sequence[SpeechTextItem]) -> dict:
        """The batch of the class's table."""
        return collate_speech_text(samples, pad=self.dictionary.pad(), eos=self.dictionary.eos())
