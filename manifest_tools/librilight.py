"""Libri-Light for pre-training: chapters of audiobooks without transcripts, cut where the reader pauses.

    python -m manifest_tools.librilight --corpus librilight/small --out librilight/pretrain

The corpus (Kahn et al. 2020; its parts small, medium, large) has SPEAKER/BOOK/NAME.flac, and beside each NAME.json with
the stretches of speech: "voice_activity": [[0.4, 12.32], ...], in seconds. Neighbours are joined up to --max-seconds,
unless the pause between them is longer than --max-pause; longer stretches are cut into equal parts. Each becomes
OUT/audio/SPEAKER/BOOK/NAME_NNNN.flac, or with --audio-format none stays in its chapter: the rows name
SPEAKER/BOOK/NAME.flac:START:SAMPLES, at 16 kHz. --segments none lists the chapters as they are: training takes random
crops of them, one an epoch. Some speakers are held out as valid. Chapters that are broken are left out and listed. A
stopped run goes on with what is missing; at the end the audio is checked. Then come manifest_tools.speaker_vectors
(--speaker-level 1) and manifest_tools.units.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from speecht5_fairseq.constants import SAMPLE_RATE

from .check import check_data
from .command import add_jobs_option, run, workers
from .corpora import add_corpus_options, check_lengths, contents, existing_folder, finish
from .files import split_by_hash, write_text
from .headers import measure
from .labelled import Lengths, Selection, Spoken, select_spoken, write_labelled
from .left_out import LeftOut
from .parallel import parallel_map
from .segments import FORMATS, UNCUT, Folders, Segment, check_format, cut_source
from .summary import SplitSize
from .updates import check_old_splits
from .voices import Audio

logger = logging.getLogger(__name__)

AUDIO = "audio"  # below the output, and the root of the manifests
LAYOUT = "SPEAKER/BOOK/NAME.flac"
SEGMENTS = ("vad", "none")
SPLIT_SALT = "librilight-1"
Stretch = tuple[float, float]  # start and end, seconds


class Joining(NamedTuple):
    """How stretches of speech become segments, in seconds."""

    min_seconds: float = 2.0
    max_seconds: float = 30.0
    max_pause: float = 1.0


class Chapter(NamedTuple):
    """What is made of one recording."""

    kept: list[Audio]
    left_out: list[LeftOut]


def speaker_of(name: str) -> str:
    """The speaker of SPEAKER/BOOK/NAME.flac. ValueError for a path of another layout."""
    parts = PurePosixPath(name).parts
    if len(parts) != 3:
        raise ValueError(f"{name}: not {LAYOUT}, as Libri-Light has it; give the folder of one part (small, say)")
    return parts[0]


def find_chapters(corpus: Path) -> list[str]:
    """The recordings of a part, sorted. FileNotFoundError or ValueError for another layout."""
    names = sorted(path.relative_to(corpus).as_posix() for path in corpus.rglob("*.flac"))
    if not names:
        raise FileNotFoundError(f"--corpus {corpus}: no {LAYOUT} in it. {contents(corpus)}; unpack a part, small say")
    for name in names:
        speaker_of(name)
    return names


def read_activity(path: Path) -> list[Stretch]:
    """The stretches of speech that a chapter's json lists, in order. ValueError when there are none to be read."""
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))["voice_activity"]
        stretches = sorted((float(start), float(end)) for start, end in listed)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path.name}: {type(error).__name__}: {error}") from error
    if any(not 0 <= start < end < math.inf for start, end in stretches):
        raise ValueError(f"{path.name}: a stretch that does not end after it starts")
    return stretches


def join(stretches: Sequence[Stretch], joining: Joining) -> list[Stretch]:
    """Segments of at most `max_seconds`: neighbours together, what is longer in equal parts."""
    joined: list[Stretch] = []
    for start, end in stretches:
        if joined:
            first, last = joined[-1]
            if start - last <= joining.max_pause and end - first <= joining.max_seconds:
                joined[-1] = (first, max(last, end))
                continue
        parts = math.ceil((end - start) / joining.max_seconds)
        step = (end - start) / parts
        joined += [(start + part * step, start + (part + 1) * step) for part in range(parts)]
    return joined


def cut_chapter(name: str, corpus: Path, out: Path, suffix: str, joining: Joining) -> Chapter:
    """Write the segments of a chapter that are not there yet; what is broken is told in the result."""
    base = PurePosixPath(name).with_suffix("")
    listing = (corpus / name).with_suffix(".json")
    try:
        stretches = join(read_activity(listing), joining)
    except ValueError as error:
        return Chapter([], [LeftOut(name, f"no stretches of speech ({error})")])
    segments, left_out = [], []
    for number, (start, end) in enumerate(stretches):
        first, samples = round(start * SAMPLE_RATE), round((end - start) * SAMPLE_RATE)
        if samples < joining.min_seconds * SAMPLE_RATE:
            left_out.append(LeftOut(f"{base}_{number:04d}", f"too short ({end - start:.3f} s)"))
        else:
            segments.append(Segment(name, f"{base}_{number:04d}", first, samples))
    folders = Folders(corpus, out / AUDIO, suffix, listing.stat().st_mtime_ns)
    cut = cut_source(segments, folders) if segments else []
    kept = []
    for segment, length in zip(segments, cut, strict=True):
        if isinstance(length, str):
            left_out.append(LeftOut(segment.name, length))
        else:
            kept.append(Audio(folders.row_path(segment, length), length))
    return Chapter(kept, left_out)


def _whole(names: Sequence[str], corpus: Path, out: Path, joining: Joining, n_jobs: int) -> Chapter:
    """The chapters as they are."""
    measured = measure(corpus, names, out, "chapters", n_jobs=n_jobs)
    selected = select_spoken(measured, Lengths(joining.min_seconds, math.inf), None, str)
    return Chapter([spoken.audio for spoken in selected.kept], selected.left_out)


def _check_joining(out: Path, joining: Joining) -> None:
    """Segments are named by their numbers: those of other options have the same names, and perhaps the same lengths."""
    options = {"max_seconds": joining.max_seconds, "max_pause": joining.max_pause}
    record = out / "librilight.json"
    known = json.loads(record.read_text()) if record.is_file() else options
    if known != options:
        was = ", ".join(f"--{name.replace('_', '-')} {value:g}" for name, value in known.items())
        raise ValueError(f"{out / AUDIO} has the segments of {was}; give these, or choose another --out")
    write_text(record, json.dumps(options) + "\n")


def _cut_all(names: Sequence[str], corpus: Path, out: Path, suffix: str, joining: Joining, n_jobs: int) -> Chapter:
    cut = partial(cut_chapter, corpus=corpus, out=out, suffix=suffix, joining=joining)
    chapters = parallel_map(cut, names, total=len(names), n_jobs=n_jobs, description="cut", unit="chapter")
    kept, left_out = [], []
    for chapter in chapters:
        kept += chapter.kept
        left_out += chapter.left_out
    return Chapter(kept, left_out)


def prepare_librilight(
    corpus: Path,
    out: Path,
    *,
    segments: str = "vad",
    joining: Joining | None = None,
    audio_format: str = "flac",
    valid_fraction: float = 0.01,
    n_jobs: int = 1,
) -> list[SplitSize]:
    """Write out/{train,valid}.tsv and left_out/SPLIT.tsv, and the segments to out/audio, their options beside it.

    corpus: the folder of SPEAKER/BOOK/NAME.flac. segments: "vad" cuts by the lists of speech, "none" takes chapters
    whole. valid_fraction: share of the speakers held out, by their names. Returns the sizes.
    Raises FileNotFoundError or ValueError with the mend.
    """
    joining = joining or Joining()
    if segments not in SEGMENTS:
        raise ValueError(f"--segments {segments!r}: choose one of {', '.join(SEGMENTS)}")
    if not 0 <= valid_fraction < 1:
        raise ValueError(f"--valid-fraction {valid_fraction:g}: give a share of the speakers, below 1")
    if joining.max_pause < 0:
        raise ValueError(f"--max-pause {joining.max_pause:g}: give seconds, 0 or more")
    check_lengths(joining.min_seconds, joining.max_seconds)
    check_format(audio_format, (*FORMATS, UNCUT))
    corpus, out = existing_folder(corpus, "--corpus", LAYOUT).resolve(), out.resolve()
    names = find_chapters(corpus)
    if segments == "vad":
        if audio_format != UNCUT:
            _check_joining(out, joining)
        found = _cut_all(names, corpus, out, audio_format, joining, n_jobs)
        root = corpus if audio_format == UNCUT else Path(AUDIO)
    else:
        found, root = _whole(names, corpus, out, joining, n_jobs), corpus
    splits = {split: Selection([], []) for split in ("train", "valid")}
    for row in found.kept:
        splits[split_by_hash(speaker_of(row.name), SPLIT_SALT, valid_fraction, 0.0)].kept.append(Spoken(row, None))
    for left in found.left_out:
        splits[split_by_hash(speaker_of(left.name), SPLIT_SALT, valid_fraction, 0.0)].left_out.append(left)
    if not splits["valid"].kept:
        logger.warning("no speaker fell into the valid split: no valid.tsv; raise --valid-fraction %g", valid_fraction)
    written = [split for split, selected in splits.items() if selected.kept or split == "train"]
    sizes = [write_labelled(out, split, root, splits[split], speaker_of) for split in written]
    check_old_splits(out, written)
    return sizes


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    defaults = Joining()
    parser = argparse.ArgumentParser(
        prog="python -m manifest_tools.librilight",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_corpus_options(parser, LAYOUT)
    add = parser.add_argument
    add("--segments", choices=SEGMENTS, default="vad", help="where the reader pauses, or whole (default: %(default)s)")
    add("--min-seconds", type=float, default=defaults.min_seconds, help="leave out shorter ones (default: %(default)s)")
    add("--max-seconds", type=float, help=f"of a segment (default: {defaults.max_seconds})")
    add("--max-pause", type=float, help=f"seconds within a segment (default: {defaults.max_pause})")
    add(
        "--audio-format",
        choices=(*FORMATS, UNCUT),
        help="of the segments; none: they are not cut out of their chapters (default: flac)",
    )
    add("--valid-fraction", type=float, default=0.01, help="share of the speakers held out (default: %(default)s)")
    add_jobs_option(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line, prepare, print the sizes, check; exit code 1 when something is wrong."""
    options = vars(build_parser().parse_args(argv))
    level, least = options.pop("check"), options.pop("min_seconds")
    longest, pause, audio_format = (options.pop(name) for name in ("max_seconds", "max_pause", "audio_format"))
    if options["segments"] == "none" and (longest, pause, audio_format) != (None, None, None):
        raise ValueError(
            "--max-seconds, --max-pause, --audio-format have no effect with --segments none: leave them out"
        )
    defaults = Joining(min_seconds=least)
    joining = Joining(
        least,
        defaults.max_seconds if longest is None else longest,
        defaults.max_pause if pause is None else pause,
    )
    with workers(options) as n_jobs:
        sizes = prepare_librilight(**options, joining=joining, audio_format=audio_format or "flac", n_jobs=n_jobs)
    finish(sizes, check_data("audio", options["out"], splits=[size.split for size in sizes], level=level))


if __name__ == "__main__":
    run(main)
