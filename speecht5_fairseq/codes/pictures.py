"""Pictures of codes: one utterance's speech against its text, and which letters the shared codes stand for.

Shapes: T encoder frames, L letters of a text, K codes, V letters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ..constants import ENCODER_FRAME_RATE
from ..data.atomic import replacing
from .alignment import TITLES
from .crossing import Crossing
from .tables import Meaning

MOST_CODES = 40  # of the picture of letters
MOST_LETTERS = 40
MOST_LABELS = 80  # letters that are written beside an axis


def draw_crossing(path: Path, crossing: Crossing, symbols: Sequence[str]) -> None:
    """Write a PNG: where the codes agree above, how alike the states are below, with their paths."""
    from matplotlib.figure import Figure  # an extra

    seconds = len(crossing.codes) / ENCODER_FRAME_RATE
    letters = [symbols[number] for number in crossing.letters]
    figure = Figure(figsize=(9, 9), layout="constrained")
    above, below = figure.subplots(2, 1)
    said = f"on the path {crossing.on_path:.2f}, everywhere {crossing.everywhere:.2f}, paths of other texts "
    titles = {
        above: f"Row {crossing.row}: share of the groups with the same entry ({said}{crossing.others:.2f})",
        below: "Cosine of the encoder's states, each less the mean of its modality",
    }
    panels = ((above, crossing.codes, crossing.code_path), (below, crossing.states, crossing.state_path))
    for place, matrix, walked in panels:
        limits = {"vmin": 0, "vmax": 1, "cmap": "Blues"} if place is above else {"vmin": -1, "vmax": 1, "cmap": "RdBu"}
        picture = {"origin": "lower", "aspect": "auto", "interpolation": "nearest"}
        drawn = place.imshow(matrix.T, extent=(0, seconds, -0.5, len(letters) - 0.5), **picture, **limits)
        place.plot((walked[:, 0] + 0.5) / ENCODER_FRAME_RATE, walked[:, 1], color="black", lw=1.2, label="time warping")
        place.plot((0, seconds), (-0.5, len(letters) - 0.5), color="gray", ls="--", lw=1, label="spread evenly")
        place.set_title(titles[place], fontsize=10)
        place.set(xlabel="seconds of speech", ylabel="text")
        if len(letters) <= MOST_LABELS:
            place.set_yticks(range(len(letters)), letters, fontsize=8 if len(letters) <= 40 else 5)
        figure.colorbar(drawn, ax=place)
    above.legend(loc="lower right", fontsize=8)
    with replacing(path) as partial:
        figure.savefig(partial, dpi=110)


def draw_letters(
    path: Path,
    names: Mapping[int, str],
    speech: Mapping[int, Meaning],
    text: Mapping[int, Meaning],
    symbols: Sequence[str],
    *,
    alignment: str,
) -> None:
    """Write a PNG: the shares of letters among each code's positions, in text on the left, in speech on the right.

    Args:
        names: of the codes that are drawn, in their order, ``MOST_CODES`` at most.
        speech, text: their letters.
        alignment: how speech was given its letters, a key of ``TITLES``.
    """
    from matplotlib.figure import Figure  # an extra

    codes = list(names)[:MOST_CODES]
    shown = common_letters(codes, speech, text)
    figure = Figure(figsize=(12, 2 + 0.2 * len(codes)), layout="constrained")
    places = figure.subplots(1, 2, sharey=True)
    titles = ("text", f"speech, letters {TITLES[alignment]}")
    for place, side, title in zip(places, (text, speech), titles, strict=True):
        matrix = letter_shares(codes, side, shown)
        drawn = place.imshow(matrix, aspect="auto", interpolation="nearest", vmin=0, vmax=1, cmap="Blues")
        place.set_xticks(range(len(shown)), [symbols[letter] for letter in shown], fontsize=8)
        place.set_title(title, fontsize=10)
    rows = [f"{names[code]} ({text[code].count}, {speech[code].count})" for code in codes]
    places[0].set_yticks(range(len(codes)), rows, fontsize=7)
    places[0].set_ylabel("codes of both (times in text, in speech), most shared first")
    figure.colorbar(drawn, ax=places, label="share of the code's positions")
    with replacing(path) as partial:
        figure.savefig(partial, dpi=110)


def common_letters(codes: Sequence[int], *sides: Mapping[int, Meaning]) -> list[int]:
    """The letters with the largest shares of these codes, ``MOST_LETTERS`` at most, ascending."""
    sums: dict[int, float] = {}
    for side in sides:
        for code in codes:
            for letter, share in side[code].letters:
                sums[letter] = sums.get(letter, 0.0) + share
    return sorted(sorted(sums, key=lambda letter: (-sums[letter], letter))[:MOST_LETTERS])


def letter_shares(codes: Sequence[int], side: Mapping[int, Meaning], letters: Sequence[int]) -> np.ndarray:
    """(K, V): of each code's positions, those with each letter."""
    shares = [dict(side[code].letters) for code in codes]
    return np.array([[each.get(letter, 0.0) for letter in letters] for each in shares])
