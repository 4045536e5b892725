"""Raw text for pre-training: sentencepiece pieces in fairseq's binary format.

    python -m manifest_tools.text_corpus --train a.txt b.txt --spm-model vocabulary/spm.model \\
        --dictionary vocabulary/dict.txt --out text

Writes train.bin, train.idx, valid.bin, valid.idx and dict.txt: the folder to give as the pre-training text data.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from speecht5_fairseq.data.labels import load_sentencepiece
from speecht5_fairseq.data.text_normalisation import Normaliser, find_normaliser

from .command import add_jobs_option, run
from .files import file_hash, read_lines, split_by_hash, write_text
from .parallel import default_jobs
from .summary import table

logger = logging.getLogger(__name__)

SPLIT_SALT = "text-1"


def _sentences(paths: Sequence[Path], normalise: Normaliser) -> Iterator[str]:
    for path in paths:
        for line in read_lines(path):
            if text := normalise(line):
                yield text


def _write_pieces(
    folder: Path, train: Sequence[Path], valid: Sequence[Path], valid_fraction: float, spm_model: Path, language: str
) -> dict[str, int]:
    """Write folder/{train,valid}.pieces; returns the sentences in each. Equal sentences always share a split."""
    processor, normalise = load_sentencepiece(spm_model), find_normaliser(language)
    counts = {"train": 0, "valid": 0}
    with (
        (folder / "train.pieces").open("w", encoding="utf-8") as train_file,
        (folder / "valid.pieces").open("w", encoding="utf-8") as valid_file,
    ):
        files = {"train": train_file, "valid": valid_file}
        for given, paths in (("train", train), ("valid", valid)):
            for text in _sentences(paths, normalise):
                split = given if valid else split_by_hash(text, SPLIT_SALT, valid_fraction, 0.0)
                files[split].write(" ".join(processor.encode(text, out_type=str)) + "\n")
                counts[split] += 1
    return counts


def _preprocess(pieces: Path, dictionary: Path, destination: Path, workers: int) -> str:
    """Run fairseq-preprocess; returns its report. Raises RuntimeError with the end of it when it fails."""
    command = [sys.executable, "-m", "fairseq_cli.preprocess", "--only-source", "--workers", str(workers)]
    command += ["--trainpref", str(pieces / "train.pieces"), "--validpref", str(pieces / "valid.pieces")]
    command += ["--srcdict", str(dictionary), "--destdir", str(destination)]
    done = subprocess.run(command, capture_output=True, text=True)
    report = done.stdout + done.stderr
    if done.returncode:
        raise RuntimeError("fairseq-preprocess failed:\n" + "\n".join(report.splitlines()[-8:]))
    return report


def prepare_text_corpus(
    train: Sequence[Path],
    spm_model: Path,
    dictionary: Path,
    out: Path,
    *,
    valid: Sequence[Path] = (),
    valid_fraction: float = 0.02,
    language: str = "none",
    n_jobs: int = 1,
) -> dict[str, int]:
    """Encode raw text and write fairseq's binary {train,valid}.{bin,idx} and dict.txt to `out`.

    valid: validation text; without it `valid_fraction` of the training sentences, chosen by their hash.
    language: a normaliser of data.text_normalisation ("none": lines as they are). Returns sentences a split.
    Does nothing when `out` holds the result of the same files and options.
    Raises FileNotFoundError, ValueError (an empty split) or RuntimeError (fairseq-preprocess), each with its mend.
    """
    for path in (*train, *valid, spm_model, dictionary):
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file; check --train, --valid, --spm-model and --dictionary")
    settings = {
        "files": {kind: [file_hash(path) for path in paths] for kind, paths in (("train", train), ("valid", valid))},
        "model": file_hash(spm_model),
        "dictionary": file_hash(dictionary),
        "valid_fraction": None if valid else valid_fraction,
        "language": language,
    }
    record = out / "text_corpus.json"
    if record.is_file() and (done := json.loads(record.read_text()))["settings"] == settings:
        logger.info("%s is up to date", out)
        return done["sentences"]
    out.mkdir(parents=True, exist_ok=True)
    record.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir=out, prefix=".encoding.") as name:
        folder = Path(name)
        sentences = _write_pieces(folder, train, valid, valid_fraction, spm_model, language)
        for split, count in sentences.items():
            if not count:
                raise ValueError(
                    f"no sentence for the {split} split: give more text, --valid, or a larger --valid-fraction"
                )
        report = _preprocess(folder, dictionary, folder / "binary", n_jobs)
        for split in sentences:
            for suffix in ("bin", "idx"):
                os.replace(folder / "binary" / f"{split}.{suffix}", out / f"{split}.{suffix}")
        os.replace(folder / "binary" / "dict.txt", out / "dict.txt")
    for split, (tokens, unknown) in zip(
        sentences, re.findall(r"(\d+) tokens, ([\d.]+)% replaced", report), strict=False
    ):
        logger.info("%s: %s tokens, %s%% of them unknown to %s", split, tokens, unknown, dictionary)
    write_text(record, json.dumps({"settings": settings, "sentences": sentences}, indent=1) + "\n")
    return sentences


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m manifest_tools.text_corpus",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--train", nargs="+", type=Path, required=True, help="raw text files, one sentence a line")
    parser.add_argument(
        "--valid", nargs="*", type=Path, default=[], help="raw validation text (default: some of train)"
    )
    parser.add_argument(
        "--valid-fraction", type=float, default=0.02, help="share of train without --valid (default: %(default)s)"
    )
    parser.add_argument("--spm-model", type=Path, required=True, help="sentencepiece model, spm.model")
    parser.add_argument("--dictionary", type=Path, required=True, help="its fairseq dictionary, dict.txt")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the binary text goes")
    parser.add_argument(
        "--normalise",
        default="none",
        metavar="en|fr|es|none|MODULE:FUNCTION",
        help="write the text as it is spoken first: numbers as words, no punctuation (default: none)",
    )
    add_jobs_option(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line, prepare, print the sizes."""
    arguments = build_parser().parse_args(argv)
    sentences = prepare_text_corpus(
        arguments.train,
        arguments.spm_model,
        arguments.dictionary,
        arguments.out,
        valid=arguments.valid,
        valid_fraction=arguments.valid_fraction,
        language=arguments.normalise,
        n_jobs=arguments.jobs or default_jobs(),
    )
    print(table(("split", "sentences"), sentences.items()))


if __name__ == "__main__":
    run(main)
