"""Text to speech (synthesis)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .collate import FailedItem, SynthesisItem, collate_synthesis
from .labels import check_count
from .manifest import Manifest
from .source_text import SourceText
from .speech_target import SpeechTargetDataset

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .speech_target import TargetOptions


class T2SDataset(SpeechTargetDataset):
    """Texts and their recordings. B utterances, P texts, L tokens, N mel frames, M mel bins.

    | key | shape, type | content |
    |---|---|---|
    | id | (B,) int64 | manifest row, from 0 |
    | nsentences | int | B |
    | ntokens | int | mel frames of the targets; 0 without targets |
    | rows | (P,) int64 | utterance (place in the batch) of each text: a long text is several; else 0 .. B - 1 |
    | net_input.source_tokens | (P, L) int64 | pieces with the ends of `SourceText`, right padded |
    | net_input.seeds | (B,) int64 | seed of each utterance in this epoch |
    | net_input.speaker | (B, 512) float32 | speaker vector |
    | net_input.target_frames | (B, N, M) float32 | log-mel, zero padded; absent without targets |
    | net_input.frame_lengths | (B,) int64 | mel frames; absent without targets |
    | target | None | fairseq looks for it |
    | failed | list of FailedItem | with `tolerant`: utterances that could not be read, which are nowhere else |

    Args:
        text: the source texts.
        options: see `SpeechTargetDataset`; sizes are the samples column, the recordings' length.

    Raises:
        ManifestError: the labels are not one line a row, or see `SpeechDataset`.
    """

    target_column = "path"

    def __init__(self, manifest: Manifest, text: SourceText, **options: Unpack[TargetOptions]) -> None:
        check_count(manifest, text.labels)
        super().__init__(manifest, **options)
        self.text = text

    def read_item(self, index: int) -> SynthesisItem:
        """The item of row `index`."""
        return SynthesisItem(
            id=index,
            seed=self.seeds.seed(index),
            texts=self.text.tokens(index),
            target_frames=self.target_frames(index),
            speaker=self.speaker(index),
        )

    def collate(self, items: Sequence[SynthesisItem | FailedItem]) -> dict:
        """The batch of the class's table."""
        return collate_synthesis(items, pad=self.text.labels.dictionary.pad())
