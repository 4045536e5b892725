"""Counts of codes and letters: which codes speech and text share, and what a code tells of the letter.

Shapes: N positions (frames of speech, letters of text) of all utterances in a row, G groups, C entries of a group.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

Key = TypeVar("Key", bound=Hashable)
SEED = 0  # of the draws
SHUFFLES = 1000


class Sharing(NamedTuple):
    """Codes that speech and text use.

    Attributes:
        speech_only, text_only, both: numbers of codes.
        possible: codes that there are.
        both_by_chance: the number of both, were those of speech and of text drawn from all that are possible without
            regard to each other.
        speech_share, text_share: of the frames and of the letters, those with codes of both.
        overlap: sum of the smaller of the two shares of each code: 1 where both choose alike.
    """

    speech_only: int
    text_only: int
    both: int
    possible: int
    both_by_chance: float
    speech_share: float
    text_share: float
    overlap: float


class Tested(NamedTuple):
    """A statistic of codes and letters, beside chance.

    Attributes:
        chance: its mean with other letters; as biased by few counts as the value is.
        p_value: how often others give as much; NaN, as ``chance``, where there are none.
    """

    value: float
    chance: float
    p_value: float


class Meaning(NamedTuple):
    """How often a code is chosen, and by which letters: (letter, share of the positions), most frequent first."""

    count: int
    letters: list[tuple[int, float]]


class Agreement(NamedTuple):
    """Codes of both whose most frequent letter is the same in speech and in text.

    Attributes:
        chance: their mean number were the letters of speech dealt out to these codes anew.
        p_value: how often that gives as many.
    """

    same: int
    both: int
    chance: float
    p_value: float


def views(codes: np.ndarray, entries: int) -> dict[str, np.ndarray]:
    """Codes (N, G) as numbers (N,): of whole codes ("pairs" of two groups) and of each group's entries alone."""
    groups = codes.shape[1]
    whole = codes @ (entries ** np.arange(groups - 1, -1, -1))
    found = {{1: "entries", 2: "pairs"}.get(groups, "tuples"): whole}
    if groups > 1:
        found |= {f"group {group + 1}": codes[:, group] for group in range(groups)}
    return found


def possible_codes(view: str, groups: int, entries: int) -> int:
    """How many codes there are in one of ``views``."""
    return entries if view.startswith("group") else entries**groups


def code_name(view: str, number: int, groups: int, entries: int) -> str:
    """Entries from 0, a dash between groups: 17-83; of one group's entries a star for the others: 17-*, *-83."""
    if view.startswith("group"):
        names = ["*"] * groups
        names[int(view.split()[1]) - 1] = str(number)
    else:
        names = [str(number // entries**power % entries) for power in range(groups - 1, -1, -1)]
    return "-".join(names)


def sharing(speech: np.ndarray, text: np.ndarray, possible: int) -> Sharing:
    """Of codes (N,) of speech and of text."""
    (of_speech, heard), (of_text, read) = (np.unique(codes, return_counts=True) for codes in (speech, text))
    both, *places = np.intersect1d(of_speech, of_text, assume_unique=True, return_indices=True)
    shares = [counts[place] / counts.sum() for counts, place in zip((heard, read), places, strict=True)]
    return Sharing(
        speech_only=len(of_speech) - len(both),
        text_only=len(of_text) - len(both),
        both=len(both),
        possible=possible,
        both_by_chance=len(of_speech) * len(of_text) / possible,
        speech_share=float(shares[0].sum()),
        text_share=float(shares[1].sum()),
        overlap=float(np.minimum(*shares).sum()),
    )


def mutual_information(first: np.ndarray, second: np.ndarray) -> float:
    """Bits that numbers (N,) tell of others (N,), by their counts."""
    return max(entropy(first) + entropy(second) - entropy(_joint(first, second)), 0.0)


def entropy(numbers: np.ndarray) -> float:
    """Bits, by the counts of (N,)."""
    counts = np.bincount(numbers) if numbers.max() < 10 * len(numbers) else np.unique(numbers, return_counts=True)[1]
    shares = counts[counts > 0] / len(numbers)
    return float(-(shares * np.log2(shares)).sum())


def _joint(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return first * (int(second.max()) + 1) + second


def share_right(codes: np.ndarray, meant: Mapping[int, Meaning], letters: np.ndarray) -> float:
    """Of the positions (N,) whose codes are among ``meant``, those with the code's most frequent letter there."""
    known, places = np.unique(codes, return_inverse=True)
    guesses = np.array([meant[code].letters[0][0] if code in meant else -1 for code in known.tolist()])[places]
    return float((guesses == letters).sum() / max((guesses >= 0).sum(), 1))


def beside_chance(
    statistics: Mapping[Key, Callable[[np.ndarray], float]], letters: np.ndarray, others: Iterable[np.ndarray]
) -> dict[Key, Tested]:
    """Statistics of letters (N,); ``others`` are letters (N,) by chance, of each draw."""
    drawn = [[statistic(other) for statistic in statistics.values()] for other in others]
    chances = np.array(drawn).reshape(len(drawn), len(statistics))
    values = [statistic(letters) for statistic in statistics.values()]
    return {
        key: Tested(value, *_against(value, chances[:, column]))
        for column, (key, value) in enumerate(zip(statistics, values, strict=True))
    }


def _against(value: float, drawn: np.ndarray) -> tuple[float, float]:
    """The mean of the draws, and the p-value of a value against them; NaN without any."""
    if not len(drawn):
        return float("nan"), float("nan")
    return float(drawn.mean()), float(1 + np.count_nonzero(drawn >= value - 1e-9)) / (1 + len(drawn))


def meanings(codes: np.ndarray, letters: np.ndarray) -> dict[int, Meaning]:
    """Of every code among (N,), with letters (N,); letters of one count in the order of their numbers."""
    joint, counts = np.unique(np.stack([codes, letters]), axis=1, return_counts=True)
    order = np.lexsort((joint[1], -counts, joint[0]))
    found: dict[int, list[tuple[int, int]]] = {}
    for place in order:
        found.setdefault(int(joint[0, place]), []).append((int(joint[1, place]), int(counts[place])))
    totals = {code: sum(count for _, count in pairs) for code, pairs in found.items()}
    return {
        code: Meaning(totals[code], [(letter, count / totals[code]) for letter, count in pairs])
        for code, pairs in found.items()
    }


def agreement(speech: Mapping[int, Meaning], text: Mapping[int, Meaning]) -> Agreement:
    """Of the codes that both have."""
    both = sorted(speech.keys() & text.keys())
    heard, read = (np.array([side[code].letters[0][0] for code in both], dtype=np.int64) for side in (speech, text))
    same = int(np.count_nonzero(heard == read))
    generator = np.random.default_rng(SEED)
    drawn = [np.count_nonzero(generator.permutation(heard) == read) for _ in range(SHUFFLES if len(both) > 1 else 0)]
    return Agreement(same, len(both), *_against(same, np.array(drawn)))


def most_shared(speech: Mapping[int, Meaning], text: Mapping[int, Meaning]) -> Sequence[int]:
    """Codes that both have, by the smaller of their two shares, the largest first."""
    frames, tokens = (sum(meaning.count for meaning in side.values()) for side in (speech, text))

    def smaller(code: int) -> float:
        return min(speech[code].count / frames, text[code].count / tokens)

    return sorted(speech.keys() & text.keys(), key=lambda code: (-smaller(code), code))
