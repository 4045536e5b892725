"""The text that the encoder reads: which symbols stand at its ends, and how a long one is cut."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from .errors import DataError, ManifestError
from .labels import TextLabels
from .text_front import pack_sentences, split_sentences

# How a source text begins and ends, and why one would choose it.
TEXT_ENDS = {
    "none": "pieces alone (the published synthesis recipe)",
    "eos": "pieces </s> (the tokenizer of transformers)",
    "both": "<s> pieces </s> (pre-training)",
}


class SourceText:
    """Rows of text labels as source tokens.

    Args:
        labels: the texts.
        ends: a key of `TEXT_ENDS`.
        limit: most symbols of one text; a longer one is cut at sentence ends, then at commas, then at spaces. None for
            no limit.

    Raises:
        DataError: an unknown `ends`, a limit below 1, or a limit where the labels are pieces, which have no sentences.
    """

    def __init__(self, labels: TextLabels, *, ends: str, limit: int | None = None) -> None:
        if ends not in TEXT_ENDS:
            raise DataError(f"--text-ends is {ends!r}; choose one of {', '.join(TEXT_ENDS)}")
        if limit is not None and limit < 1:
            raise DataError(f"--max-text-symbols is {limit}, it must be at least 1")
        if limit is not None and labels.spm_model is None:
            raise DataError(
                f"--max-text-symbols {limit} cuts raw text at its sentence ends, but the labels are pieces already; "
                "give --spm-model and raw text, or drop the limit"
            )
        self.labels = labels
        self.ends = ends
        self.limit = limit

    def tokens(self, index: int) -> list[torch.Tensor]:
        """Row `index` as one text, or as several that follow each other: int64 (L,) each.

        Raises:
            ManifestError: the line is empty or not UTF-8, or the dictionary knows none of its symbols.
        """
        return [self._indices(index, symbols) for symbols in self._texts(index)]

    def _texts(self, index: int) -> list[Sequence[str]]:
        symbols = self.labels.pieces(index)
        if self.limit is None or len(symbols) <= self.limit:
            return [symbols]
        sentences = split_sentences(self.labels.lines[index])
        try:
            parts = pack_sentences(sentences, lambda part: len(self._symbols(index, part)), self.limit)
        except ManifestError:
            raise
        except ValueError as error:
            raise self.labels.error(index, str(error), "raise --max-text-symbols") from error
        texts = [self._symbols(index, part) for part in parts]
        return [text for text in texts if text]  # a part may be punctuation alone

    def _symbols(self, index: int, part: str) -> list[str]:
        return self.labels.encode(self.labels.normalised(index, part))

    def _indices(self, index: int, symbols: Sequence[str]) -> torch.Tensor:
        dictionary = self.labels.dictionary
        indices = [dictionary.index(symbol) for symbol in symbols]
        if all(each == dictionary.unk() for each in indices):
            shown = " ".join(symbols[:10])
            problem = f"every symbol is unknown to the dictionary ({shown!r})" if symbols else "no text"
            mend = "write text in the symbols of dict.txt, or give --text-normaliser"
            raise self.labels.error(index, problem, mend)
        before = [dictionary.bos()] if self.ends == "both" else []
        after = [] if self.ends == "none" else [dictionary.eos()]
        return torch.tensor([*before, *indices, *after], dtype=torch.int64)
