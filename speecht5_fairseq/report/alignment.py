"""How a hypothesis differs from its reference: an alignment with the fewest edits, and which edits are frequent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

import editdistance
import numpy as np

CORRECT, SUBSTITUTED, DELETED, INSERTED = "correct", "substituted", "deleted", "inserted"
# Costs: of alignments with as many edits the one with fewer substitutions has more correct words, and of those with as
# many substitutions the one whose words are spelt alike is what was heard. Each outweighs all of the next.
_EDIT, _SUBSTITUTION, _UNLIKE = 1 << 42, 1 << 21, 1 << 7
_MOST_PAIRS = 1_000_000  # of words that are compared letter by letter; more are only equal or not


class Step(NamedTuple):
    """One place of an alignment: a word (or character) of each side, None where that side has none."""

    reference: str | None
    hypothesis: str | None

    @property
    def kind(self) -> str:
        """``CORRECT``, ``SUBSTITUTED``, ``DELETED`` or ``INSERTED``."""
        if self.reference is None:
            return INSERTED
        if self.hypothesis is None:
            return DELETED
        return CORRECT if self.reference == self.hypothesis else SUBSTITUTED


class Confusions(NamedTuple):
    """How often each edit occurs in a corpus."""

    substituted: Counter[tuple[str, str]]  # (reference, hypothesis)
    deleted: Counter[str]  # of the reference
    inserted: Counter[str]  # of the hypothesis
    correct: int


def align(reference: Sequence[str], hypothesis: Sequence[str]) -> list[Step]:
    """An alignment with the fewest insertions, deletions and substitutions (Wagner and Fischer 1974).

    Of several one with the most correct words: "b c" for "a b" is a deletion, a match and an insertion, not two
    substitutions. Of those one that puts words of like spelling together.
    """
    swaps = _swaps(reference, hypothesis)
    costs = _costs(swaps)
    row, column, steps = len(reference), len(hypothesis), []
    while row or column:
        if row and column and costs[row, column] == costs[row - 1, column - 1] + swaps[row - 1, column - 1]:
            row, column = row - 1, column - 1
            steps.append(Step(reference[row], hypothesis[column]))
            continue
        if row and costs[row, column] == costs[row - 1, column] + _EDIT:
            row -= 1
            steps.append(Step(reference[row], None))
        else:
            column -= 1
            steps.append(Step(None, hypothesis[column]))
    return steps[::-1]


def _swaps(reference: Sequence[str], hypothesis: Sequence[str]) -> np.ndarray:
    """(len(reference), len(hypothesis)) int64: what it costs that one stands for the other, 0 where they are equal."""
    names: dict[str, int] = {}
    wanted, heard = ([names.setdefault(each, len(names)) for each in side] for side in (reference, hypothesis))
    differ = np.not_equal.outer(np.array(wanted, dtype=np.int64), np.array(heard, dtype=np.int64))
    swaps = (_EDIT + _SUBSTITUTION) * differ.astype(np.int64)
    if differ.size <= _MOST_PAIRS:
        unlike = lru_cache(maxsize=None)(_spelt_unlike)
        for row, column in zip(*np.nonzero(differ), strict=True):
            swaps[row, column] += round(_UNLIKE * unlike(reference[row], hypothesis[column]))
    return swaps


def _spelt_unlike(one: str, other: str) -> float:
    """Edits of letters, as a share of the longer word: 0 to 1."""
    return editdistance.eval(one, other) / max(len(one), len(other))


def _costs(swaps: np.ndarray) -> np.ndarray:
    """(rows + 1, columns + 1) int64 of swaps (rows, columns): costs between the beginnings of both; a row at a time."""
    places = _EDIT * np.arange(swaps.shape[1] + 1, dtype=np.int64)
    costs = np.empty((len(swaps) + 1, len(places)), dtype=np.int64)
    costs[0] = places
    for row, swap in enumerate(swaps, start=1):
        costs[row, 0] = _EDIT * row
        costs[row, 1:] = np.minimum(costs[row - 1, 1:] + _EDIT, costs[row - 1, :-1] + swap)
        costs[row] = np.minimum.accumulate(costs[row] - places) + places  # insertions, each one more than its left
    return costs


def edit_count(steps: Iterable[Step]) -> int:
    """Edits of an alignment."""
    return sum(step.kind != CORRECT for step in steps)


def count_confusions(alignments: Iterable[Iterable[Step]]) -> Confusions:
    """The edits of a corpus."""
    found = Confusions(Counter(), Counter(), Counter(), 0)
    correct = 0
    for step in (step for steps in alignments for step in steps):
        if step.kind == SUBSTITUTED:
            found.substituted[step.reference, step.hypothesis] += 1
        elif step.kind == DELETED:
            found.deleted[step.reference] += 1
        elif step.kind == INSERTED:
            found.inserted[step.hypothesis] += 1
        else:
            correct += 1
    return found._replace(correct=correct)


def most_frequent(counts: Counter, number: int) -> list[tuple]:
    """The `number` most frequent edits and their counts; those of one count in the order of their text."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:number]
