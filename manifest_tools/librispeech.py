"""LibriSpeech for pre-training and recognition: its recordings with their transcripts.

    python -m manifest_tools.librispeech --corpus LibriSpeech --out librispeech/960h --valid-fraction 0.005 \\
        --vocabulary librispeech/lm_text/vocabulary
    python -m manifest_tools.librispeech --corpus LibriSpeech --out librispeech/100h --train train-clean-100 \\
        --vocabulary librispeech/lm_text/vocabulary

The corpus (Panayotov et al. 2015, https://www.openslr.org/12) has PART/SPEAKER/CHAPTER/SPEAKER-CHAPTER-NUMBER.flac, and
beside them SPEAKER-CHAPTER.trans.txt with lines `NAME TEXT`. The parts of --train make one split, train; each part of
--splits makes one of its own name. One manifest serves both jobs: pre-training reads the speech (then come
manifest_tools.speaker_vectors with --speaker-level 2 and manifest_tools.units), recognition the texts too.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from .command import add_jobs_option, run, workers
from .corpora import add_corpus_options, add_length_options, check_lengths, contents, existing_folder, finish
from .files import SPLITS, read_lines, split_by_hash
from .headers import measure
from .label_vocabulary import (
    VocabularyOptions,
    add_vocabulary_options,
    check_labelled,
    check_vocabulary,
    label_vocabulary,
    vocabulary_options,
)
from .labelled import Lengths, select_spoken, write_labelled
from .left_out import LeftOut
from .summary import SplitSize
from .updates import check_old_splits

TRAIN = ("train-clean-100", "train-clean-360", "train-other-500")
HELD_OUT = ("dev-clean", "dev-other", "test-clean", "test-other")
SPLIT_SALT = "librispeech-1"
CASES = ("lower", "upper")
LAYOUT = "PART/SPEAKER/CHAPTER/SPEAKER-CHAPTER-NUMBER.flac"


def speaker_of(name: str) -> str:
    """The speaker of PART/SPEAKER/CHAPTER/NAME.flac. ValueError for a path of another layout."""
    parts = PurePosixPath(name).parts
    if len(parts) != 4:
        raise ValueError(f"{name}: not {LAYOUT}, as LibriSpeech has it; move it there or away")
    return parts[1]


def find_recordings(corpus: Path, part: str) -> list[str]:
    """The recordings of a part, sorted. FileNotFoundError or ValueError for another layout."""
    folder = existing_folder(corpus / part, f"--corpus {corpus}", f"SPEAKER/CHAPTER/*.flac of {part}")
    names = sorted(path.relative_to(corpus).as_posix() for path in folder.rglob("*.flac"))
    if not names:
        raise FileNotFoundError(f"{folder}: no SPEAKER/CHAPTER/*.flac in it. {contents(folder)}; unpack the part there")
    for name in names:
        speaker_of(name)
    return names


def read_transcripts(corpus: Path, part: str) -> dict[str, str]:
    """Path of a recording -> its text, of all *.trans.txt of a part. ValueError naming the line of another form."""
    texts = {}
    for path in sorted((corpus / part).rglob("*.trans.txt")):
        folder = path.parent.relative_to(corpus).as_posix()
        for number, line in enumerate(read_lines(path), start=1):
            name, space, text = line.partition(" ")
            if not line.strip():
                continue
            if not space or not name.startswith(path.name.removesuffix(".trans.txt") + "-"):
                raise ValueError(f"{path}:{number}: {line!r} is not `NAME TEXT` of this chapter; unpack it again")
            texts[f"{folder}/{name}.flac"] = text
    return texts


def _split_names(
    corpus: Path, train: Sequence[str], splits: Sequence[str], valid_fraction: float
) -> dict[str, list[str]]:
    """split -> its recordings: train, valid where some of train are held out, and the other parts by their names."""
    names: dict[str, list[str]] = {}
    for name in (name for part in train for name in find_recordings(corpus, part)):
        names.setdefault(split_by_hash(name, SPLIT_SALT, valid_fraction, 0.0), []).append(name)
    order = {split: names[split] for split in ("train", "valid") if split in names}
    return order | {part: find_recordings(corpus, part) for part in splits}


def _without_audio(texts: Iterable[str], names: Mapping[str, Sequence[str]]) -> dict[str, list[LeftOut]]:
    """split -> the transcripts without a recording."""
    known, missing = {name for found in names.values() for name in found}, dict[str, list[LeftOut]]()
    for name in texts:
        if name not in known:
            part = PurePosixPath(name).parts[0]
            missing.setdefault(part if part in names else "train", []).append(LeftOut(name, "no such file"))
    return missing


def _check_options(train: Sequence[str], splits: Sequence[str], valid_fraction: float, case: str) -> None:
    if case not in CASES:
        raise ValueError(f"--case {case!r}: choose one of {', '.join(CASES)}")
    if not 0 <= valid_fraction < 1:
        raise ValueError(f"--valid-fraction {valid_fraction:g}: give a share of the training recordings, below 1")
    if twice := set(train) & set(splits):
        raise ValueError(
            f"--splits {', '.join(sorted(twice))}: in --train too; what is held out must not be trained on"
        )
    if not train and not splits:
        raise ValueError("neither --train nor --splits names a part: give some")


def prepare_librispeech(
    corpus: Path,
    out: Path,
    *,
    train: Sequence[str] = TRAIN,
    splits: Sequence[str] = HELD_OUT,
    valid_fraction: float = 0.0,
    case: str = "lower",
    min_seconds: float = 0.1,
    max_seconds: float = 40.0,
    vocabulary: VocabularyOptions | None = None,
    n_jobs: int = 1,
) -> list[SplitSize]:
    """Write out/SPLIT.tsv, SPLIT.txt and left_out/SPLIT.tsv, and dict.txt.

    train: parts of the split train; splits: parts that are splits of their own. valid_fraction: share of the recordings
    of `train` that make the split valid, chosen by their names. case: of the texts, which the corpus has in capitals.
    vocabulary: default a new one of characters. Returns the sizes. Run again, it reads what is new, and leaves files
    whose content stays as they are. Raises FileNotFoundError or ValueError with the mend.
    """
    vocabulary = vocabulary or VocabularyOptions()
    _check_options(train, splits, valid_fraction, case)
    check_lengths(min_seconds, max_seconds)
    check_vocabulary(vocabulary, ["train"] if train else [])
    corpus, cased = existing_folder(corpus, "--corpus", LAYOUT).resolve(), str.upper if case == "upper" else str.lower
    names = _split_names(corpus, train, splits, valid_fraction)
    texts = {name: text for part in (*train, *splits) for name, text in read_transcripts(corpus, part).items()}
    missing, sizes = _without_audio(texts, names), []
    for split, found in names.items():
        measured = measure(corpus, found, out, split, n_jobs=n_jobs)
        measured.broken.extend(missing.get(split, ()))
        selected = select_spoken(
            measured, Lengths(min_seconds, max_seconds), texts.get, lambda text: cased(" ".join(text.split()))
        )
        sizes.append(write_labelled(out, split, corpus, selected, speaker_of))
    check_old_splits(out, names, (*SPLITS, *HELD_OUT))
    label_vocabulary(out, vocabulary, n_jobs=n_jobs)
    return sizes


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m manifest_tools.librispeech",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_corpus_options(parser, "the parts: train-clean-100, dev-clean ...")
    parser.add_argument(
        "--train", nargs="*", default=list(TRAIN), metavar="PART", help=f"make train (default: {' '.join(TRAIN)})"
    )
    parser.add_argument(
        "--splits",
        nargs="*",
        default=list(HELD_OUT),
        metavar="PART",
        help=f"each makes a split of its own (default: {' '.join(HELD_OUT)})",
    )
    parser.add_argument(
        "--valid-fraction",
        type=float,
        default=0.0,
        help="share of the recordings of --train that make a split valid, for pre-training (default: none)",
    )
    parser.add_argument("--case", choices=CASES, default="lower", help="of the texts (default: %(default)s)")
    add_length_options(parser, max_seconds=40.0)
    add_vocabulary_options(parser)
    add_jobs_option(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line, prepare, print the sizes, check; exit code 1 when something is wrong."""
    options = vars(build_parser().parse_args(argv))
    level, vocabulary = options.pop("check"), vocabulary_options(options)
    with workers(options) as n_jobs:
        sizes = prepare_librispeech(**options, vocabulary=vocabulary, n_jobs=n_jobs)
    finish(sizes, check_labelled("s2t", options["out"], sizes, vocabulary, level))


if __name__ == "__main__":
    run(main)
