"""WHAM! and WHAMR! for speech enhancement: one talker in noise to the clean talker.

    python -m manifest_tools.wham --corpus wham --out enhance --trim

The corpora (http://wham.whisper.ai) have wav16k/{min,max}/{tr,cv,tt}/KIND/NAME.wav. Of WHAM! the kinds mix_single and
s1 are taken; of WHAMR!, where the talkers are in rooms, mix_single_reverb and s1_anechoic (the speech without the room;
s1_reverb keeps it); others by --noisy and --clean. The splits tr, cv and tt become train, valid and test. SpeechT5 used
WHAM!, 16 kHz, max, with the noise before and after the speech cut off, which --trim does (arXiv 2110.07205): it writes
the shorter files to OUT/wav. The talkers are WSJ0's: the first three characters of NAME. Recordings that are broken or
silent are left out and listed. At the end everything is checked.
"""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from speecht5_fairseq.constants import ENCODER_WINDOW
from speecht5_fairseq.data.audio import read_audio, write_audio
from speecht5_fairseq.data.errors import AudioError

from .check import check_data
from .command import add_jobs_option, run, workers
from .corpora import (
    add_corpus_options,
    add_extractor_option,
    add_vectors_of_option,
    contents,
    existing_folder,
    finish,
    split_size,
)
from .headers import measure
from .left_out import LeftOut, left_out_file, write_left_out
from .parallel import parallel_map
from .summary import SplitSize
from .updates import update_manifest
from .voices import Audio, make_vectors, unusable

logger = logging.getLogger(__name__)

FOLDERS = {"train": "tr", "valid": "cv", "test": "tt"}
LENGTHS = ("max", "min")
KINDS = (("mix_single", "s1"), ("mix_single_reverb", "s1_anechoic"))  # of WHAM! and of WHAMR!: noisy, clean
QUIET = 1e-4  # of full scale: below it the padding before and after the clean speech
ROUNDING = 2 / 2**15  # of full scale: what writing 16 bits may change
SPEAKER_CHARACTERS = 3


class Pair(NamedTuple):
    """One recording in noise, and without."""

    noisy: Audio
    clean: Audio


class Pairs(NamedTuple):
    """The pairs that are used, and the recordings that are not."""

    kept: list[Pair]
    left_out: list[LeftOut]


def find_splits(corpus: Path, length: str) -> Path:
    """The folder of tr, cv and tt: `corpus` itself, or wav16k/LENGTH below it. FileNotFoundError with the mend."""
    if length not in LENGTHS:
        raise ValueError(f"--length {length!r}: choose one of {', '.join(LENGTHS)}")
    candidates = (corpus / "wav16k" / length, corpus / length, corpus)
    for folder in candidates:
        if any((folder / split).is_dir() for split in FOLDERS.values()):
            return folder.resolve()
    raise FileNotFoundError(
        f"--corpus {corpus}: no folder {', '.join(FOLDERS.values())} in {', '.join(map(str, candidates))}. "
        f"{contents(corpus)}; make the 16 kHz corpus with the scripts of WHAM!, and give its folder"
    )


def find_kinds(root: Path, noisy: str | None, clean: str | None) -> tuple[str, str]:
    """The folders of sources and targets: as given, else those of WHAM! or, where there are none, of WHAMR!."""
    here = root / FOLDERS["train"]
    found = next((kinds for kinds in KINDS if all((here / kind).is_dir() for kind in kinds)), KINDS[0])
    return noisy or found[0], clean or found[1]


def speaker_of(name: str) -> str:
    """WSJ0's speaker: the first three characters of the first talker's utterance, which starts the file's name."""
    return PurePosixPath(name).name[:SPEAKER_CHARACTERS]


def speech_span(clean: np.ndarray) -> tuple[int, int]:
    """First sample of (S,) that is not padding, and one past the last. ValueError when all is."""
    loud = np.flatnonzero(np.abs(clean) > QUIET)
    if not len(loud):
        raise ValueError("the clean recording is silent")
    return int(loud[0]), int(loud[-1]) + 1


def _trim(pair: Pair, root: Path, out: Path) -> int | str:
    """Write the stretch of both files in which there is speech; returns its samples, or why there is none."""
    try:
        return _cut(pair, root, out)
    except ValueError as error:  # of read_audio too
        return str(error)


def _cut(pair: Pair, root: Path, out: Path) -> int:
    clean = read_audio(root / pair.clean.name)
    start, end = speech_span(clean)
    noisy = read_audio(root / pair.noisy.name, start=start, frames=end - start)
    for name, wave in ((pair.noisy.name, noisy), (pair.clean.name, clean[start:end])):
        if not _holds(out / name, wave):
            write_audio(out / name, wave)
    return end - start


def _holds(file: Path, wave: np.ndarray) -> bool:
    """Whether a file is (S,) in 16 bits, and need not be written: min and max, say, have the same names."""
    try:
        found = read_audio(file)
    except AudioError:
        return False
    return found.shape == wave.shape and bool((np.abs(found - wave.clip(-1, 1)) <= ROUNDING).all())


def _trim_all(found: Pairs, root: Path, out: Path, n_jobs: int) -> Pairs:
    """The pairs in their trimmed lengths, written below `out`; the speech must be of use to the encoder."""
    cut = partial(_trim, root=root, out=out)
    lengths = list(parallel_map(cut, found.kept, total=len(found.kept), n_jobs=n_jobs, description="trim"))
    kept, left_out = [], list(found.left_out)
    for pair, samples in zip(found.kept, lengths, strict=True):
        if isinstance(samples, str):
            left_out.append(LeftOut(pair.clean.name, f"cannot be trimmed ({samples})"))
        elif samples < ENCODER_WINDOW:
            left_out.append(LeftOut(pair.clean.name, f"too short ({samples} samples of speech)"))
        else:
            kept.append(Pair(Audio(pair.noisy.name, samples), Audio(pair.clean.name, samples)))
    return Pairs(kept, left_out)


def _read_split(root: Path, split: str, kinds: tuple[str, str], out: Path, n_jobs: int) -> Pairs:
    """The pairs of a split by their names; files that are broken, without a partner or of another length are not."""
    folder = FOLDERS[split]
    content = f"{' and '.join(kinds)} (others are named by --noisy and --clean)"
    names: dict[str, set[str]] = {}
    for kind in kinds:
        place = existing_folder(root / folder / kind, "--noisy, --clean", content)
        names[kind] = {path.name for path in place.glob("*.wav")}
    both = sorted(set.intersection(*names.values()))
    alone = [f"{folder}/{kind}/{name}" for kind in kinds for name in sorted(names[kind] - set(both))]
    left_out = [LeftOut(name, "no partner") for name in alone]
    files = [f"{folder}/{kind}/{name}" for kind in kinds for name in both]
    rows, broken = measure(root, files, out, split, n_jobs=n_jobs)
    lengths, pairs = {row.name: row for row in rows}, []
    for name in both:
        noisy, clean = (lengths.get(f"{folder}/{kind}/{name}") for kind in kinds)
        if noisy is None or clean is None:
            continue  # among `broken`
        if noisy.samples != clean.samples:
            left_out.append(LeftOut(noisy.name, f"another length ({noisy.samples} samples, clean {clean.samples})"))
        else:
            pairs.append(Pair(noisy, clean))
    return Pairs(pairs, left_out + broken)


def prepare_wham(
    corpus: Path,
    out: Path,
    *,
    length: str = "max",
    noisy: str | None = None,
    clean: str | None = None,
    trim: bool = False,
    extractor: str = "statistics",
    vectors_of: str = "speaker",
    n_jobs: int = 1,
) -> list[SplitSize]:
    """Write the s2s manifests out/{train,valid,test}.tsv and left_out/SPLIT.tsv, vectors to out/speakers.

    corpus: the folder of wav16k, or of tr, cv and tt. length: "max" or "min". noisy, clean: folders of source and
    target; None: those of WHAM!, or of WHAMR! where the corpus has these alone. trim: cut what comes before and after
    the speech off, into files below out/wav. vectors_of: "speaker" (the mean of the split's clean recordings) or
    "recording". Without cv or tt there is no such split, and a warning. Returns the sizes.
    Raises FileNotFoundError or ValueError with the mend.
    """
    root, out, sizes = find_splits(corpus, length), out.resolve(), []
    kinds = find_kinds(root, noisy, clean)
    logger.info("%s: from %s to %s", root, *kinds)
    whose: Callable[[str], str] | None = speaker_of if vectors_of == "speaker" else None
    for split, folder in FOLDERS.items():
        if split != "train" and not (root / folder).is_dir():
            logger.warning("%s: no such folder, so no %s.tsv", root / folder, split)
            continue
        found, place = _read_split(root, split, kinds, out, n_jobs), root
        if trim:
            place = out / "wav"
            found = _trim_all(found, root, place, n_jobs)
        vectors = make_vectors(
            {split: (place, [pair.clean for pair in found.kept])} if found.kept else {},
            out / "speakers" / split,
            extractor=extractor,
            speaker_of=whose,
            n_jobs=n_jobs,
        ).get(split, {})
        sizes.append(_write(out, split, place, "wav" if trim else str(place), found, vectors))
    return sizes


def _write(out: Path, split: str, place: Path, root: str, found: Pairs, vectors: Mapping[str, Path | str]) -> SplitSize:
    broken = [LeftOut(name, unusable(why)) for name, why in vectors.items() if isinstance(why, str)]
    left_out = [*found.left_out, *broken]
    write_left_out(out, split, left_out)
    kept = [pair for pair in found.kept if isinstance(vectors[pair.clean.name], Path)]
    if not kept:
        first = f"; the first: {left_out[0].name}: {left_out[0].reason}" if left_out else ""
        raise ValueError(f"{split}: no pair of one name and length is left, see {left_out_file(out, split)}{first}")
    rows = [(*pair.noisy, *pair.clean, os.path.relpath(vectors[pair.clean.name], place)) for pair in kept]
    update_manifest(out / f"{split}.tsv", root, lambda: rows, "s2s")
    return split_size(split, (p.noisy.samples for p in kept), left_out, (speaker_of(p.clean.name) for p in kept))


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m manifest_tools.wham", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_corpus_options(parser, "wav16k, or tr, cv and tt")
    parser.add_argument("--length", choices=LENGTHS, default="max", help="which version (default: %(default)s)")
    parser.add_argument("--noisy", metavar="KIND", help="of the sources (default: mix_single, else mix_single_reverb)")
    parser.add_argument("--clean", metavar="KIND", help="of the targets (default: s1, else s1_anechoic)")
    parser.add_argument("--trim", action="store_true", help="cut off the noise before and after the speech")
    add_extractor_option(parser)
    add_vectors_of_option(parser)
    add_jobs_option(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line, prepare, print the sizes, check; exit code 1 when something is wrong."""
    options = vars(build_parser().parse_args(argv))
    level = options.pop("check")
    with workers(options) as n_jobs:
        sizes = prepare_wham(**options, n_jobs=n_jobs)
    finish(sizes, check_data("s2s", options["out"], splits=[size.split for size in sizes], level=level))


if __name__ == "__main__":
    run(main)
