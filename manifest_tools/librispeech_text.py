"""LibriSpeech's language-model text for pre-training: plain text, vocabulary, pieces in fairseq's binary format.

    python -m manifest_tools.librispeech_text --text librispeech-lm-norm.txt.gz --out librispeech/lm_text

The text (https://www.openslr.org/11: librispeech-lm-norm.txt, packed or not) has a sentence a line, in capitals. OUT is
the folder to give as --text-data; OUT/vocabulary has the sentencepiece model, for the labels of all jobs. Any text of a
sentence a line will do. A run that was stopped goes on where it stood. At the end everything is checked.
"""

from __future__ import annotations

import argparse
import gzip
import json
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from .check import check_data
from .command import add_jobs_option, run, workers
from .corpora import contents, finish
from .files import write_lines, write_text
from .label_vocabulary import FOLDER, VocabularyOptions, add_vocabulary_options, check_vocabulary, vocabulary_options
from .librispeech import CASES
from .summary import table
from .text_corpus import prepare_text_corpus
from .vocabulary import train_vocabulary

PLAIN = "text.txt"


def read_text(text: Path, case: str) -> Iterator[str]:
    """The sentences of a file, gzip by its name or plain, in one case; empty lines are none.

    Raises ValueError for a file that is cut off, or not UTF-8.
    """
    cased = str.upper if case == "upper" else str.lower
    with (gzip.open if text.suffix == ".gz" else open)(text, "rt", encoding="utf-8") as file:
        try:
            for line in tqdm(file, desc=f"read {text.name}", unit="line"):
                if sentence := " ".join(line.split()):
                    yield cased(sentence)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"{text}: cut off, or no gzip ({error}); fetch it again") from error
        except UnicodeDecodeError as error:
            raise ValueError(f"{text}: not UTF-8 ({error.reason}); convert it to UTF-8") from error


def write_plain(text: Path, out: Path, case: str) -> Path:
    """Write the sentences of `text` to out/text.txt, unless they are there; returns the file.

    Raises FileNotFoundError or ValueError with the mend.
    """
    if not text.is_file():
        raise FileNotFoundError(f"--text {text}: no such file. {contents(text)}; give librispeech-lm-norm.txt(.gz)")
    state, target, record = text.stat(), out / PLAIN, out / "text.json"
    settings = {"source": str(text.resolve()), "bytes": state.st_size, "time": state.st_mtime_ns, "case": case}
    if target.is_file() and record.is_file() and json.loads(record.read_text()) == settings:
        return target
    record.unlink(missing_ok=True)
    if not write_lines(target, read_text(text, case)):
        raise ValueError(f"{text}: no sentence in it; fetch it again")
    write_text(record, json.dumps(settings, indent=1) + "\n")
    return target


def prepare_librispeech_text(
    text: Path,
    out: Path,
    *,
    case: str = "lower",
    vocabulary: VocabularyOptions | None = None,
    sample: float = 0.05,
    valid_fraction: float = 0.001,
    n_jobs: int = 1,
) -> dict[str, int]:
    """Write out/text.txt, the binary text out/{train,valid}.{bin,idx} with dict.txt, and out/vocabulary.

    case: of the text. vocabulary: default a new one of its characters. sample: share of the lines that a new one is
    learned from. valid_fraction: share of the sentences that are held out. Returns sentences a split. Does what is
    missing. Raises FileNotFoundError or ValueError with the mend.
    """
    if case not in CASES:
        raise ValueError(f"--case {case!r}: choose one of {', '.join(CASES)}")
    vocabulary = vocabulary or VocabularyOptions()
    if not vocabulary.wanted:
        raise ValueError("--vocabulary none: the text is to be made of pieces; give a folder, or leave it out")
    check_vocabulary(vocabulary, ["train"])
    plain, pieces = write_plain(text, out, case), vocabulary.folder or out / FOLDER
    if vocabulary.folder is None:
        train_vocabulary(
            [plain], pieces, model_type=vocabulary.model_type, size=vocabulary.size, sample=sample, n_jobs=n_jobs
        )
    model, dictionary = pieces / "spm.model", pieces / "dict.txt"
    return prepare_text_corpus([plain], model, dictionary, out, valid_fraction=valid_fraction, n_jobs=n_jobs)


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m manifest_tools.librispeech_text",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--text", type=Path, required=True, metavar="FILE", help="librispeech-lm-norm.txt or .txt.gz")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where everything that is made goes")
    parser.add_argument("--case", choices=CASES, default="lower", help="of the text (default: %(default)s)")
    parser.add_argument(
        "--valid-fraction", type=float, default=0.001, help="share of the sentences held out (default: %(default)s)"
    )
    parser.add_argument(
        "--sample",
        type=float,
        metavar="SHARE",
        help="share of the lines that a new vocabulary is learned from (default: 0.05)",
    )
    add_vocabulary_options(parser)
    add_jobs_option(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line, prepare, print the sizes, check; exit code 1 when something is wrong."""
    options = vars(build_parser().parse_args(argv))
    sample = options.pop("sample")
    vocabulary = vocabulary_options(options)
    if sample is not None and vocabulary.folder is not None:
        raise ValueError("--sample has no effect with --vocabulary: leave it out")
    with workers(options) as n_jobs:
        sentences = prepare_librispeech_text(**options, vocabulary=vocabulary, sample=sample or 0.05, n_jobs=n_jobs)
    finish(table(("split", "sentences"), sentences.items()), check_data("text", options["out"]))


if __name__ == "__main__":
    run(main)
