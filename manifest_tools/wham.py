"""WHAM! and WHAMR! for speech enhancement: one talker in noise to the clean talker.

    python -m manifest_tools.wham --corpus wham --out enhance --trim

The corpora (http://wham.whisper.ai) have wav16k/{min,max}/{tr,cv,tt}/{mix_single,s1,...}/NAME.wav; in WHAMR! the last
are mix_single_reverb, s1_anechoic and so on: name them by --noisy and --clean. The splits tr, cv and tt become train,
valid and test. SpeechT5 used WHAM!, 16 kHz, max, with the noise before and after the speech cut off, which --trim does
(arXiv 2110.07205): it writes the shorter files to OUT/wav. The talkers are WSJ0's: the first three characters of NAME.
"""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from speecht5_fairseq.data.audio import read_audio, write_audio
from speecht5_fairseq.data.manifest import write_manifest

from .command import add_jobs_option, run
from .corpora import (
    add_extractor_option,
    add_vectors_of_option,
    existing_folder,
    measure,
    write_left_out,
)
from .parallel import default_jobs, parallel_map
from .summary import SplitSize, size_table
from .voices import Audio, make_vectors

logger = logging.getLogger(__name__)

FOLDERS = {"train": "tr", "valid": "cv", "test": "tt"}
LENGTHS = ("max", "min")
QUIET = 1e-4  # of full scale: below it the padding before and after the clean speech
SPEAKER_CHARACTERS = 3


class Pair(NamedTuple):
    """One recording in noise, and without."""

    noisy: Audio
    clean: Audio


def find_splits(corpus: Path, length: str) -> Path:
    """The folder of tr, cv and tt: `corpus` itself, or wav16k/LENGTH below it. FileNotFoundError with the mend."""
    if length not in LENGTHS:
        raise ValueError(f"--length {length!r}: choose one of {', '.join(LENGTHS)}")
    candidates = (corpus / "wav16k" / length, corpus / length, corpus)
    for folder in candidates:
        if any((folder / split).is_dir() for split in FOLDERS.values()):
            return folder.resolve()
    raise FileNotFoundError(
        f"--corpus {corpus}: no folder {', '.join(FOLDERS.values())} in {', '.join(map(str, candidates))}; make the "
        "16 kHz corpus with the scripts of WHAM!, and give its folder"
    )


def speaker_of(name: str) -> str:
    """WSJ0's speaker: the first three characters of the first talker's utterance, which starts the file's name."""
    return PurePosixPath(name).name[:SPEAKER_CHARACTERS]


def speech_span(clean: np.ndarray) -> tuple[int, int]:
    """First sample of (S,) that is not padding, and one past the last. ValueError when all is."""
    loud = np.flatnonzero(np.abs(clean) > QUIET)
    if not len(loud):
        raise ValueError("the clean recording is silent")
    return int(loud[0]), int(loud[-1]) + 1


def _trim(pair: Pair, root: Path, out: Path) -> int:
    """Write the stretch of both files in which there is speech; returns its samples."""
    clean = read_audio(root / pair.clean.name)
    try:
        start, end = speech_span(clean)
    except ValueError as error:
        raise ValueError(f"{root / pair.clean.name}: {error}; delete it and {root / pair.noisy.name}") from error
    targets = (out / pair.noisy.name, out / pair.clean.name)
    sources = (root / pair.noisy.name, root / pair.clean.name)
    fresh = [
        t.is_file() and t.stat().st_mtime_ns >= s.stat().st_mtime_ns for t, s in zip(targets, sources, strict=True)
    ]
    if not all(fresh):
        write_audio(targets[0], read_audio(sources[0], start=start, frames=end - start))
        write_audio(targets[1], clean[start:end])
    return end - start


def _trim_all(pairs: Sequence[Pair], root: Path, out: Path, n_jobs: int) -> list[Pair]:
    """The pairs in their trimmed lengths, written below `out`."""
    cut = partial(_trim, root=root, out=out)
    lengths = parallel_map(cut, pairs, total=len(pairs), n_jobs=n_jobs, description="trim")
    return [
        Pair(Audio(pair.noisy.name, samples), Audio(pair.clean.name, samples))
        for pair, samples in zip(pairs, lengths, strict=True)
    ]


def _read_split(
    root: Path, folder: str, noisy: str, clean: str, n_jobs: int
) -> tuple[list[Pair], list[tuple[str, str]]]:
    """The pairs of a split by their names, and (path, reason) of the files without a partner or of another length."""
    content = f"{noisy} and {clean} (WHAMR! has others: name them by --noisy and --clean)"
    names: dict[str, set[str]] = {}
    for kind in (noisy, clean):
        place = existing_folder(root / folder / kind, "--noisy, --clean", content)
        names[kind] = {path.name for path in place.glob("*.wav")}
    both = sorted(names[noisy] & names[clean])
    left_out = [(f"{folder}/{kind}/{name}", "no partner") for kind in names for name in sorted(names[kind] - set(both))]
    rows = {
        kind: measure(root, [f"{folder}/{kind}/{name}" for name in both], n_jobs=n_jobs, description=f"{folder}/{kind}")
        for kind in (noisy, clean)
    }
    pairs = [Pair(*row) for row in zip(rows[noisy], rows[clean], strict=True)]
    unequal = [pair for pair in pairs if pair.noisy.samples != pair.clean.samples]
    left_out += [(p.noisy.name, f"{p.noisy.samples} samples, the clean one {p.clean.samples}") for p in unequal]
    pairs = [pair for pair in pairs if pair.noisy.samples == pair.clean.samples]
    if not pairs:
        raise FileNotFoundError(
            f"{root / folder}: no file of one name and length in {noisy} and {clean}; make them again"
        )
    return pairs, left_out


def prepare_wham(
    corpus: Path,
    out: Path,
    *,
    length: str = "max",
    noisy: str = "mix_single",
    clean: str = "s1",
    trim: bool = False,
    extractor: str = "statistics",
    vectors_of: str = "speaker",
    n_jobs: int = 1,
) -> list[SplitSize]:
    """Write the s2s manifests out/{train,valid,test}.tsv and SPLIT.left_out.tsv, vectors to out/speakers.

    corpus: the folder of wav16k, or of tr, cv and tt. length: "max" or "min". noisy, clean: folders of source and
    target. trim: cut what comes before and after the speech off, into files below out/wav. vectors_of: "speaker" (the
    mean of the split's clean recordings) or "recording". Without cv or tt there is no such
    split, and a warning. Returns the sizes. Raises FileNotFoundError, AudioError or ValueError with the mend.
    """
    root, out, sizes = find_splits(corpus, length), out.resolve(), []
    whose: Callable[[str], str] | None = speaker_of if vectors_of == "speaker" else None
    for split, folder in FOLDERS.items():
        if split != "train" and not (root / folder).is_dir():
            logger.warning("%s: no such folder, so no %s.tsv", root / folder, split)
            continue
        pairs, left_out = _read_split(root, folder, noisy, clean, n_jobs)
        write_left_out(out, split, left_out)
        place = out / "wav" if trim else root
        if trim:
            pairs = _trim_all(pairs, root, place, n_jobs)
        speakers = make_vectors(
            {split: (place, [pair.clean for pair in pairs])},
            out / "speakers" / split,
            extractor=extractor,
            speaker_of=whose,
            n_jobs=n_jobs,
        )[split]
        rows = ((*p.noisy, *p.clean, os.path.relpath(path, place)) for p, path in zip(pairs, speakers, strict=True))
        write_manifest(out / f"{split}.tsv", "wav" if trim else place, rows)
        sizes.append(SplitSize(split, len(pairs), sum(pair.noisy.samples for pair in pairs)))
    return sizes


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m manifest_tools.wham", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, required=True, metavar="DIR", help="holds wav16k, or tr, cv and tt")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where manifests and vectors go")
    parser.add_argument("--length", choices=LENGTHS, default="max", help="which version (default: %(default)s)")
    parser.add_argument("--noisy", default="mix_single", help="folder of the sources (default: %(default)s)")
    parser.add_argument("--clean", default="s1", help="folder of the targets (default: %(default)s)")
    parser.add_argument("--trim", action="store_true", help="cut off the noise before and after the speech")
    add_extractor_option(parser)
    add_vectors_of_option(parser)
    add_jobs_option(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line, prepare, print the sizes."""
    options = vars(build_parser().parse_args(argv))
    n_jobs = options.pop("jobs") or default_jobs()
    print(size_table(prepare_wham(**options, n_jobs=n_jobs)))


if __name__ == "__main__":
    run(main)
