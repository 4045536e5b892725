"""Thousands of English sentences where there is no corpus of text: those of Debian's fortunes that are plain words.

    python -m manifest_tools.fortunes --out sentences

writes sentences/train.txt, valid.txt and test.txt: a sentence a line, each once, as it is spoken (lower case, no
punctuation), in an order of chance that is always the same. `manifest_tools.synthetic_voice --texts` speaks them; they
are text for pre-training too.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from speecht5_fairseq.data.text_normalisation import find_normaliser

from .command import run
from .corpora import existing_folder
from .debian import unpack_packages
from .files import SPLITS, hash_fraction, split_by_hash, write_lines
from .summary import table

PACKAGES = ("fortunes", "fortunes-min")  # of Debian: quotations, sayings, jokes
FOLDER = Path("usr/share/games/fortunes")
# Programs, drawings, verse, word lists, and what one would not have a voice learn to say
LEFT_OUT = frozenset(
    ("ascii-art", "computers", "debian", "definitions", "drugs", "ethnic", "goedel", "kids", "knghtbrd", "linux")
    + ("linuxcookie", "magic", "men-women", "paradoxum", "perl", "songs-poems", "translate-me", "zippy")
)
SPLIT_SALT, ORDER_SALT = "fortunes-1", "fortunes-order-1"

_QUOTATIONS = re.compile(r"^%$", re.MULTILINE)
_SOURCE = re.compile(r"\s*--|\t\t")  # starts the line that names the author
_SENTENCES = re.compile(r"(?<=[.!?;:])(?<!\b[A-Z]\.)(?<!\b[A-Z][a-z]\.)(?<!\bMrs\.)\s+|--")
_PLAIN = re.compile(r"[A-Za-z' ,.;:?!\"()\[\]-]+")
# Said otherwise than it is written: USA, J. or Dr. and what follows, a.com, aaargh
_NOT_AS_WRITTEN = re.compile(r"\b[A-Z]{2,}\b|\b[A-Z][a-z]?\.|\bMrs\.|\.[A-Za-z]|(.)\1\1|[a-z]{21}")


def sentences_of(text: str) -> Iterator[str]:
    """The sentences of a fortune file that have nothing but words in them, as they are written."""
    for quotation in _QUOTATIONS.split(text):
        lines = (line for line in quotation.splitlines() if not _SOURCE.match(line))
        for sentence in _SENTENCES.split(" ".join(" ".join(lines).split())):
            if _PLAIN.fullmatch(sentence) and not _NOT_AS_WRITTEN.search(sentence):
                yield sentence


def fortune_files(folder: Path) -> list[Path]:
    """The files of fortunes in `folder`, without those that are LEFT_OUT. ValueError where there are none."""
    files = (path for path in sorted(folder.iterdir()) if not path.suffix and path.is_file() and not path.is_symlink())
    found = [path for path in files if path.name not in LEFT_OUT]
    if not found:
        raise ValueError(f"{folder}: no file of fortunes (names without an ending); give --folder another folder")
    return found


def prepare_fortunes(
    out: Path,
    *,
    folder: Path | None = None,
    cache: Path | None = None,
    min_words: int = 3,
    max_words: int = 18,
    valid_fraction: float = 0.005,
    test_fraction: float = 0.005,
) -> dict[str, int]:
    """Write out/{train,valid,test}.txt; returns the sentences of each.

    folder: of fortune files (default: Debian's packages, downloaded by apt and unpacked in `cache`, or out/download).
    A sentence's split is decided by its own words: more or fewer others never move it. So is the order.
    Raises FileNotFoundError, ValueError or RuntimeError with the mend.
    """
    if not 1 <= min_words <= max_words:
        raise ValueError(f"--min-words {min_words} and --max-words {max_words}: give 1 <= min <= max")
    if not (valid_fraction >= 0 and test_fraction >= 0 and valid_fraction + test_fraction < 1):
        raise ValueError("--valid-fraction and --test-fraction: give shares of at least 0, together below 1")
    if folder is None:
        mend = "give fortune files of your own by --folder"
        folder = unpack_packages(PACKAGES, (cache or out / "download") / "debian-fortunes", mend=mend) / FOLDER
    existing_folder(folder, "--folder", "fortune files")
    normalise, found = find_normaliser("en"), set()
    for path in fortune_files(folder):
        spoken = (normalise(sentence) for sentence in sentences_of(path.read_text(encoding="utf-8", errors="replace")))
        found |= {sentence for sentence in spoken if min_words <= len(sentence.split()) <= max_words}
    splits: dict[str, list[str]] = {split: [] for split in SPLITS}
    for sentence in sorted(found, key=lambda sentence: (hash_fraction(sentence, ORDER_SALT), sentence)):
        splits[split_by_hash(sentence, SPLIT_SALT, valid_fraction, test_fraction)].append(sentence)
    return {split: write_lines(out / f"{split}.txt", sentences) for split, sentences in splits.items()}


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m manifest_tools.fortunes",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the texts go")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="fortune files of your own (default: Debian's)")
    parser.add_argument(
        "--cache", type=Path, metavar="DIR", help="where Debian's packages are unpacked (default: OUT/download)"
    )
    parser.add_argument("--min-words", type=int, default=3, help="shorter ones are left out (default: %(default)s)")
    parser.add_argument("--max-words", type=int, default=18, help="longer ones are left out (default: %(default)s)")
    for split in ("valid", "test"):
        parser.add_argument(
            f"--{split}-fraction", type=float, default=0.005, help=f"share for {split}.txt (default: %(default)s)"
        )
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line, prepare, print the sizes."""
    print(table(("split", "sentences"), prepare_fortunes(**vars(build_parser().parse_args(argv))).items()))


if __name__ == "__main__":
    run(main)
