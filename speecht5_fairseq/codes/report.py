"""What is found of codes, as a page of text, as JSON and as a table of all codes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..data.atomic import atomic_text
from ..scoring.estimates import Estimate
from .alignment import CHANCE, SAID
from .analysis import Analysis, View
from .crossing import Crossing
from .retrieval import TOP, chance
from .tables import Meaning, code_name, most_shared

LETTERS = 3  # of a code, that the page names
MORE_LETTERS = 10  # that the table names
SIDES = ("speech", "text")
CROSSED = ("row", "on_path", "everywhere", "others")  # numbers of an utterance's picture
COLUMNS = ("kind", "code", "speech_count", "speech_share", "text_count", "text_share", "speech_letters", "text_letters")


def page(found: Analysis, *, top: int) -> str:
    """Everything, with the ``top`` codes of each view that speech and text share most."""
    lines = [*_header(found), *_sharing(found), *_information(found), *_agreement(found)]
    for name in found.views:
        lines += _codes(found, name, top)
    return "\n".join([*lines, *_retrieval(found)])


def crossing_line(crossing: Crossing) -> str:
    """What is said of an utterance's picture."""
    return (
        f"Row {crossing.row}: share of the groups with the same entry: {crossing.everywhere:.3f} everywhere, "
        f"{crossing.on_path:.3f} on the path that agrees most; on those with texts of like lengths "
        f"{_number(crossing.others)}"
    )


def _header(found: Analysis) -> Iterator[str]:
    groups, entries, _ = found.book
    yield (
        f"{found.utterances:,} utterances: {found.frames:,} frames of speech, {found.letters:,} letters (pieces) of "
        f"text; a codebook of {groups} x {entries} entries"
    )
    yield f"The letters of speech are laid {SAID[found.alignment]}."
    if groups > 1:
        whole, first = "-".join(map(str, range(groups))), code_name("group 1", 0, groups, entries)
        yield f"A code is named by its entries, from 0, one of each group: {whole}; {first} is one of group 1 with any."


def _sharing(found: Analysis) -> Iterator[str]:
    row = "{:<10}{:>14}{:>14}{:>14}{:>9}{:>15}{:>11}{:>10}{:>10}"
    yield "\n" + row.format(
        "codes", "speech only", "text only", "both", "of all", "by chance", "of speech", "of text", "overlap"
    )
    for name, view in found.views.items():
        shared = view.sharing
        used = shared.speech_only + shared.text_only + shared.both
        counts = [f"{n} ({_percent(n / used)})" for n in (shared.speech_only, shared.text_only, shared.both)]
        shares = (_percent(shared.speech_share), _percent(shared.text_share))
        chances = f"{shared.both_by_chance:.1f} ({_percent(_chance_share(view))})"
        yield row.format(name, *counts, f"{shared.possible:,}", chances, *shares, f"{shared.overlap:.3f}")
    yield "by chance: codes of both, were the used ones of each drawn from all; of speech, of text: frames and letters"
    yield "with codes of both; overlap: 1 where speech and text choose alike"


def _chance_share(view: View) -> float:
    """Of the used codes, those of both by chance."""
    shared = view.sharing
    speech, text = shared.speech_only + shared.both, shared.text_only + shared.both
    return shared.both_by_chance / max(speech + text - shared.both_by_chance, 1e-9)


def _information(found: Analysis) -> Iterator[str]:
    row = "{:<10}" + "{:>12}{:>9}{:>9}{:>9}" * 2
    yield f"\nBits that a code tells of its letter, of those that a letter has; chance: {CHANCE[found.alignment]}"
    yield row.format("codes", *(title for side in SIDES for title in (side, "of", "chance", "p")))
    for name, view in found.views.items():
        told = []
        for side, most in zip((view.speech_bits, view.text_bits), found.letter_bits, strict=True):
            told += [f"{side.value:.3f}", f"{most:.3f}", _number(side.chance), _p(side.p_value)]
        yield row.format(name, *told)


def _agreement(found: Analysis) -> Iterator[str]:
    row = "{:<10}{:>12}{:>9}{:>9}{:>16}{:>9}{:>9}"
    yield "\nWhat a code means in text (its most frequent letter), tried on the frames of speech; and the codes of both"
    yield "that mean the same letter in both"
    yield row.format("codes", "frames right", "chance", "p", "codes the same", "chance", "p")
    for name, view in found.views.items():
        frames, same = view.transfer, view.agreement
        shares = ["-" if math.isnan(each) else _percent(each) for each in frames[:2]]
        codes = (f"{same.same} of {same.both}", _number(same.chance), _p(same.p_value))
        yield row.format(name, *shares, _p(frames.p_value), *codes)


def _codes(found: Analysis, name: str, top: int) -> Iterator[str]:
    view = found.views[name]
    codes = most_shared(view.speech, view.text)
    row = "{:<12}{:>9}{:>9}{:>9}{:>9}  {:<34}{}"
    if not codes:
        yield f"\n{name}: none that speech and text share"
    elif top:
        yield f"\n{name}: the {min(top, len(codes))} that speech and text share most, of {len(codes)}"
        yield row.format("code", "speech", "", "text", "", "letters in text", "letters in speech")
    for code in codes[:top]:
        counts = []
        for side, total in ((view.speech, found.frames), (view.text, found.letters)):
            counts += [f"{side[code].count:,}", _percent(side[code].count / total)]
        named = code_name(name, code, found.book.groups, found.book.entries)
        yield row.format(named, *counts, *(_letters(side[code], found, LETTERS) for side in (view.text, view.speech)))


def _letters(meaning: Meaning, found: Analysis, most: int) -> str:
    return " ".join(
        f"{found.book.symbols[letter]} {_percent(share, digits=0)}" for letter, share in meaning.letters[:most]
    )


def _retrieval(found: Analysis) -> Iterator[str]:
    row = "{:<38}{:>22}{:>22}{:>22}{:>9}"
    yield f"\nThe utterance's own text among {found.texts:,}, by cosine of what is pooled over each (95% intervals)"
    yield row.format("pooled", "first", f"among {TOP}", "reciprocal rank", "p")
    for name, result in found.retrievals.items():
        shares = [_estimate(each, 100, "%") for each in (result.first, result.top)]
        yield row.format(name, *shares, _estimate(result.reciprocal, 1, ""), _p(result.p_value))
    first, top, reciprocal = chance(found.texts)
    yield row.format("chance", _percent(first), _percent(top), f"{reciprocal:.3f}", "").rstrip()
    yield "p: of the reciprocal rank, with the texts dealt out anew; centred: less the mean of each modality"


def _estimate(found: Estimate, scale: float, unit: str) -> str:
    digits = 1 if unit else 3
    value, low, high = (f"{scale * each:.{digits}f}" for each in found[:3])
    return f"{value}{unit}" if math.isnan(found.low) else f"{value}{unit} ({low}-{high})"


def _percent(share: float, digits: int = 1) -> str:
    return f"{100 * share:.{digits}f}%"


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _p(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2g}"


def write_table(path: Path, found: Analysis) -> None:
    """Write every code of every view: how often speech and text choose it, and by which letters."""
    with atomic_text(path) as file:
        file.write("\t".join(COLUMNS) + "\n")
        for name, view in found.views.items():
            for code in sorted(view.speech.keys() | view.text.keys()):
                file.write("\t".join([name, *_table_row(found, name, view, code)]) + "\n")


def _table_row(found: Analysis, name: str, view: View, code: int) -> list[str]:
    none = Meaning(0, [])
    speech, text = view.speech.get(code, none), view.text.get(code, none)
    counts = ((speech.count, found.frames), (text.count, found.letters))
    numbers = [field for count, total in counts for field in (str(count), f"{count / total:.6f}")]
    named = code_name(name, code, found.book.groups, found.book.entries)
    return [named, *numbers, *(_letters(side, found, MORE_LETTERS) for side in (speech, text))]


def as_json(found: Analysis, crossing: Crossing | None) -> dict[str, Any]:
    """The numbers of the page for machines; codes themselves are in the table. NaN is None."""
    first, top, reciprocal = chance(found.texts)
    views = {
        name: {
            "sharing": view.sharing._asdict(),
            "bits": {"speech": view.speech_bits._asdict(), "text": view.text_bits._asdict()},
            "frames_right": view.transfer._asdict(),
            "same_letter": view.agreement._asdict(),
        }
        for name, view in found.views.items()
    }
    retrievals = {
        name: {key: value if key == "p_value" else value._asdict() for key, value in result._asdict().items()}
        for name, result in found.retrievals.items()
    }
    return _plain(
        {
            "utterances": found.utterances,
            "frames": found.frames,
            "letters": found.letters,
            "groups": found.book.groups,
            "entries": found.book.entries,
            "alignment": found.alignment,
            "letter_bits": dict(zip(SIDES, found.letter_bits, strict=True)),
            "codes": views,
            "retrieval": {"texts": found.texts, "chance": {"first": first, "top": top, "reciprocal": reciprocal}}
            | {"pooled": retrievals, "top": TOP},
            "crossing": crossing and {name: getattr(crossing, name) for name in CROSSED},
        }
    )


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value
