"""Joint pre-training: batches that each hold one batch of speech and one of text."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from fairseq.data import FairseqDataset

from .collate import NoisedTextItem, UnitSpeechItem
from .errors import DataError
from .pretrain_speech import PretrainSpeechDataset
from .pretrain_text import PretrainTextDataset
from .seeding import utterance_rng


class JointPretrainDataset(FairseqDataset):
    """Speech and text in every batch, so that every update sees both, whatever the rank or --update-freq.

    | key | type | content |
    |---|---|---|
    | speech | dict | batch of `PretrainSpeechDataset`; in validation absent where speech has run out |
    | text | dict | batch of `PretrainTextDataset`; absent without text, in validation also where it has run out |
    | id | (B,) int64 | speech indices, then text indices + the number of speech rows |
    | nsentences | int | B, utterances and texts |

    Indices: speech rows first, then texts. An epoch is one pass over the speech; the text is a stream of its own that
    goes on from epoch to epoch: pass j over it has its batches made and ordered by (seed, j). A text that comes again
    within one epoch has an index beyond `len`, from which `PretrainTextDataset` draws other noise.

    Args:
        text: None for speech alone.
        seed: of the text's order.
        text_batch_ratio: a batch holds up to max_tokens samples of speech and this share of max_tokens tokens of text.
        cycle_text: the stream described above; False (validation): every speech and text batch exactly once.

    Raises:
        DataError: text_batch_ratio is not positive.
    """

    def __init__(
        self,
        speech: PretrainSpeechDataset,
        text: PretrainTextDataset | None,
        *,
        seed: int,
        text_batch_ratio: float = 0.0086,
        cycle_text: bool = True,
    ) -> None:
        if not text_batch_ratio > 0:
            raise DataError(f"--text-batch-ratio is {text_batch_ratio}; give a positive share of --max-tokens")
        self.speech = speech
        self.text = text
        self.seed = seed
        self.text_batch_ratio = text_batch_ratio
        self.cycle_text = cycle_text
        self.epoch = 1

    @property
    def can_reuse_epoch_itr_across_epochs(self) -> bool:
        """Not while the text stream moves on."""
        return not self.cycle_text

    def set_epoch(self, epoch: int) -> None:
        """Start fairseq's epoch (from 1): it says where the text stream stands, and seeds both parts."""
        self.epoch = epoch
        for part in self._parts():
            part.set_epoch(epoch)

    def __len__(self) -> int:
        return sum(map(len, self._parts()))

    def __getitem__(self, index: int) -> UnitSpeechItem | NoisedTextItem:
        part, index = self._locate(index)
        return part[index]

    def num_tokens(self, index: int) -> int:
        """Samples of speech or tokens of text."""
        part, index = self._locate(index)
        return part.num_tokens(index % len(part))

    def size(self, index: int) -> int:
        """Samples of speech or tokens of text."""
        return self.num_tokens(index)

    def ordered_indices(self) -> np.ndarray:
        """Each part by size, speech first. `batch_by_size` keeps the order of the speech, not that of cycled text."""
        if self.text is None:
            return self.speech.ordered_indices()
        return np.concatenate([self.speech.ordered_indices(), self.text.ordered_indices() + len(self.speech)])

    def batch_by_size(
        self,
        indices: np.ndarray,
        max_tokens: int | None = None,
        max_sentences: int | None = None,
        required_batch_size_multiple: int = 1,
    ) -> list[np.ndarray]:
        """This epoch's batches, in an order that fairseq shuffles by its own seed and the epoch.

        Args:
            max_tokens: samples of speech in a batch; text has `text_batch_ratio` of it.
            max_sentences: utterances in a batch, and texts in a batch.

        Raises:
            DataError: an item is larger than its part of a batch.
        """
        limits = {"max_sentences": max_sentences, "required_batch_size_multiple": required_batch_size_multiple}
        is_speech = indices < len(self.speech)
        speech = self.speech.batch_by_size(indices[is_speech], max_tokens=max_tokens, **limits)
        if self.text is None:
            return speech
        limits["max_tokens"] = None if max_tokens is None else max(1, int(max_tokens * self.text_batch_ratio))
        texts = indices[~is_speech] - len(self.speech)
        if self.cycle_text:
            return self._pair(speech, self._text_stream(np.sort(texts), (self.epoch - 1) * len(speech), limits))
        return self._pair(speech, self.text.batch_by_size(texts, **limits))

    def _text_stream(self, texts: np.ndarray, position: int, limits: dict) -> Iterator[np.ndarray]:
        """Text batches from the stream's batch `position` on, without end.

        Every pass has the same number of batches, for its items are the same sizes in the same order of size.
        """
        first, skip = divmod(position, len(self._text_pass(texts, 0, limits)))
        for number in itertools.count(first):
            for batch in self._text_pass(texts, number, limits)[skip:]:
                yield batch + (number - first) * len(self.text)
            skip = 0

    def _text_pass(self, texts: np.ndarray, number: int, limits: dict) -> list[np.ndarray]:
        """All text batches in the order of pass `number` over the text."""
        rng = utterance_rng(self.seed, number, 0)
        sizes = self.text.sizes[texts]
        batches = self.text.batch_by_size(texts[np.lexsort((rng.permutation(len(texts)), sizes))[::-1]], **limits)
        return [batches[place] for place in rng.permutation(len(batches))]

    def _pair(self, speech: list[np.ndarray], texts: list[np.ndarray] | Iterator[np.ndarray]) -> list[np.ndarray]:
        """Join each speech batch with the next text batch; of a list of text batches none is left over."""
        if isinstance(texts, list):
            empty = np.zeros(0, dtype=np.int64)
            longest = max(len(speech), len(texts))
            speech = speech + [empty] * (longest - len(speech))
            texts = texts + [empty] * (longest - len(texts))
        pairs = zip(speech, texts, strict=False)
        return [np.concatenate([batch, text + len(self.speech)]) for batch, text in pairs]

    def collater(self, samples: Sequence[UnitSpeechItem | NoisedTextItem]) -> dict:
        """The batch of the class's table; {} of no samples, as fairseq pads the shards of several processes."""
        batch: dict = {}
        speech = [item for item in samples if isinstance(item, UnitSpeechItem)]
        texts = [item for item in samples if isinstance(item, NoisedTextItem)]
        if speech:
            batch["speech"] = self.speech.collater(speech)
        if texts:
            batch["text"] = self.text.collater(texts)
        if batch:
            ids = [item.id for item in speech] + [item.id + len(self.speech) for item in texts]
            batch |= {"id": torch.tensor(ids, dtype=torch.int64), "nsentences": len(ids)}
        return batch

    def places(self, batch: dict) -> list[str]:
        """Where each utterance and text of a batch, or of one of its parts, stands."""
        parts = {"speech": self.speech, "text": self.text}
        return [place for name, part in parts.items() if name in batch for place in part.places(batch[name])]

    def _parts(self) -> list[PretrainSpeechDataset | PretrainTextDataset]:
        return [self.speech] if self.text is None else [self.speech, self.text]

    def _locate(self, index: int) -> tuple[PretrainSpeechDataset | PretrainTextDataset, int]:
        index = int(index)
        if index < len(self.speech) or self.text is None:
            return self.speech, index
        return self.text, index - len(self.speech)
