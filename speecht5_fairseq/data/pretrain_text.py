"""Text for joint pre-training: sentences of a fairseq-preprocess binary, noised by text infilling."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from fairseq.data import Dictionary, TokenBlockDataset, data_utils

from ..constants import MASK_SYMBOL
from ..ranges import SHARE, RangeError, Rule, read_value, whole
from .base import SizedDataset
from .collate import NoisedTextItem, collate_noised_text
from .errors import DataError
from .infilling import SPAN, infill

logger = logging.getLogger(__name__)

BREAK_MODES = ("sentence", "complete")
TEXT_TOKENS = Rule(whole(3), "3 or more (<s>, a piece, </s>)")


class PretrainTextDataset(SizedDataset):
    """Texts and their noised copies. B texts, L clean and Ls noised tokens. Sizes are in tokens with <s> and </s>.

    | key | shape, type | content |
    |---|---|---|
    | id | (B,) int64 | index of the text |
    | nsentences | int | B |
    | ntokens | int | target tokens with <s> and </s> |
    | net_input.source_tokens | (B, Ls) int64 | <s> noised pieces </s>, right padded |
    | net_input.seeds | (B,) int64 | seed of each text in this epoch |
    | net_input.prev_output_tokens | (B, L) int64 | </s> <s> pieces, right padded |
    | target | (B, L) int64 | <s> pieces </s>, right padded |
    | target_lengths | (B,) int64 | tokens with <s> and </s> |

    Indices may run past the end: index len + i is text i once more, with other noise (a repeat within one epoch).

    Args:
        binary: `open_text_binary(...)`: sentences that end with </s>.
        dictionary: `load_text_dictionary(...)`.
        tokens_per_text_sample: most tokens of a text, <s> and </s> counted; a longer sentence goes on in the next text.
        break_mode: "sentence" for one sentence a text, "complete" for as many whole sentences as fit.
        ratio, mean_span, random_ratio: see `infill`.

    Raises:
        DataError: an option out of range, a binary that was not made by fairseq-preprocess, or no text in it.
    """

    too_large_mend = "raise --max-tokens or --text-batch-ratio, or lower --tokens-per-text-sample"

    def __init__(
        self,
        binary: torch.utils.data.Dataset,
        dictionary: Dictionary,
        *,
        name: str = "text",
        seed: int,
        training: bool,
        tokens_per_text_sample: int = 512,
        break_mode: str = "sentence",
        ratio: float = 0.3,
        mean_span: float = 3.5,
        random_ratio: float = 0.1,
    ) -> None:
        if break_mode not in BREAK_MODES:
            raise DataError(f"--text-break is {break_mode!r}; choose one of {', '.join(BREAK_MODES)}")
        _check_ranges(
            tokens_per_text_sample=(tokens_per_text_sample, TEXT_TOKENS),
            infilling_ratio=(ratio, SHARE),
            infilling_span=(mean_span, SPAN),
            infilling_random=(random_ratio, SHARE),
        )
        self.name = name
        self.dictionary = dictionary
        self.mask_index = dictionary.index(MASK_SYMBOL)
        self.noise = {"ratio": ratio, "mean_span": mean_span, "random_ratio": random_ratio}
        block = tokens_per_text_sample - 2  # without <s> and </s>
        self.texts = SentenceParts(binary, block=block, eos=dictionary.eos(), name=name)
        if break_mode == "complete":
            self.texts = TokenBlockDataset(
                self.texts,
                self.texts.sizes,
                block_size=block,
                pad=dictionary.pad(),
                eos=dictionary.eos(),
                break_mode="complete",
                document_sep_len=0,
            )
        sizes = self.texts.sizes.astype(np.int64) + 2
        super().__init__(sizes=sizes, kept=np.arange(len(sizes)), seed=seed, training=training)

    def __getitem__(self, index: int) -> NoisedTextItem:
        repeat, index = divmod(int(index), len(self))
        target = self._clean(index)
        source = infill(
            target.numpy(),
            rng=self.seeds.rng(index, repeat),
            mask_index=self.mask_index,
            random_range=(self.dictionary.nspecial, self.mask_index),
            **self.noise,
        )
        return NoisedTextItem(
            id=index, seed=self.seeds.seed(index, repeat), source=torch.from_numpy(source), target=target
        )

    def _clean(self, index: int) -> torch.Tensor:
        """<s> pieces </s> of text `index`: int64 (L,)."""
        pieces = self.texts[index].to(torch.int64)
        if int(pieces.max()) >= self.mask_index:
            problem = f"token index {int(pieces.max())} is beyond the dictionary's {self.mask_index} symbols"
            raise DataError(f"{self.describe(index)}: {problem}; preprocess the text with this dict.txt")
        ends = pieces.new_tensor([self.dictionary.bos(), self.dictionary.eos()])
        return torch.cat([ends[:1], pieces, ends[1:]])

    def collater(self, samples: Sequence[NoisedTextItem]) -> dict:
        """The batch of the class's table."""
        return collate_noised_text(samples, pad=self.dictionary.pad(), eos=self.dictionary.eos())

    def describe(self, index: int | None = None) -> str:
        """The data's name, with the number of text `index` where it is given."""
        return self.name if index is None else f"{self.name}: text {index}"


def _check_ranges(**given: tuple[float, Rule]) -> None:
    """Check values by the names of their options, as the task does before a data set is opened.

    Raises:
        DataError: the first that is out of its range.
    """
    try:
        for name, (value, rule) in given.items():
            read_value(name, value, rule)
    except RangeError as error:
        raise DataError(str(error)) from error


class SentenceParts(torch.utils.data.Dataset):
    """Sentences without their </s>, longer ones cut into parts of `block` tokens; empty ones are left out, counted.

    Attributes:
        sizes: int32 (parts,), tokens.
    """

    def __init__(self, binary: torch.utils.data.Dataset, *, block: int, eos: int, name: str) -> None:
        self.binary = binary
        for index in {0, len(binary) - 1} if len(binary) else ():
            if not len(binary[index]) or int(binary[index][-1]) != eos:
                raise DataError(f"{name}: sentence {index} does not end with </s>; make it with fairseq-preprocess")
        lengths = np.asarray(binary.sizes, dtype=np.int64) - 1
        empty = int((lengths <= 0).sum())
        if empty == len(lengths):
            raise DataError(f"{name}: no sentence has any token; make it again from the text")
        if empty:
            logger.warning("%s: left out %s empty sentences of %s", name, f"{empty:,}", f"{len(lengths):,}")
        parts = np.maximum(-(-lengths // block), 0)
        self.sentence = np.repeat(np.arange(len(lengths)), parts)
        part = np.arange(parts.sum()) - np.repeat(parts.cumsum() - parts, parts)
        self.start = (part * block).astype(np.int32)
        self.sizes = np.minimum(lengths[self.sentence] - self.start, block).astype(np.int32)

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, index: int) -> torch.Tensor:
        start = int(self.start[index])
        return self.binary[int(self.sentence[index])][start : start + int(self.sizes[index])]


def open_text_binary(folder: str | Path, split: str, dictionary: Dictionary) -> torch.utils.data.Dataset:
    """Open `<folder>/<split>.bin` and `.idx`, and `<split>1`, `<split>2`, ... where they exist, memory-mapped.

    Raises:
        DataError: there is no such binary.
    """
    binary = data_utils.load_indexed_dataset(str(Path(folder) / split), dictionary, "mmap", combine=True)
    if binary is None:
        mend = "make it with `python -m manifest_tools.text_corpus`"
        raise DataError(f"{Path(folder) / split}.bin and .idx: no text binary; {mend}")
    return binary
