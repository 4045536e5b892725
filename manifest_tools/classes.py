"""What the preparers of speaker identification share: the dictionary of classes, and trials for verification."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from .files import write_lines

MOST_ROWS = 2000  # recordings whose pairs are listed: two million
Labelled = tuple[str, str]  # path, class


def write_class_dictionary(path: Path, labels: Iterable[str]) -> list[str]:
    """Write `NAME COUNT` a class, by name, as the s2c task reads `dict.txt`. Returns the names.

    labels: the class of each training recording. Raises ValueError for fewer than two classes.
    """
    counts = Counter(labels)
    if len(counts) < 2:
        raise ValueError(f"{path}: {len(counts)} class(es) ({', '.join(counts)}); speakers are told apart from two on")
    names = sorted(counts)
    write_lines(path, (f"{name} {counts[name]}" for name in names))
    return names


def draw_trials(rows: Sequence[Labelled], most: int, *, seed: int) -> list[str]:
    """Lines `LABEL PATH PATH`, tabs between, of different recordings: at most `most` of one class (1), then of two (0).

    Drawn by `seed` from the pairs of all rows, or of `MOST_ROWS` drawn before; each kind in the order of the rows.
    Raises ValueError when a kind has no pair.
    """
    generator = np.random.default_rng(seed)
    if len(rows) > MOST_ROWS:
        rows = [rows[place] for place in np.sort(generator.choice(len(rows), size=MOST_ROWS, replace=False)).tolist()]
    kinds: dict[bool, list[tuple[str, str]]] = {True: [], False: []}
    for (first, one), (second, other) in itertools.combinations(rows, 2):
        kinds[one == other].append((first, second))
    lines = []
    for same, label in ((True, 1), (False, 0)):
        pairs = kinds[same]
        if not pairs:
            classes = "one class" if same else "two classes"
            raise ValueError(f"{len(rows)} recordings make no trial of {classes}; give more of them")
        chosen = np.sort(generator.choice(len(pairs), size=min(most, len(pairs)), replace=False))
        lines += [f"{label}\t{pairs[place][0]}\t{pairs[place][1]}" for place in chosen.tolist()]
    return lines
