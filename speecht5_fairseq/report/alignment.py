"""How a hypothesis differs from its reference: an alignment with the fewest edits, and which edits are frequent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

CORRECT, SUBSTITUTED, DELETED, INSERTED = "correct", "substituted", "deleted", "inserted"
_EDIT = 1 << 20  # cost of an edit; of equally many, substitutions cost 1 more, so that more words are correct


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
    substitutions.
    """
    costs = _costs(reference, hypothesis)
    row, column, steps = len(reference), len(hypothesis), []
    while row or column:
        if row and column:
            cost = (_EDIT + 1) * (reference[row - 1] != hypothesis[column - 1])
            if costs[row, column] == costs[row - 1, column - 1] + cost:
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


def _costs(reference: Sequence[str], hypothesis: Sequence[str]) -> np.ndarray:
    """(len(reference) + 1, len(hypothesis) + 1) int64, costs between the beginnings of both; a row at a time."""
    names: dict[str, int] = {}
    wanted, heard = (
        np.array([names.setdefault(each, len(names)) for each in side], dtype=np.int64)
        for side in (reference, hypothesis)
    )
    places = _EDIT * np.arange(len(heard) + 1, dtype=np.int64)
    costs = np.empty((len(wanted) + 1, len(heard) + 1), dtype=np.int64)
    costs[0] = places
    for row, name in enumerate(wanted, start=1):
        costs[row, 0] = _EDIT * row
        costs[row, 1:] = np.minimum(costs[row - 1, 1:] + _EDIT, costs[row - 1, :-1] + (_EDIT + 1) * (heard != name))
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
