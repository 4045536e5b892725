"""LibriTTS for speech synthesis: a t2s manifest of its folders, with texts and speaker vectors.

    python -m manifest_tools.libritts --corpus LibriTTS --out tts --train train-clean-100

The corpus (Zen et al. 2019, https://www.openslr.org/60) has PART/SPEAKER/CHAPTER/NAME.wav, 24 kHz, with
NAME.normalized.txt and NAME.original.txt beside each. The manifests count samples at 16 kHz; reading resamples.
SpeechT5 was fine-tuned on train-clean-100 and -360, the default here (arXiv 2110.07205). Recordings that are broken or
silent are left out and listed. At the end everything is checked.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

from speecht5_fairseq.data.text_normalisation import find_normaliser

from .command import add_jobs_option, run, workers
from .corpora import (
    add_corpus_options,
    add_extractor_option,
    add_length_options,
    add_normalise_option,
    add_vectors_of_option,
    check_lengths,
    contents,
    existing_folder,
    finish,
)
from .files import read_lines
from .headers import measure
from .label_vocabulary import (
    NO_VOCABULARY,
    VocabularyOptions,
    add_vocabulary_options,
    check_labelled,
    check_vocabulary,
    label_vocabulary,
    vocabulary_options,
)
from .labelled import Lengths, keep_voiced, select_spoken, write_labelled
from .summary import SplitSize
from .updates import check_old_splits
from .voices import make_vectors

PARTS = {"train": ("train-clean-100", "train-clean-360"), "valid": ("dev-clean",), "test": ("test-clean",)}
TEXTS = ("normalized", "original")


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
            raise FileNotFoundError(
                f"{folder}: no SPEAKER/CHAPTER/NAME.wav in it. {contents(folder)}; unpack the part there"
            )
        names += found
    for name in names:
        speaker_of(name)
    return names


def _read_text(corpus: Path, kind: str, name: str) -> str | None:
    file = (corpus / name).with_suffix(f".{kind}.txt")
    return " ".join(read_lines(file)) if file.is_file() else None


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
    vocabulary: VocabularyOptions = NO_VOCABULARY,
    n_jobs: int = 1,
) -> list[SplitSize]:
    """Write out/SPLIT.tsv (path, samples, speaker vector), SPLIT.txt and left_out/SPLIT.tsv, vectors to out/speakers.

    parts: split -> folders of the corpus; a split without any is not written. texts: "normalized" or "original", then
    `normaliser`. vectors_of: "speaker" (the mean of the split's recordings) or "recording". vocabulary: gives the texts
    their dict.txt. Returns the sizes. Run again on the same recordings, it leaves the files as they are.
    Raises FileNotFoundError or ValueError with the mend.
    """
    if texts not in TEXTS:
        raise ValueError(f"--texts {texts!r}: choose one of {', '.join(TEXTS)}")
    check_lengths(min_seconds, max_seconds)
    names = {split: _find(corpus, folders) for split, folders in parts.items() if folders}
    check_vocabulary(vocabulary, list(names))
    corpus, normalise, sizes = corpus.resolve(), find_normaliser(normaliser), []
    whose = speaker_of if vectors_of == "speaker" else None
    for split, found in names.items():
        measured = measure(corpus, found, out, split, n_jobs=n_jobs)
        lengths, text_of = Lengths(min_seconds, max_seconds), partial(_read_text, corpus, texts)
        kept, left_out = select_spoken(measured, lengths, text_of, normalise)
        audio = {split: (corpus, [spoken.audio for spoken in kept])} if kept else {}
        made = make_vectors(audio, out / "speakers" / split, extractor=extractor, speaker_of=whose, n_jobs=n_jobs)
        vectors = made.get(split, {})
        sizes.append(write_labelled(out, split, corpus, keep_voiced(kept, left_out, vectors), speaker_of, vectors))
    check_old_splits(out, names)
    label_vocabulary(out, vocabulary, n_jobs=n_jobs)
    return sizes


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m manifest_tools.libritts",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_corpus_options(parser, "the parts: train-clean-100, dev-clean ...")
    for split, folders in PARTS.items():
        parser.add_argument(
            f"--{split}",
            nargs="*",
            default=list(folders),
            metavar="PART",
            help=f"parts for {split}; none: no such split (default: {' '.join(folders)})",
        )
    parser.add_argument("--texts", choices=TEXTS, default="normalized", help="which text files (default: %(default)s)")
    add_normalise_option(parser)
    add_length_options(parser)
    add_vocabulary_options(parser)
    add_extractor_option(parser)
    add_vectors_of_option(parser)
    add_jobs_option(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line, prepare, print the sizes, check; exit code 1 when something is wrong."""
    options = vars(build_parser().parse_args(argv))
    parts = {split: options.pop(split) for split in PARTS}
    level, normaliser = options.pop("check"), options.pop("normalise")
    vocabulary = vocabulary_options(options)
    with workers(options) as n_jobs:
        sizes = prepare_libritts(**options, parts=parts, normaliser=normaliser, vocabulary=vocabulary, n_jobs=n_jobs)
    finish(sizes, check_labelled("t2s", options["out"], sizes, vocabulary, level))


if __name__ == "__main__":
    run(main)
