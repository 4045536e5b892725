"""Everything that is said of the codes of a split, as one named result.

Shapes: N positions of all utterances in a row, G groups, C entries of a group.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .alignment import DTW, even_layer, moved_letters, other_letters, own_letters, warping_layer
from .collect import Pair, Side, centred_states
from .retrieval import Retrieval, histogram, length_similarity, retrieval, similarities
from .tables import (
    Agreement,
    Information,
    Meaning,
    Sharing,
    agreement,
    information,
    meanings,
    possible_codes,
    sharing,
    views,
)


class Book(NamedTuple):
    """The codebook: G groups of C entries; and the symbols that letters are numbers of."""

    groups: int
    entries: int
    symbols: Sequence[str]


class View(NamedTuple):
    """What is said of codes as whole ones, or as the entries of one group."""

    sharing: Sharing
    speech: dict[int, Meaning]
    text: dict[int, Meaning]
    agreement: Agreement
    speech_information: Information
    text_information: Information


class Analysis(NamedTuple):
    """Of a split.

    Attributes:
        alignment: how speech was given letters, a key of ``alignment.SAID``.
        frames, letters: of all utterances.
        views: by the names of ``tables.views``.
        texts: that differ.
        retrievals: by what is compared.
    """

    book: Book
    alignment: str
    utterances: int
    frames: int
    letters: int
    views: dict[str, View]
    texts: int
    retrievals: dict[str, Retrieval]


def analyse(pairs: Sequence[Pair], book: Book, *, alignment: str, draws: int) -> Analysis:
    """Of the pairs of a split; with alignment DTW their states are needed.

    Args:
        alignment: a key of ``alignment.SAID``.
        draws: of other letters, for what chance gives: see ``alignment.CHANCE``.
    """
    letters, count = [pair.letters for pair in pairs], len(pairs)
    sides = ([pair.speech for pair in pairs], [pair.text for pair in pairs])
    reading = even_layer(letters, [len(own) for own in letters])
    hearing = even_layer(letters, [len(pair.speech.codes) for pair in pairs])
    if alignment == DTW:
        hearing = warping_layer(letters, *(centred_states(side) for side in sides))
    numbers = [views(np.concatenate([each.codes for each in side]), book.entries) for side in sides]
    owned = [own_letters(lay, count) for lay in (hearing, reading)]
    others = [moved_letters(own, draws) for own in owned]
    if alignment == DTW:
        others[0] = other_letters(hearing, [len(own) for own in letters], draws)
    told = [information(*each) for each in zip(numbers, owned, others, strict=True)]
    found = {}
    for name in numbers[0]:
        meant = [meanings(codes[name], own) for codes, own in zip(numbers, owned, strict=True)]
        shared = sharing(numbers[0][name], numbers[1][name], possible_codes(name, book.groups, book.entries))
        found[name] = View(shared, *meant, agreement(*meant), told[0][name], told[1][name])
    texts, retrievals = retrieve(pairs, book)
    return Analysis(book, alignment, count, len(owned[0]), len(owned[1]), found, texts, retrievals)


def retrieve(pairs: Sequence[Pair], book: Book) -> tuple[int, dict[str, Retrieval]]:
    """How many texts differ, and how often each utterance's is found among them, by what is compared."""
    texts: dict[bytes, int] = {}
    own = np.array([texts.setdefault(pair.letters.tobytes(), len(texts)) for pair in pairs])
    first = np.unique(own, return_index=True)[1]  # of utterances with one text, whose codes are the same, the first
    speech, text = [pair.speech for pair in pairs], [pairs[place].text for place in first]
    found = {}
    features = {f"histograms of {name}": value for name, value in _histograms(speech, text, book).items()}
    features["mean code vectors"] = tuple(np.stack([side.mean_vector for side in sides]) for sides in (speech, text))
    features["mean encoder states"] = tuple(np.stack([side.mean_state for side in sides]) for sides in (speech, text))
    for name, (heard, read) in features.items():
        for manner, similarity in similarities(heard, read).items():
            found[name + manner] = retrieval(similarity, own)
    lengths = [np.array([len(side.codes) for side in sides]) for sides in (speech, text)]
    found["lengths alone"] = retrieval(length_similarity(*lengths, own), own)
    return len(texts), found


def _histograms(speech: Sequence[Side], text: Sequence[Side], book: Book) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """(N, F) and (M, F) of the codes that either uses: of whole ones, and of the entries of all groups in a row."""
    found = {}
    for name in views(speech[0].codes, book.entries):
        numbers = [[views(side.codes, book.entries)[name] for side in sides] for sides in (speech, text)]
        known = np.unique(np.concatenate([*numbers[0], *numbers[1]]))
        found[name] = tuple(np.stack([histogram(each, known) for each in sides]) for sides in numbers)
    groups = [found.pop(name) for name in list(found) if name.startswith("group")]
    return found | ({"entries": tuple(map(np.hstack, zip(*groups, strict=True)))} if groups else {})
