"""LibriTTS for speech synthesis: a t2s manifest of its folders, with texts and speaker vectors.

    python -m manifest_tools.libritts --corpus LibriTTS --out tts --train train-clean-100

The corpus (Zen et al. 2019, https://www.openslr.org/60) has PART/SPEAKER/CHAPTER/NAME.wav, 24 kHz, with
NAME.normalized.txt and NAME.original.txt beside each. The manifests count samples at 16 kHz; reading resamples.
SpeechT5 was fine-tuned on train-clean-100 and -360, the default here (arXiv 2110.07205).
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from speecht5_fairseq.constants import SAMPLE_RATE
from speecht5_fairseq.data.manifest import write_manifest
from speecht5_fairseq.data.text_normalisation import Normaliser, find_normaliser

from .command import add_jobs_option, run
from .corpora import (
    LeftOut,
    add_extractor_option,
    add_vectors_of_option,
    existing_folder,
    measure,
    write_left_out,
)
from .files import read_lines, write_lines
from .parallel import default_jobs
from .summary import SplitSize, size_table
from .voices import Audio, make_vectors

PARTS = {"train": ("train-clean-100", "train-clean-360"), "valid": ("dev-clean",), "test": ("test-clean",)}
TEXTS = ("normalized", "original")


class Spoken(NamedTuple):
    """One recording that is used."""

    audio: Audio
    text: str


def speaker_of(name: str) -> str:
    """The speaker of PART/SPEAKER/CHAPTER/NAME.wav. ValueError for a path of another layout."""
    parts = PurePosixPath(name).parts
    if len(parts) != 4:
        raise ValueError(f"{name}: not PART/SPEAKER/CHAPTER/NAME.wav, as LibriTTS has it; move it there or away")
    return parts[1]


def _find(corpus: Path, parts: Sequence[str]) -> list[str]:
    """The recordings of some parts, sorted. FileNotFoundError for a part that is not there, or has none."""
    names = []
    for part in parts:
        folder = existing_folder(corpus / part, f"--corpus {corpus}", f"the part {part} (or choose others)")
        found = sorted(path.relative_to(corpus).as_posix() for path in folder.rglob("*.wav"))
        if not found:
            raise FileNotFoundError(f"{folder}: no SPEAKER/CHAPTER/NAME.wav in it; unpack the part there")
        names += found
    return names


def _select(
    corpus: Path, rows: Sequence[Audio], texts: str, normalise: Normaliser, min_seconds: float, max_seconds: float
) -> tuple[list[Spoken], list[LeftOut]]:
    kept: list[Spoken] = []
    left_out: list[LeftOut] = []
    for row in rows:
        file = (corpus / row.name).with_suffix(f".{texts}.txt")
        text = normalise(" ".join(read_lines(file))) if file.is_file() else ""
        seconds = row.samples / SAMPLE_RATE
        if not min_seconds <= seconds <= max_seconds:
            left_out.append((row.name, f"{seconds:.3f} s is not within {min_seconds:g} to {max_seconds:g} s"))
        elif not text:
            left_out.append((row.name, "the text has no words" if file.is_file() else f"no {file.name}"))
        else:
            kept.append(Spoken(row, text))
    return kept, left_out


def prepare_libritts(
    corpus: Path,
    out: Path,
    *,
    parts: Mapping[str, Sequence[str]] = PARTS,
    texts: str = "normalized",
    normaliser: str = "none",
    min_seconds: float = 0.1,
    max_seconds: float = 30.0,
    extractor: str = "statistics",
    vectors_of: str = "speaker",
    n_jobs: int = 1,
) -> list[SplitSize]:
    """Write out/SPLIT.tsv (path, samples, speaker vector), SPLIT.txt and SPLIT.left_out.tsv, vectors to out/speakers.

    parts: split -> folders of the corpus; a split without any is not written. texts: "normalized" or "original", then
    `normaliser`. vectors_of: "speaker" (the mean of the split's recordings) or "recording". Returns the sizes.
    Raises FileNotFoundError, AudioError or ValueError with the mend.
    """
    if texts not in TEXTS:
        raise ValueError(f"--texts {texts!r}: choose one of {', '.join(TEXTS)}")
    if not 0.025 <= min_seconds <= max_seconds:
        raise ValueError(f"--min-seconds {min_seconds:g} and --max-seconds {max_seconds:g}: give 0.025 <= min <= max")
    corpus, normalise, sizes = corpus.resolve(), find_normaliser(normaliser), []
    names = {split: _find(corpus, folders) for split, folders in parts.items() if folders}
    for split, found in names.items():
        rows = measure(corpus, found, n_jobs=n_jobs, description=f"headers {split}")
        kept, left_out = _select(corpus, rows, texts, normalise, min_seconds, max_seconds)
        write_left_out(out, split, left_out)
        if not kept:
            raise ValueError(f"no recording of {split} is left; see {out / split}.left_out.tsv")
        audio = [spoken.audio for spoken in kept]
        whose = speaker_of if vectors_of == "speaker" else None
        made = make_vectors(
            {split: (corpus, audio)}, out / "speakers" / split, extractor=extractor, speaker_of=whose, n_jobs=n_jobs
        )
        vectors = (os.path.relpath(path, corpus) for path in made[split])
        write_lines(out / f"{split}.txt", (spoken.text for spoken in kept))
        write_manifest(
            out / f"{split}.tsv", corpus, ((*row, vector) for row, vector in zip(audio, vectors, strict=True))
        )
        sizes.append(SplitSize(split, len(kept), sum(row.samples for row in audio)))
    return sizes


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m manifest_tools.libritts",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--corpus", type=Path, required=True, metavar="DIR", help="the folder that holds the parts")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where manifests, texts, vectors go")
    for split, folders in PARTS.items():
        parser.add_argument(
            f"--{split}",
            nargs="*",
            default=list(folders),
            metavar="PART",
            help=f"parts for {split}; none: no such split (default: {' '.join(folders)})",
        )
    parser.add_argument("--texts", choices=TEXTS, default="normalized", help="which text files (default: %(default)s)")
    parser.add_argument(
        "--normalise", default="none", metavar="en|none|...", help="as manifest_tools.recordings (default: none)"
    )
    parser.add_argument("--min-seconds", type=float, default=0.1, help="leave out shorter ones (default: %(default)s)")
    parser.add_argument("--max-seconds", type=float, default=30.0, help="leave out longer ones (default: %(default)s)")
    add_extractor_option(parser)
    add_vectors_of_option(parser)
    add_jobs_option(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line, prepare, print the sizes."""
    options = vars(build_parser().parse_args(argv))
    parts = {split: options.pop(split) for split in PARTS}
    n_jobs, normaliser = options.pop("jobs") or default_jobs(), options.pop("normalise")
    print(size_table(prepare_libritts(**options, parts=parts, normaliser=normaliser, n_jobs=n_jobs)))


if __name__ == "__main__":
    run(main)
