"""From the symbols of a text dictionary to words."""

from collections.abc import Iterable

WORD_START = "\u2581"  # sentencepiece's mark before the first piece of a word


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
