"""A checkpoint in another layout: ours (fairseq), the published code's (released), that of transformers (hf).

    python -m speecht5_fairseq.convert checkpoints/asr/checkpoint_best.pt asr --to hf
    python -m speecht5_fairseq.convert asr asr.pt --to fairseq
    python -m speecht5_fairseq.convert checkpoints/asr/checkpoint_best.pt released/asr.pt --to released

Which layout IN is in, and which job it is for, is seen from what it holds. What the other layout cannot hold is said,
and comes back on the way back. The vocoder, a HiFi-GAN, goes to hf and back to its original layout (released).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ..models.jobs import JOBS
from .formats import LAYOUTS, convert
from .huggingface_options import CLASSES


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m speecht5_fairseq.convert",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "source",
        type=Path,
        metavar="IN",
        help="a checkpoint file, or the folder of a model of transformers or of a vocoder",
    )
    add("out", type=Path, metavar="OUT", help="the folder (hf, vocoders) or the file to write")
    add("--to", choices=LAYOUTS, required=True, help="; ".join(f"{name}: {what}" for name, what in LAYOUTS.items()))
    add(
        "--job",
        choices=JOBS,
        help=f"what IN is for, where it does not tell or holds several jobs (hf: {', '.join(CLASSES)})",
    )
    add("--dict", type=Path, metavar="FILE", help="dict.txt of a checkpoint that does not hold its symbols (released)")
    add(
        "--spm-model",
        type=Path,
        metavar="FILE",
        help="its sentencepiece model (default: that of its training, if there)",
    )
    add("--overwrite", action="store_true", help="replace what is at OUT")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line, convert, print what was written and what is to be told of it."""
    options = build_parser().parse_args(argv)
    try:
        notes = convert(
            options.source,
            options.out,
            options.to,
            job=options.job,
            dictionary=options.dict,
            spm_model=options.spm_model,
            overwrite=options.overwrite,
        )
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f"error: {' '.join(str(error).splitlines())}")
    print(f"wrote {options.out}")
    for note in notes:
        print(f"  {note}")


if __name__ == "__main__":
    main()
