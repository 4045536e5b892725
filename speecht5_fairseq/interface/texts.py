"""Texts in for synthesis, and tokens of a search out as words."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from fairseq.data import Dictionary
from fairseq.data.data_utils import post_process
from torch import Tensor

from ..data.labels import TextLabels
from ..data.row_checks import named_counts
from ..data.source_text import SourceText
from ..data.text_normalisation import travelled_normaliser
from .loading import Loaded

logger = logging.getLogger(__name__)

LONGEST_TEXT = 300  # symbols of a text that is not cut at its sentence ends
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
    texts: Sequence[str], loaded: Loaded, longest: int | None = None, normaliser: str | None = None
) -> list[list[Tensor]]:
    """Tokens (L,) of each text, of several parts where it has more than ``longest`` symbols.

    The ends are those of the training, and so is the normaliser where none is given. Symbols that the dictionary lacks
    are warned of.

    Args:
        longest: None for 300, and for no cut where the model reads pieces.

    Raises:
        DataError: a normaliser or ``longest`` for a model that reads pieces, or a normaliser that the checkpoint may
            not name.
        ManifestError: a text that is empty, of unknown symbols alone, or raw where the model reads pieces; names its
            place.
    """
    task, raw = loaded.source.task, loaded.pieces is not None
    saved = task.get("text_normaliser") if raw else None
    normaliser = travelled_normaliser(normaliser, saved, loaded.source.path)
    labels = TextLabels(GivenTexts(texts), loaded.dictionary, loaded.pieces, normaliser=normaliser)
    if not raw:
        _refuse_raw(labels)
    limit = LONGEST_TEXT if longest is None and raw else longest
    source = SourceText(labels, ends=task.get("text_ends") or "none", limit=limit)
    found = [source.tokens(number) for number in range(len(texts))]
    _warn_of_unknown(labels)
    return found


def _refuse_raw(labels: TextLabels) -> None:
    """Raises ManifestError for a text without sentencepiece's mark where the dictionary's symbols have it."""
    if not _marks_words(labels.dictionary):
        return
    for number, text in enumerate(labels.lines):
        if text.strip() and WORD_START not in text:
            problem = f"{text[:80]!r} is no line of pieces, and the checkpoint holds no sentencepiece model to cut it"
            mend = "give the one of the training: spm_model='spm.model' (--spm-model); or pieces with spaces between"
            raise labels.error(number, problem, mend)


def _warn_of_unknown(labels: TextLabels) -> None:
    counts: Counter[str] = Counter()
    for number in range(len(labels)):
        counts.update(labels.unknown(labels.pieces(number)))
    if counts:
        logger.warning(
            "unknown symbols: %s; the model does not know how they sound: write them in the symbols of the dictionary, "
            "or give a normaliser ('en' makes numbers words)",
            named_counts(counts),
        )


def _marks_words(dictionary: Dictionary) -> bool:
    """Whether symbols carry sentencepiece's mark."""
    return any(symbol.startswith(WORD_START) for symbol in dictionary.symbols)


def words_of(tokens: Tensor, dictionary: Dictionary) -> str:
    """Tokens (L,) of one text, with or without </s>, as words; symbols stand apart where no piece marks a word."""
    line = dictionary.string(tokens)
    return post_process(line, "sentencepiece").strip() if _marks_words(dictionary) else line
