"""Word and character error rates of a corpus.

The rate of a corpus is the sum of all edits over the sum of all reference words (or characters): long utterances
count for more than short ones, unlike in a mean of rates.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import editdistance


class ErrorCount(NamedTuple):
    """Edits of a corpus, and what they are counted against."""

    errors: int  # insertions, deletions and substitutions together
    reference: int  # words or characters of the references

    @property
    def percent(self) -> float:
        """100 * errors / reference; 0 for an empty corpus without errors, infinite for insertions into nothing."""
        if self.reference == 0:
            return 0.0 if self.errors == 0 else float("inf")
        return 100.0 * self.errors / self.reference


def edits(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """Levenshtein distance: fewest insertions, deletions and substitutions between two sequences."""
    return int(editdistance.eval(reference, hypothesis))


def word_errors(references: Sequence[str], hypotheses: Sequence[str]) -> ErrorCount:
    """Edits between the words of each pair of lines; words are separated by white space.

    Raises:
        ValueError: lists of different lengths.
    """
    return _count(references, hypotheses, str.split)


def character_errors(references: Sequence[str], hypotheses: Sequence[str]) -> ErrorCount:
    """Edits between the characters of each pair of lines, a single space between words counted as a character.

    Raises:
        ValueError: lists of different lengths.
    """
    return _count(references, hypotheses, lambda line: list(" ".join(line.split())))


def _count(references: Sequence[str], hypotheses: Sequence[str], split: Callable[[str], Sequence[str]]) -> ErrorCount:
    if len(references) != len(hypotheses):
        raise ValueError(
            f"{len(references)} references and {len(hypotheses)} hypotheses: give one hypothesis a reference, in the "
            "same order"
        )
    pairs = list(zip(map(split, references), map(split, hypotheses), strict=True))
    return ErrorCount(sum(edits(*pair) for pair in pairs), sum(len(reference) for reference, _ in pairs))
