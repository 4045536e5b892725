"""What the preparers of corpora share: folders that must be there, sizes, options, and how every preparer ends."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from .check import LEVELS, Findings, summary
from .left_out import LeftOut, count_kinds
from .summary import SplitSize, size_table

SHOWN = 6  # entries of a folder that a message names


def sound_name(name: str) -> str:
    """Where the sound of a row's path goes: below the output's folder, and .wav. a.wav and a.flac stay two files."""
    path = PurePosixPath(*(part for part in PurePosixPath(name).parts if part not in ("..", "/")))
    return str(path if path.suffix.lower() == ".wav" else path.with_name(f"{path.name}.wav"))


def contents(folder: Path) -> str:
    """What there is instead of what was looked for: the entries of `folder`, or of what is left of its path."""
    if folder.is_file():
        return f"{folder} is a file"
    while not folder.is_dir():
        folder = folder.parent
    names = sorted(f"{path.name}/" if path.is_dir() else path.name for path in folder.iterdir())
    if not names:
        return f"{folder} is empty"
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{folder} holds {', '.join(names[:SHOWN])}{more}"


def existing_folder(folder: Path, option: str, content: str) -> Path:
    """`folder`, if it is one. FileNotFoundError naming the option, what the folder should hold, and what is there."""
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{option}: no folder {folder}; it should hold {content}. {contents(folder)}; unpack the corpus there, or "
            "give another folder"
        )
    return folder


def split_size(
    split: str, samples: Iterable[int], left_out: Sequence[LeftOut], speakers: Iterable[str] | None = None
) -> SplitSize:
    """The size of a split. speakers: of each row, where the corpus names them."""
    lengths = list(samples)
    people = None if speakers is None else len(set(speakers))
    return SplitSize(split, len(lengths), sum(lengths), people, count_kinds(left_out))


def check_lengths(min_seconds: float, max_seconds: float) -> None:
    """Raises ValueError for bounds that cannot be meant."""
    if not 0.025 <= min_seconds <= max_seconds:
        raise ValueError(f"--min-seconds {min_seconds:g} and --max-seconds {max_seconds:g}: give 0.025 <= min <= max")


def finish(written: Sequence[SplitSize] | str, *findings: Findings) -> None:
    """How every preparer ends: print what was written and what the check found; exit code 1 when it found problems.

    written: the sizes, or a table of something else.
    """
    print(written if isinstance(written, str) else size_table(written), *map(summary, findings), sep="\n\n")
    if any(found.total_errors for found in findings):
        sys.exit(1)


def add_corpus_options(parser: argparse.ArgumentParser, corpus: str) -> None:
    """Add --corpus, --out and --check. corpus: what the folder holds."""
    parser.add_argument("--corpus", type=Path, required=True, metavar="DIR", help=f"holds {corpus}")
    add_out_options(parser)


def add_out_options(parser: argparse.ArgumentParser) -> None:
    """Add --out and --check."""
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where everything that is made goes")
    parser.add_argument(
        "--check",
        choices=LEVELS,
        default="full",
        help="at the end: full decodes every recording, quick 256 of each split (default: full)",
    )


def add_length_options(parser: argparse.ArgumentParser, *, max_seconds: float = 30.0) -> None:
    """Add --min-seconds and --max-seconds."""
    parser.add_argument(
        "--min-seconds", type=float, default=0.1, help="leave out shorter ones (default: %(default)s s)"
    )
    parser.add_argument(
        "--max-seconds", type=float, default=max_seconds, help="leave out longer ones (default: %(default)s s)"
    )


def add_normalise_option(parser: argparse.ArgumentParser) -> None:
    """Add --normalise."""
    parser.add_argument(
        "--normalise",
        default="none",
        metavar="en|fr|es|none|MODULE:FUNCTION",
        help="write the text as it is spoken: numbers as words, no punctuation (default: none)",
    )


def add_extractor_option(parser: argparse.ArgumentParser) -> None:
    """Add --extractor, as manifest_tools.speaker_vectors has it."""
    parser.add_argument(
        "--extractor",
        default="statistics",
        metavar="statistics|resemblyzer|MODULE:FUNCTION",
        help="what makes the speaker vectors (default: %(default)s)",
    )


def add_vectors_of_option(parser: argparse.ArgumentParser) -> None:
    """Add --vectors-of: whether a speaker's recordings share a vector."""
    parser.add_argument(
        "--vectors-of",
        choices=("speaker", "recording"),
        default="speaker",
        help="one vector a speaker, the mean of the recordings', or one a recording (default: %(default)s)",
    )
