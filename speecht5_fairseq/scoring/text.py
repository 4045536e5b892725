"""From the symbols of a text dictionary to words."""

import logging
from collections.abc import Iterable, Sequence
from typing import NamedTuple

logger = logging.getLogger(__name__)

WORD_START = "\u2581"  # sentencepiece's mark before the first piece of a word
# What fairseq-generate prints of <unk>, and one private character for it, never the same on both sides: left as they
# are, BLEU's tokenizer takes both apart into equal words, and a CER counts the letters of "unk".
_REFERENCE_UNKNOWN = ("<<unk>>", "\ue000")
_HYPOTHESIS_UNKNOWN = ("<unk>", "\ue001")


class Lines(NamedTuple):
    """References and hypotheses as they are scored."""

    references: list[str]
    hypotheses: list[str]


def scored_lines(references: Sequence[str], hypotheses: Sequence[str]) -> Lines:
    """Words of what fairseq-generate prints, which may be pieces (any line with the mark makes all of them pieces).

    A symbol that the dictionary lacks is one character, which no hypothesis has right.
    """
    if has_pieces(references) or has_pieces(hypotheses):
        references, hypotheses = map(pieces_to_words, references), map(pieces_to_words, hypotheses)
    return Lines(
        [line.replace(*_REFERENCE_UNKNOWN) for line in references],
        [line.replace(*_HYPOTHESIS_UNKNOWN) for line in hypotheses],
    )


def warn_of_unknown(references: Sequence[str]) -> None:
    """Log how many references of ``scored_lines`` no hypothesis can equal."""
    holes = sum(_REFERENCE_UNKNOWN[1] in line for line in references)
    if holes:
        logger.warning(
            "%d of %d references have symbols that the dictionary lacks (<unk>), each an error whatever is decoded: "
            "check that the texts are in the symbols of dict.txt",
            holes,
            len(references),
        )


def has_pieces(lines: Iterable[str]) -> bool:
    """Whether the lines are sentencepiece pieces separated by spaces, and not words: any of them has the mark."""
    return any(WORD_START in line for line in lines)


def pieces_to_words(line: str) -> str:
    """Join sentencepiece pieces into words: "\u2581SPEE CH \u2581 T O" -> "SPEECH TO".

    Args:
        line: pieces separated by spaces; a piece that is the mark alone starts a word too.

    Returns: words separated by one space, none at the ends.
    """
    joined = "".join(line.split()).replace(WORD_START, " ")
    return " ".join(joined.split())
