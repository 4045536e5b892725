"""Which code means what: whether the codes of a pre-trained model mean the same in speech and in text.

    python -m speecht5_fairseq.codes pretrain/checkpoint_last.pt --data prompts/en --split valid \\
        --spm-model prompts/vocabulary/spm.model --out codes

Recordings and their transcripts, as recognition has them (DATA/SPLIT.tsv, SPLIT.txt), are encoded each by itself,
without masks, and every state is quantized by its most probable entries (in training a share of them is, with noise).
Printed are: which codes speech and text share; what a code tells of its letter, beside chance; the codes that both
share most, with their letters; and how often an utterance's text is found among all texts of the split by what is
pooled over codes and states, beside chance and what the lengths alone tell.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from ..data.atomic import atomic_text
from ..data.s2t import S2TDataset
from ..generation.pictures import require_matplotlib
from ..interface.loading import found_device
from .alignment import DTW, EVEN, SAID
from .analysis import Analysis, Book, analyse
from .collect import collect, load_quantizing, open_split
from .crossing import Crossing, cross
from .pictures import draw_crossing, draw_letters
from .report import as_json, crossing_line, page, write_table
from .tables import code_name, most_shared

TABLE, LETTERS = "codes.tsv", "letters.png"


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m speecht5_fairseq.codes",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("checkpoint", type=Path, metavar="CHECKPOINT", help="of joint pre-training, with its quantizer")
    add("--data", type=Path, required=True, metavar="FOLDER", help="of the manifests, SPLIT.tsv")
    add("--split", required=True, metavar="NAME", help="such as valid")
    add("--label-dir", type=Path, metavar="FOLDER", help="of the transcripts, SPLIT.txt (default: --data)")
    add("--audio-root", type=Path, metavar="FOLDER", help="of the audio, if it was moved (default: the manifest's)")
    add("--spm-model", type=Path, metavar="FILE",
        help="sentencepiece model, of transcripts that are raw text (default: they are pieces)")  # fmt: skip
    add("--dictionary", type=Path, metavar="FILE", help="dict.txt, of a checkpoint that does not hold its symbols")
    add("--alignment", choices=SAID, default=EVEN,
        help="how frames are given letters: spread evenly, or by time warping of encoder states, which favours what "
        "the model hears alike and takes longer (default: %(default)s)")  # fmt: skip
    add("--draws", type=int, default=100, help="of other letters, for what codes tell by chance (default: %(default)s)")
    add("--top", type=int, default=10, help="codes of each kind that are printed (default: %(default)s)")
    add("-o", "--out", type=Path, metavar="FOLDER",
        help=f"write {TABLE} (every code), {LETTERS} and row-N.png (codes of an utterance over time against those of "
        "its text)")  # fmt: skip
    add("--row", type=int, metavar="N", help="of the manifest, from 0, whose codes are drawn (default: the first)")
    add("--json", type=Path, metavar="FILE", help="write the numbers for machines")
    add("--device", help="cpu, cuda, cuda:1 (default: a GPU where there is one)")
    return parser


def check(options: argparse.Namespace) -> None:
    """What can be said of the options before a model is loaded.

    Raises:
        ValueError: one out of range, or without effect.
        ImportError: pictures are asked for and matplotlib is not installed.
    """
    if options.draws < 0 or options.top < 0:
        raise ValueError(f"--draws {options.draws}, --top {options.top}: give 0 or more")
    if options.out is not None:
        require_matplotlib("--out")
    elif options.row is not None:
        raise ValueError(f"--row {options.row} has no effect without --out, where its picture goes: add that")
    if options.out is not None and options.out.exists() and not options.out.is_dir():
        raise ValueError(f"--out {options.out}: is a file, and a folder is needed; name another")


def drawn_row(dataset: S2TDataset, row: int | None) -> int:
    """The row whose codes are drawn.

    Raises:
        ValueError: there is no such row.
    """
    if row is not None and not 0 <= row < len(dataset):
        raise ValueError(f"--row {row}: {dataset.describe()} has rows 0 to {len(dataset) - 1}; give one of them")
    return 0 if row is None else row


def write_out(folder: Path, found: Analysis, crossing: Crossing) -> list[Path]:
    """Write the table and the pictures; returns the files."""
    name, view = next(iter(found.views.items()))
    names = {
        code: code_name(name, code, found.book.groups, found.book.entries)
        for code in most_shared(view.speech, view.text)
    }
    files = [folder / TABLE, folder / f"row-{crossing.row}.png"]
    write_table(files[0], found)
    draw_crossing(files[1], crossing, found.book.symbols)
    if names:
        files.append(folder / LETTERS)
        draw_letters(files[2], names, view.speech, view.text, found.book.symbols, alignment=found.alignment)
    return files


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line, encode, count, print and write."""
    options = build_parser().parse_args(argv)
    check(options)
    device = found_device(options.device)
    loaded = load_quantizing(options.checkpoint, device=device, dictionary=options.dictionary)
    dataset = open_split(
        options.data / f"{options.split}.tsv",
        options.label_dir or options.data,
        loaded,
        spm_model=options.spm_model,
        audio_root=options.audio_root,
    )
    row = None if options.out is None else drawn_row(dataset, options.row)
    keep = range(len(dataset)) if options.alignment == DTW else [] if row is None else [row]
    pairs = collect(loaded, dataset, device=device, keep=keep)
    quantizer = loaded.model.quantizer
    book = Book(quantizer.groups, quantizer.entries, loaded.dictionary.symbols)
    found = analyse(pairs, book, alignment=options.alignment, draws=options.draws)
    print(f"{options.checkpoint}, {dataset.describe()}\n{page(found, top=options.top)}")
    crossing = None if row is None else cross(pairs, row)
    if crossing is not None:
        print(f"\n{crossing_line(crossing)}")
    files = [] if crossing is None else write_out(options.out, found, crossing)
    if options.json is not None:
        with atomic_text(options.json) as file:
            json.dump(as_json(found, crossing), file, indent=1)
        files.append(options.json)
    for file in files:
        print(f"wrote {file}", file=sys.stderr)


if __name__ == "__main__":
    logging.disable(logging.INFO)  # of what is read; warnings stay
    try:
        main()
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f"error: {error}")
