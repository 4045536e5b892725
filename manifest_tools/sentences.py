"""Texts to be spoken, as a t2s manifest without recordings.

    python -m manifest_tools.sentences --text sentences.txt --speaker data/speakers/speakers/en.npy --out speak

writes speak/test.tsv (one row a line: line-00001.wav, an estimated length, the speaker's vector) and speak/test.txt.
With several vectors every line is spoken in each voice, and the vector's name is the folder: en/line-00001.wav. Nothing
reads the audio that the rows name; the lengths only order the batches.
"""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from speecht5_fairseq.constants import SAMPLE_RATE
from speecht5_fairseq.data.manifest import write_manifest
from speecht5_fairseq.data.speaker import read_speaker
from speecht5_fairseq.data.text_normalisation import find_normaliser

from .command import run
from .files import read_lines, write_lines
from .summary import SplitSize, size_table

logger = logging.getLogger(__name__)

SAMPLES_PER_CHARACTER = 1100  # 69 ms at 16 kHz: read English has 14 to 15 characters a second
MIN_SAMPLES = SAMPLE_RATE // 2


def estimated_samples(text: str) -> int:
    """Samples at 16 kHz that a text takes, roughly."""
    return max(MIN_SAMPLES, SAMPLES_PER_CHARACTER * len(text))


def _spoken(text_file: Path, normaliser: str) -> list[str]:
    normalise = find_normaliser(normaliser)
    lines = [normalise(line) for line in read_lines(text_file)]
    spoken = [line for line in lines if line]
    if not spoken:
        raise ValueError(f"--text {text_file}: no line with words in it; write one sentence a line")
    if len(spoken) < len(lines):
        logger.warning("%s: %d lines without words are left out", text_file, len(lines) - len(spoken))
    return spoken


def _voices(speakers: Sequence[Path]) -> list[tuple[str, Path]]:
    """(folder of the rows, vector): no folder for a single voice."""
    for path in speakers:
        read_speaker(path)
    if len(speakers) == 1:
        return [("", speakers[0].resolve())]
    names = [path.stem for path in speakers]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(
            f"--speaker: two vectors are called {twice[0]}.npy; rename one: the rows' folders are named so"
        )
    return [(f"{name}/", path.resolve()) for name, path in zip(names, speakers, strict=True)]


def prepare_sentences(
    text_file: Path, speakers: Sequence[Path], out: Path, *, split: str = "test", normaliser: str = "none"
) -> SplitSize:
    """Write out/SPLIT.tsv and SPLIT.txt: every line of `text_file` in every voice of `speakers` (.npy).

    Lines without words are left out, with a warning; the rows are numbered as they stay. Returns the (estimated) size.
    Raises AudioError for a bad vector, ValueError for a text without words.
    """
    if not speakers:
        raise ValueError("--speaker: give at least one .npy file")
    voices, lines = _voices(speakers), _spoken(text_file, normaliser)
    rows = [
        (f"{folder}line-{number:05d}.wav", estimated_samples(line), os.path.relpath(vector, out.resolve()))
        for folder, vector in voices
        for number, line in enumerate(lines, start=1)
    ]
    write_lines(out / f"{split}.txt", lines * len(voices))
    write_manifest(out / f"{split}.tsv", ".", rows)
    return SplitSize(split, len(rows), sum(samples for _, samples, _ in rows))


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m manifest_tools.sentences",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--text", type=Path, required=True, metavar="FILE", help="one sentence a line")
    parser.add_argument(
        "--speaker", nargs="+", type=Path, required=True, metavar="NPY", help="vectors of the voices to speak in"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where manifest and texts go")
    parser.add_argument("--split", default="test", help="name of the files (default: %(default)s)")
    parser.add_argument(
        "--normalise", default="none", metavar="en|none|...", help="as manifest_tools.recordings (default: none)"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line, prepare, print the size."""
    arguments = build_parser().parse_args(argv)
    size = prepare_sentences(
        arguments.text, arguments.speaker, arguments.out, split=arguments.split, normaliser=arguments.normalise
    )
    print(size_table([size]))


if __name__ == "__main__":
    run(main)
