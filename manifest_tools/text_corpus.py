"""Raw text for pre-training: sentencepiece pieces in fairseq's binary format.

    python -m manifest_tools.text_corpus --train a.txt b.txt --spm-model vocabulary/spm.model \\
        --dictionary vocabulary/dict.txt --out text

Writes train.bin, train.idx, valid.bin, valid.idx and dict.txt: the folder to give as the pre-training text data. An
interrupted run goes on where it stood.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from fairseq.data import Dictionary

from speecht5_fairseq.data.atomic import replacing
from speecht5_fairseq.data.text_normalisation import find_normaliser

from .blocks import BLOCK_BYTES, blocks_of, processes_for
from .command import add_jobs_option, run, workers
from .files import file_hash, write_text
from .parallel import parallel_map
from .summary import table
from .text_binary import SPLITS, Count, Encoding, Task, encode_block, join_shards

logger = logging.getLogger(__name__)


def _settings(
    train: Sequence[Path],
    valid: Sequence[Path],
    valid_fraction: float,
    spm_model: Path,
    dictionary: Path,
    language: str,
) -> dict[str, Any]:
    """What the result depends on. Raises FileNotFoundError for a file that is not there, ValueError for the share."""
    if not valid and not 0 < valid_fraction < 1:
        raise ValueError(f"--valid-fraction {valid_fraction:g}: give a share between 0 and 1, or --valid")
    for path in (*train, *valid, spm_model, dictionary):
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file; check --train, --valid, --spm-model and --dictionary")
    return {
        "files": {kind: [file_hash(path) for path in paths] for kind, paths in (("train", train), ("valid", valid))},
        "model": file_hash(spm_model),
        "dictionary": file_hash(dictionary),
        "valid_fraction": None if valid else valid_fraction,
        "language": language,
    }


def _made(out: Path) -> list[Path]:
    return [out / "dict.txt", *(out / f"{split}.{end}" for split in SPLITS for end in ("bin", "idx"))]


def _tasks(train: Sequence[Path], valid: Sequence[Path], folder: Path) -> list[Task]:
    """The blocks of all files, in order, with the shards in `folder` that they become."""
    given = [("train" if valid else None, block) for block in blocks_of(train)]
    given += [("valid", block) for block in blocks_of(valid)]
    return [Task(block, split, folder / f"{number:06d}.npz") for number, (split, block) in enumerate(given)]


def _encode(tasks: Sequence[Task], encoding: Encoding, n_jobs: int) -> dict[str, Count]:
    """Write all shards that are missing; returns what they hold. Raises ValueError when a split is empty."""
    if done := sum(task.shard.is_file() for task in tasks):
        logger.info("going on: %d of %d blocks were encoded before", done, len(tasks))
    counts = {split: Count() for split in SPLITS}
    encode, total = partial(encode_block, encoding=encoding), len(tasks)
    jobs = processes_for([task.block for task in tasks], n_jobs)
    for block in parallel_map(encode, tasks, total=total, n_jobs=jobs, description="encode", unit="block"):
        counts = {split: Count(*map(sum, zip(counts[split], block[split], strict=True))) for split in SPLITS}
    for split, count in counts.items():
        if not count.sentences:
            raise ValueError(
                f"no sentence for the {split} split: give more text, --valid, or a larger --valid-fraction"
            )
    return counts


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

    valid: validation text; without it `valid_fraction` of the training sentences, chosen by their hash: equal sentences
    always share a split. language: what `find_normaliser` knows.
    Returns sentences a split. Does nothing when `out` holds the result of the same files and options. After a stop the
    same call goes on where it stood, from the shards in out/.blocks.HASH (of files, model and options).
    Raises FileNotFoundError or ValueError (an empty split, text that is not UTF-8 or cannot be normalised), each with
    its mend; what is encoded until then stays for the same call.
    """
    settings = _settings(train, valid, valid_fraction, spm_model, dictionary, language)
    record = out / "text_corpus.json"
    whole = all(path.is_file() for path in (record, *_made(out)))
    if whole and (done := json.loads(record.read_text()))["settings"] == settings:
        logger.info("%s is up to date", out)
        return done["sentences"]
    encoding = Encoding(spm_model, dictionary, find_normaliser(language), valid_fraction)
    record.unlink(missing_ok=True)
    folder = out / f".blocks.{hashlib.sha256(json.dumps([settings, BLOCK_BYTES]).encode()).hexdigest()[:16]}"
    tasks = _tasks(train, valid, folder)
    counts = _encode(tasks, encoding, n_jobs)
    for split, count in counts.items():
        join_shards([task.shard for task in tasks], split, count.sentences, out, dictionary)
        share = 100 * count.unknown / count.tokens
        logger.info("%s: %d tokens, %.3g%% of them unknown to %s", split, count.tokens, share, dictionary)
    with replacing(out / "dict.txt") as temporary:
        Dictionary.load(str(dictionary)).save(str(temporary))
    sentences = {split: count.sentences for split, count in counts.items()}
    write_text(record, json.dumps({"settings": settings, "sentences": sentences}, indent=1) + "\n")
    for folder in out.glob(".blocks.*"):  # those of other files and options too, which were never finished
        shutil.rmtree(folder)
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
    with workers(vars(arguments)) as n_jobs:
        sentences = prepare_text_corpus(
            arguments.train,
            arguments.spm_model,
            arguments.dictionary,
            arguments.out,
            valid=arguments.valid,
            valid_fraction=arguments.valid_fraction,
            language=arguments.normalise,
            n_jobs=n_jobs,
        )
    print(table(("split", "sentences"), sentences.items()))


if __name__ == "__main__":
    run(main)
