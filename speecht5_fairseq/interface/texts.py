"""Texts in for synthesis, and tokens of a search out as words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fairseq.data import Dictionary
from fairseq.data.data_utils import post_process
from torch import Tensor

from ..data.labels import TextLabels
from ..data.source_text import SourceText
from ..data.text_normalisation import travelled_normaliser
from .loading import Loaded

WORD_START = "\u2581"  # sentencepiece's mark of a space


class GivenTexts:
    """Texts in place of a file of them, for `TextLabels`: an error names the text by its place, from 1."""

    path = Path("text")

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = list(texts)

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, index: int) -> str:
        return self.texts[index]

    def line_number(self, index: int) -> int:
        """The place of a text, from 1."""
        return index + 1


def parts_of_texts(
    texts: Sequence[str], loaded: Loaded, longest: int, normaliser: str | None = None
) -> list[list[Tensor]]:
    """Tokens (L,) of each text, of several parts where it has more than ``longest`` symbols.

    The ends are those of the training, and so is the normaliser where none is given.

    Raises:
        DataError: a normaliser for a model that reads pieces, or one that the checkpoint may not name.
        ManifestError: a text that is empty, or of unknown symbols alone; names its place.
    """
    task, raw = loaded.source.task, loaded.pieces is not None
    saved = task.get("text_normaliser") if raw else None
    normaliser = travelled_normaliser(normaliser, saved, loaded.source.path)
    labels = TextLabels(GivenTexts(texts), loaded.dictionary, loaded.pieces, normaliser=normaliser)
    source = SourceText(labels, ends=task.get("text_ends") or "none", limit=longest if raw else None)
    return [source.tokens(number) for number in range(len(texts))]


def words_of(tokens: Tensor, dictionary: Dictionary) -> str:
    """Tokens (L,) of one text, with or without </s>, as words; symbols stand apart where no piece marks a word."""
    line = dictionary.string(tokens)
    marked = any(symbol.startswith(WORD_START) for symbol in dictionary.symbols)
    return post_process(line, "sentencepiece").strip() if marked else line
