"""What a manifest does without, and why: listed in a file, counted by its kind in the summary."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from speecht5_fairseq.constants import SAMPLE_RATE

from .updates import update_lines

logger = logging.getLogger(__name__)


class LeftOut(NamedTuple):
    """One recording that is not used. The reason reads `KIND` or `KIND (DETAIL)`."""

    name: str
    reason: str

    @property
    def kind(self) -> str:
        """The reason without what belongs to this one recording."""
        return self.reason.partition(" (")[0]


def count_kinds(left_out: Iterable[LeftOut]) -> dict[str, int]:
    """kind -> how many, the commonest first."""
    return dict(Counter(row.kind for row in left_out).most_common())


def left_out_file(out: Path, name: str) -> Path:
    """Where the list of a split is. SPLIT.left_out.tsv, beside the manifest, is training's own."""
    return out / "left_out" / f"{name}.tsv"


def write_left_out(out: Path, name: str, left_out: Sequence[LeftOut]) -> None:
    """List `PATH<TAB>REASON` in the file of a split, perhaps nothing, and say how much it is."""
    path = left_out_file(out, name)
    update_lines(path, lambda: (f"{row.name}\t{row.reason}" for row in left_out))
    if left_out:
        logger.warning("%s: %d left out, listed in %s", name, len(left_out), path)


def length_problem(samples: int, min_seconds: float, max_seconds: float) -> str | None:
    """Why a recording of so many samples at 16 kHz is not used, if it is not."""
    seconds = samples / SAMPLE_RATE
    if seconds < min_seconds:
        return f"too short ({seconds:.3f} s, --min-seconds is {min_seconds:g})"
    return f"too long ({seconds:.3f} s, --max-seconds is {max_seconds:g})" if seconds > max_seconds else None
