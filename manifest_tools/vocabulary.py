"""A sentencepiece model and the fairseq dictionary that goes with it; raw text to pieces.

    python -m manifest_tools.vocabulary train --text train.txt --type char --out vocabulary
    python -m manifest_tools.vocabulary encode --model vocabulary/spm.model --text raw.txt --out pieces.txt

The same text and options give the same files, byte for byte. `<mask>` and `<ctc_blank>` are not in them: loading the
dictionary appends both.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from speecht5_fairseq.constants import CTC_BLANK_SYMBOL, MASK_SYMBOL
from speecht5_fairseq.data.atomic import replacing
from speecht5_fairseq.data.piece_model import load_sentencepiece

from .blocks import Block, blocks_of, lines_of, processes_for
from .command import add_jobs_option, run, workers
from .files import file_hash, hash_fraction, write_lines, write_text
from .parallel import parallel_map

logger = logging.getLogger(__name__)

MODEL_TYPES = ("char", "unigram", "bpe")
SAMPLE_SALT = "vocabulary-1"
MAX_LINE_BYTES = 1 << 20  # sentencepiece drops longer lines without a word unless told otherwise


def encode(model: Path, lines: Iterable[str]) -> Iterator[str]:
    """Raw lines -> their pieces, separated by spaces. A character the model lacks stays as it is (fairseq: <unk>)."""
    processor = load_sentencepiece(model)
    for line in lines:
        yield " ".join(processor.encode(line.strip(), out_type=str))


def encode_file(model: Path, text: Path, n_jobs: int = 1) -> Iterator[str]:
    """`encode` for the lines of a file, over `n_jobs` processes, with progress on stderr."""
    blocks = blocks_of([text])
    work, jobs = partial(_encode_block, model=model), processes_for(blocks, n_jobs)
    for lines in parallel_map(work, blocks, total=len(blocks), n_jobs=jobs, description="encode", unit="block"):
        yield from lines


def _encode_block(block: Block, model: Path) -> list[str]:
    return list(encode(model, block.lines()))


def _count_block(block: Block, model: Path) -> Counter[str]:
    """How often each piece stands in a block."""
    counts: Counter[str] = Counter()
    processor = load_sentencepiece(model)
    for line in block.lines():
        counts.update(processor.encode(line.strip(), out_type=str))
    return counts


def _settings(
    texts: Sequence[Path], model_type: str, size: int | None, coverage: float, symbols: Sequence[str], sample: float
) -> dict[str, Any]:
    if model_type not in MODEL_TYPES:
        raise ValueError(f"--type {model_type!r}: choose one of {', '.join(MODEL_TYPES)}")
    if size is None and model_type != "char":
        raise ValueError(
            f"--size is needed for --type {model_type} (pieces, for example 1000); only char finds its own"
        )
    if not 0.9 <= coverage <= 1.0:
        raise ValueError(f"--coverage {coverage}: a share of all characters, from 0.9 to 1")
    if not 0.0 < sample <= 1.0:
        raise ValueError(f"--sample {sample}: a share of the lines, above 0 and at most 1")
    for symbol in symbols:
        if symbol in (MASK_SYMBOL, CTC_BLANK_SYMBOL):
            raise ValueError(f"--symbols {symbol}: it is appended when the dictionary is loaded; leave it out")
    missing = [str(path) for path in texts if not path.is_file()]
    if missing or not texts:
        raise FileNotFoundError(f"--text: no such file: {', '.join(missing) or '(none given)'}")
    return {
        "type": model_type,
        "size": size,
        "coverage": coverage,
        "symbols": list(symbols),
        "texts": [file_hash(path) for path in texts],
    } | ({} if sample == 1.0 else {"sample": sample})


def _sampled(lines: Iterable[str], share: float) -> Iterator[str]:
    """The lines whose number's hash falls into `share`: as many of every part of the text, the same in every run."""
    if share == 1.0:
        return iter(lines)
    return (line for number, line in enumerate(lines) if hash_fraction(str(number), SAMPLE_SALT) < share)


def _train_sentencepiece(texts: Sequence[Path], settings: dict[str, Any]) -> bytes:
    """The model file's content. It holds no path: trained from lines, not from files, it depends on the text alone."""
    from sentencepiece import SentencePieceTrainer

    model = io.BytesIO()
    try:
        SentencePieceTrainer.train(
            sentence_iterator=_sampled(lines_of(texts, "read text"), settings.get("sample", 1.0)),
            model_writer=model,
            model_type=settings["type"],
            vocab_size=settings["size"] or 100_000,  # for char a bound that is never reached: see hard_vocab_limit
            hard_vocab_limit=settings["size"] is not None and settings["type"] != "char",
            character_coverage=settings["coverage"],
            user_defined_symbols=settings["symbols"],
            max_sentence_length=MAX_LINE_BYTES,
            num_threads=1,  # the sums of several threads come in any order: the model would differ from run to run
            minloglevel=1,
        )
    except (RuntimeError, OSError) as error:  # its messages name the bound that --size breaks
        raise ValueError(f"sentencepiece cannot train on this text with --size {settings['size']}: {error}") from error
    return model.getvalue()


def _piece_lines(model: Path, texts: Sequence[Path], n_jobs: int) -> tuple[list[str], list[str]]:
    """Lines of spm.vocab, `piece<TAB>score` for all pieces, and of dict.txt, `piece count`, both in the model's order.

    dict.txt lacks the model's own <unk>, <s> and </s>, because fairseq has them.
    """
    processor, blocks = load_sentencepiece(model), blocks_of(texts)
    counts: Counter[str] = Counter()
    count, jobs, total = partial(_count_block, model=model), processes_for(blocks, n_jobs), len(blocks)
    for block in parallel_map(count, blocks, total=total, n_jobs=jobs, description="count pieces", unit="block"):
        counts.update(block)
    unknown = sum(number for piece, number in counts.items() if processor.piece_to_id(piece) == processor.unk_id())
    if unknown:
        share = 100 * unknown / counts.total()
        mend = "a larger --coverage or --sample knows more"
        logger.warning("%.3g%% of the pieces of the text are unknown to %s; %s", share, model, mend)
    vocabulary, dictionary = [], []
    for index in range(processor.get_piece_size()):
        piece = processor.id_to_piece(index)
        vocabulary.append(f"{piece}\t{processor.get_score(index):g}")
        if not (processor.is_control(index) or processor.is_unknown(index)):
            dictionary.append(f"{piece} {max(counts[piece], 1)}")
    return vocabulary, dictionary


def _make(texts: Sequence[Path], out: Path, settings: dict[str, Any], n_jobs: int) -> None:
    """Train unless a stopped run had done so, count, and write everything."""
    model, trained, record = out / "spm.model", out / ".trained.json", out / "vocabulary.json"
    if trained.is_file() and model.is_file() and json.loads(trained.read_text()) == settings:
        logger.info("going on with %s, which a stopped run had trained", model)
    else:
        trained.unlink(missing_ok=True)
        content = _train_sentencepiece(texts, settings)
        with replacing(model) as temporary:
            temporary.write_bytes(content)
        write_text(trained, json.dumps(settings, indent=1) + "\n")
    vocabulary, entries = _piece_lines(model, texts, n_jobs)
    write_lines(out / "spm.vocab", vocabulary)
    write_lines(out / "dict.txt", entries)
    os.replace(trained, record)  # last: it says that the rest is whole


def copy_dictionary(content: str, target: Path) -> None:
    """Write a dictionary to `target`. Raises ValueError where that is another one already."""
    if target.is_file():
        if target.read_text(encoding="utf-8") != content:
            raise ValueError(f"--label-dirs: {target} is another dictionary; delete it if nothing was trained with it")
        return
    write_text(target, content)


def train_vocabulary(
    texts: Sequence[Path],
    out: Path,
    *,
    model_type: str = "char",
    size: int | None = None,
    coverage: float = 1.0,
    symbols: Sequence[str] = (),
    sample: float = 1.0,
    label_dirs: Sequence[Path] = (),
    n_jobs: int = 1,
) -> int:
    """Train on `texts` (one sentence a line) and write spm.model, spm.vocab, dict.txt and vocabulary.json to `out`.

    size: pieces, sentencepiece's three specials included; None (char only) takes every character.
    coverage: share of all characters that get a piece of their own. symbols: strings that stay one piece.
    sample: share of the lines that sentencepiece trains on, in one process, with all of them in memory; the pieces are
    counted on every line, in `n_jobs` processes, a block at a time.
    label_dirs: folders that get a copy of dict.txt, where fine-tuning looks for it.
    Returns the entries of dict.txt. Does nothing when `out` was made with the same options and text; raises
    ValueError when it was made with others, because models may have been trained with it.
    """
    settings = _settings(texts, model_type, size, coverage, symbols, sample)
    record = out / "vocabulary.json"
    if record.is_file():
        if json.loads(record.read_text()) != settings:
            raise ValueError(f"{record}: this folder holds a vocabulary of other text or options; choose another --out")
        logger.info("%s is up to date", out)
    elif (out / "dict.txt").is_file() and not (out / ".trained.json").is_file():
        raise ValueError(f"{out / 'dict.txt'} was not made here, or not finished; choose another --out, or delete it")
    else:
        _make(texts, out, settings, n_jobs)
    dictionary = (out / "dict.txt").read_text(encoding="utf-8")
    for folder in label_dirs:
        copy_dictionary(dictionary, folder / "dict.txt")
    return dictionary.count("\n")


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m manifest_tools.vocabulary",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="train a sentencepiece model and write its fairseq dictionary")
    train.add_argument("--text", nargs="+", type=Path, required=True, help="raw text files, one sentence a line")
    train.add_argument("--out", type=Path, required=True, metavar="DIR", help="where spm.model and dict.txt go")
    train.add_argument("--type", choices=MODEL_TYPES, default="char", help="kind of pieces (default: %(default)s)")
    train.add_argument("--size", type=int, help="pieces, with sentencepiece's three specials (char: all, if not given)")
    train.add_argument("--coverage", type=float, default=1.0, help="share of characters covered (default: %(default)s)")
    train.add_argument("--symbols", nargs="*", default=[], help="strings that always stay one piece")
    train.add_argument(
        "--sample",
        type=float,
        default=1.0,
        metavar="SHARE",
        help="share of the lines to train on: sentencepiece keeps them in memory, char in about five times their size, "
        "unigram in more (default: %(default)s)",
    )
    train.add_argument("--label-dirs", nargs="*", type=Path, default=[], metavar="DIR", help="copy dict.txt there too")
    encoder = commands.add_parser("encode", help="raw text to pieces separated by spaces")
    encoder.add_argument("--model", type=Path, required=True, help="spm.model")
    encoder.add_argument("--text", type=Path, help="raw text, one sentence a line (default: standard input)")
    encoder.add_argument("--out", type=Path, help="pieces, line by line (default: standard output)")
    for command in (train, encoder):
        add_jobs_option(command)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line and train or encode."""
    arguments = build_parser().parse_args(argv)
    if arguments.command == "encode" and not arguments.text and (arguments.backend != "loky" or arguments.scheduler):
        raise ValueError("--backend and --scheduler have no effect on standard input: give --text FILE")
    with workers(vars(arguments)) as n_jobs:
        if arguments.command == "train":
            _train(arguments, n_jobs)
        else:
            _encode(arguments, n_jobs)


def _train(arguments: argparse.Namespace, n_jobs: int) -> None:
    entries = train_vocabulary(
        arguments.text,
        arguments.out,
        model_type=arguments.type,
        size=arguments.size,
        coverage=arguments.coverage,
        symbols=arguments.symbols,
        sample=arguments.sample,
        label_dirs=arguments.label_dirs,
        n_jobs=n_jobs,
    )
    print(f"{arguments.out / 'dict.txt'}: {entries} entries")


def _encode(arguments: argparse.Namespace, n_jobs: int) -> None:
    if arguments.text:
        pieces = encode_file(arguments.model, arguments.text, n_jobs)
    else:
        pieces = encode(arguments.model, sys.stdin)
    if arguments.out:
        write_lines(arguments.out, pieces)
    else:
        sys.stdout.writelines(line + "\n" for line in pieces)


if __name__ == "__main__":
    run(main)
