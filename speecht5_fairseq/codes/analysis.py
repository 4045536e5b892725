"""Everything that is said of the codes of a split, as one named result.

Shapes: N positions of all utterances in a row, G groups, C entries of a group.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from .alignment import DTW, even_layer, moved_letters, other_letters, own_letters, warping_layer
from .collect import Pair, Side, centred_states
from .retrieval import Retrieval, histogram, length_similarity, retrieval, similarities
from .tables import (
    Agreement,
    Meaning,
    Sharing,
    Tested,
    agreement,
    beside_chance,
    entropy,
    meanings,
    mutual_information,
    possible_codes,
    share_right,
    sharing,
    views,
)

BITS, RIGHT = "bits", "right"


class Book(NamedTuple):
    """The codebook: G groups of C entries; and the symbols that letters are numbers of."""

    groups: int
    entries: int
    symbols: Sequence[str]


class View(NamedTuple):
    """What is said of codes as whole ones, or as the entries of one group.

    Attributes:
        speech, text: what each code means there.
        speech_bits, text_bits: mutual information of codes and letters.
        transfer: share of the frames with codes of both whose letter is the one that the code means in text.
    """

    sharing: Sharing
    speech: dict[int, Meaning]
    text: dict[int, Meaning]
    speech_bits: Tested
    text_bits: Tested
    transfer: Tested
    agreement: Agreement


class Analysis(NamedTuple):
    """Of a split.

    Attributes:
        alignment: how speech was given letters, a key of ``alignment.SAID``.
        frames, letters: of all utterances.
        letter_bits: entropy of the letters of speech and of text: the most that codes could tell.
        views: by the names of ``tables.views``.
        texts: that differ.
        retrievals: by what is compared.
    """

    book: Book
    alignment: str
    utterances: int
    frames: int
    letters: int
    letter_bits: tuple[float, float]
    views: dict[str, View]
    texts: int
    retrievals: dict[str, Retrieval]


def analyse(pairs: Sequence[Pair], book: Book, *, alignment: str, draws: int) -> Analysis:
    """Of the pairs of a split; with alignment DTW their states are needed.

    Args:
        alignment: a key of ``alignment.SAID``.
        draws: of other letters, for what chance gives: see ``alignment.CHANCE``.
    """
    texts = [pair.letters for pair in pairs]
    speech, text = [pair.speech for pair in pairs], [pair.text for pair in pairs]
    hearing = even_layer(texts, [len(side.codes) for side in speech])
    if alignment == DTW:
        hearing = warping_layer(texts, centred_states(speech), centred_states(text))
    heard, read = own_letters(hearing, len(pairs)), np.concatenate(texts)
    others = moved_letters(heard, draws)
    if alignment == DTW:
        others = other_letters(hearing, [len(letters) for letters in texts], draws)
    codes = [views(np.concatenate([each.codes for each in side]), book.entries) for side in (speech, text)]
    found = _views(book, *codes, heard, read, others, moved_letters(read, draws))
    bits = (entropy(heard), entropy(read))
    return Analysis(book, alignment, len(pairs), len(heard), len(read), bits, found, *retrieve(pairs, book))


def _views(
    book: Book,
    speech: Mapping[str, np.ndarray],
    text: Mapping[str, np.ndarray],
    heard: np.ndarray,
    read: np.ndarray,
    others_heard: Iterable[np.ndarray],
    others_read: Iterable[np.ndarray],
) -> dict[str, View]:
    """Of the ``views`` of speech and text (N,), with letters (N,) of each, their own and by chance."""
    spoken = {name: meanings(codes, heard) for name, codes in speech.items()}
    written = {name: meanings(codes, read) for name, codes in text.items()}
    bits = {(BITS, name): partial(mutual_information, codes) for name, codes in speech.items()}
    right = {(RIGHT, name): partial(share_right, codes, written[name]) for name, codes in speech.items()}
    of_speech = beside_chance(bits | right, heard, others_heard)
    text_bits = {name: partial(mutual_information, codes) for name, codes in text.items()}
    of_text = beside_chance(text_bits, read, others_read)
    return {
        name: View(
            sharing=sharing(speech[name], text[name], possible_codes(name, book.groups, book.entries)),
            speech=spoken[name],
            text=written[name],
            speech_bits=of_speech[BITS, name],
            text_bits=of_text[name],
            transfer=of_speech[RIGHT, name],
            agreement=agreement(spoken[name], written[name]),
        )
        for name in speech
    }


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
