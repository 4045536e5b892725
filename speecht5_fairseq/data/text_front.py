"""Long texts for synthesis: cut into sentences, packed into pieces that a model can speak in one go.

Nothing is lost or put in another order: the pieces without their spaces are the text without its spaces.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence

Sizes = Callable[[str], int]

_SPACED_ENDS = (
    ".!?\u2026\u061f\u06d4\u0964\u0965\u1362"  # they end a sentence before a space; Arabic, Indic, Ethiopic too
)
_CLOSE_ENDS = "\u3002\uff01\uff1f\uff61\uff0e"  # CJK: no space follows
_CLOSERS = (
    "\"'\u201d\u2019\u00bb\u203a)\\]}\u300d\u300f\u3011\uff09\u3015"  # quotes and brackets that belong to the end
)
_SENTENCE_END = re.compile(rf"[{_SPACED_ENDS}{_CLOSE_ENDS}]+[{_CLOSERS}]*")
_PARAGRAPH = re.compile(r"\n[^\S\n]*\n")
_CLAUSE = re.compile(r"(?<=[,;:\u060c\u061b])(?=\s)|(?<=[\uff0c\u3001\uff1b\uff1a])")
_WORD = re.compile(r"(?<=\S)(?=\s)")

# Lower case, with the last dot. A name, a number or an example follows those of the first kind: they end no sentence.
_NEVER_LAST = frozenset((
    *("mr.", "mrs.", "ms.", "dr.", "prof.", "rev.", "gov.", "capt.", "lt.", "sgt.", "gen.", "col.", "st."),
    *("sr.", "sra.", "srta.", "dra.", "ud.", "uds.", "hr.", "fr.", "vs.", "cf.", "ca.", "approx.", "e.g.", "i.e."),
    *("p.", "pp.", "fig.", "vol.", "ex.", "ej.", "bzw.", "z.b.", "d.h.", "u.a."),
))  # fmt: skip
_BEFORE_NUMBERS = frozenset((  # words as well: "no", "mar"
    *("no.", "nr.", "jan.", "feb.", "mar.", "apr.", "jun.", "jul.", "aug.", "sep.", "sept.", "oct.", "nov.", "dec."),
))  # fmt: skip
_SOMETIMES_LAST = frozenset(("etc.", "jr.", "inc.", "ltd.", "co.", "corp.", "dept.", "usw.", "a.m.", "p.m.", "al."))


def split_sentences(text: str) -> list[str]:
    """Sentences of `text`, stripped, the spaces in them collapsed; ends are . ! ? … and their CJK and other forms.

    A dot ends none inside a number (3.5) or an address, after an abbreviation (Mr., e.g.), an initial (J. Smith) or a
    list number (1.); neither does a quoted end before a small letter ("Stop!" he said). A blank line always does.
    """
    sentences = []
    for paragraph in _PARAGRAPH.split(text):
        start = 0
        for match in _SENTENCE_END.finditer(paragraph):
            if _ends_sentence(paragraph, start, match):
                sentences.append(paragraph[start : match.end()])
                start = match.end()
        sentences.append(paragraph[start:])
    collapsed = (" ".join(sentence.split()) for sentence in sentences)
    return [sentence for sentence in collapsed if sentence]


def _ends_sentence(text: str, start: int, match: re.Match[str]) -> bool:
    """Whether the marks of `match` end the sentence that began at `start`."""
    marks = match[0].rstrip(_CLOSERS.replace("\\", ""))
    after = text[match.end() :]
    if marks[-1] in _CLOSE_ENDS:
        return True
    if after and not after[0].isspace():
        return False
    following = after.lstrip()[:1]
    if marks != match[0] and following.islower():
        return False
    return marks != "." or not _is_abbreviation(text[start : match.start()], following)


def _is_abbreviation(before: str, following: str) -> bool:
    """Whether the dot between `before` and the character `following` belongs to the word in front of it."""
    words = before.split()
    if not words:
        return False
    if len(words) == 1 and words[0].isdigit():
        return True  # "1. Take the key": the number of a list
    word = words[-1].lstrip("\"'([\u201c\u2018\u00ab\u00bf\u00a1")
    lower = f"{word.lower()}."
    if lower in _NEVER_LAST or (len(word) == 1 and word.isalpha() and word.isupper() and word != "I"):
        return True
    if re.fullmatch(r"(?:[^\W\d_]\.)+[^\W\d_]", word) and lower not in _SOMETIMES_LAST:  # U.S., n.b.
        return word.isupper() or following.islower()
    if lower in _BEFORE_NUMBERS:
        return following.isdigit()
    return lower in _SOMETIMES_LAST and not following.isupper()


def pack_sentences(parts: Sequence[str], sizes: Sizes, limit: int) -> list[str]:
    """Fill pieces with the sentences `parts`, in order, as many in each as `limit` allows.

    A sentence over the limit is cut at commas, semicolons and colons, then at spaces, and a word over it between
    letters, each time into pieces as long as the limit allows.

    Args:
        parts: sentences, say those of `split_sentences`.
        sizes: symbols of a text, say `lambda text: len(processor.encode(text))`.
        limit: symbols of a piece at most.

    Raises:
        ValueError: `limit` is below 1, or a single character is over it.
    """
    if limit < 1:
        raise ValueError(f"the limit of a piece is {limit} symbols; give at least 1")
    spaced = [_gap(before, part) + part for before, part in zip(["", *parts], parts, strict=False) if part.strip()]
    packed = _pack(spaced, lambda text: sizes(text.strip()) <= limit, _CUTTERS)
    if packed is None:
        largest = max("".join(spaced), key=sizes)
        raise ValueError(
            f"the character {largest!r} alone has {sizes(largest)} symbols, over the limit of {limit}; raise the limit"
        )
    return [piece.strip() for piece in packed]


def _gap(before: str, after: str) -> str:
    """A space between two sentences, none after the wide full stops of Chinese and Japanese."""
    wide = before and unicodedata.east_asian_width(before.rstrip()[-1:] or " ") in "WF"
    return "" if wide or after[:1].isspace() else " "


def _letters(word: str) -> list[str]:
    """Letters with the accents that combine with them."""
    return re.findall(r"\s*\S[\u0300-\u036f\u200d\ufe0f]*", word)


_CUTTERS: tuple[Callable[[str], list[str]], ...] = (_CLAUSE.split, _WORD.split, _letters, list)


def _pack(
    parts: Sequence[str], fits: Callable[[str], bool], cutters: Sequence[Callable[[str], list[str]]]
) -> list[str] | None:
    """Join neighbours while they fit; cut what does not fit alone with the first cutter, and so on.

    Spaces stand at the front of the parts, so that joining is plain concatenation. None: a character does not fit.
    """
    pieces: list[str] = []
    for part in parts:
        if pieces and fits(pieces[-1] + part):
            pieces[-1] += part
        elif fits(part):
            pieces.append(part)
        else:
            smaller = _pack(cutters[0](part), fits, cutters[1:]) if cutters else None
            if smaller is None:
                return None
            pieces.extend(smaller)
    return pieces
