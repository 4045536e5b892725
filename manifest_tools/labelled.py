"""Recordings with their texts: which are used, and the manifest, labels and list of a split."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from speecht5_fairseq.data.text_normalisation import Normaliser

from .corpora import split_size
from .files import write_lines
from .headers import Measured
from .left_out import LeftOut, left_out_file, length_problem, write_left_out
from .summary import SplitSize
from .updates import update_lines, update_manifest
from .voices import Audio, unusable


class Spoken(NamedTuple):
    """One recording that is used; no text where the corpus, or the job, has none."""

    audio: Audio
    text: str | None


class Selection(NamedTuple):
    """What is used, in the order of the recordings, and what is not."""

    kept: list[Spoken]
    left_out: list[LeftOut]


class Lengths(NamedTuple):
    """Recordings of other lengths are left out."""

    min_seconds: float
    max_seconds: float


def select_spoken(
    measured: Measured, lengths: Lengths, text_of: Callable[[str], str | None] | None, normalise: Normaliser
) -> Selection:
    """The recordings of the right lengths that have words.

    text_of: a recording's name -> its raw text, None where it has none; without this function texts are not wanted.
    Raises ValueError naming the recording whose text cannot be normalised.
    """
    kept, left_out = [], list(measured.broken)
    for row in measured.rows:
        raw = None if text_of is None else text_of(row.name)
        try:
            text = None if raw is None else normalise(raw)
        except ValueError as error:
            raise ValueError(f"the text of {row.name}: {error}") from error
        if problem := length_problem(row.samples, *lengths):
            left_out.append(LeftOut(row.name, problem))
        elif text_of is not None and not text:
            left_out.append(LeftOut(row.name, "no transcript" if raw is None else "transcript without words"))
        else:
            kept.append(Spoken(row, text))
    return Selection(kept, left_out)


def keep_voiced(kept: Sequence[Spoken], left_out: Sequence[LeftOut], vectors: Mapping[str, Path | str]) -> Selection:
    """What is left of a selection when recordings without a vector (see `voices.make_vectors`) go."""
    broken = [LeftOut(row.audio.name, unusable(why)) for row in kept if isinstance(why := vectors[row.audio.name], str)]
    return Selection([row for row in kept if isinstance(vectors[row.audio.name], Path)], [*left_out, *broken])


def write_labelled(
    out: Path,
    split: str,
    root: Path,
    selected: Selection,
    speaker_of: Callable[[str], str] | None = None,
    vectors: Mapping[str, Path | str] | None = None,
) -> SplitSize:
    """Write out/SPLIT.tsv, SPLIT.txt where there are texts, and left_out/SPLIT.tsv; returns the size.

    vectors: of each recording's voice, the third column of t2s. Run again on the same recordings, it leaves manifest
    and texts as they are, with what other tools added. Raises ValueError when nothing is left.
    """
    kept, left_out = selected
    write_left_out(out, split, left_out)
    if not kept:
        first = f"; the first: {left_out[0].name}: {left_out[0].reason}" if left_out else ""
        raise ValueError(f"no recording of {split} is left of {len(left_out)}, see {left_out_file(out, split)}{first}")
    if kept[0].text is not None:
        update_lines(out / f"{split}.txt", lambda: (spoken.text or "" for spoken in kept))
    rows = [_fields(spoken.audio, root, vectors) for spoken in kept]
    update_manifest(out / f"{split}.tsv", root, lambda: rows, "s2t" if vectors is None else "t2s")
    speakers = None if speaker_of is None else (speaker_of(spoken.audio.name) for spoken in kept)
    return split_size(split, (spoken.audio.samples for spoken in kept), left_out, speakers)


def _fields(row: Audio, root: Path, vectors: Mapping[str, Path | str] | None) -> tuple[str | int, ...]:
    return row if vectors is None else (*row, os.path.relpath(vectors[row.name], root))


def write_speaker_table(out: Path, speakers: Iterable[tuple[str, str]]) -> None:
    """Write out/speakers.tsv, `path<TAB>speaker`: the --speaker-table of manifest_tools.speaker_vectors."""
    write_lines(out / "speakers.tsv", (f"{name}\t{speaker}" for name, speaker in speakers))
