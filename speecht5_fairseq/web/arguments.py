"""The command line of the page, and what can be said of it before a model is loaded."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..interface.arguments import PRECISION_HELP
from ..interface.loading import PRECISIONS
from ..interface.voices import NO_VOCODER
from ..ranges import typed

TABS = {  # name of a tab -> what it does
    "recognise": "speech to text, or to text of another language where it was trained so",
    "say": "text to speech",
    "convert": "speech in another voice",
    "enhance": "speech without its noise",
    "identify": "who speaks, of the speakers of the training",
}
SPEAKING = ("say", "convert", "enhance")  # tabs that need a voice
FILES = ("dictionary", "spm_model", "base_checkpoint")  # of `SpeechT5.from_pretrained`
READ_BY = {  # option -> the tabs that read it
    "voices": SPEAKING,
    "voices_of": SPEAKING,
    "vocoder": SPEAKING,
    "text_normaliser": ("say",),
    "max_characters": ("say",),
    "beam": ("recognise",),
    "precision": ("recognise", *SPEAKING),
}


class Checkpoint(NamedTuple):
    """A checkpoint and the files that it does not hold, by the arguments of `SpeechT5.from_pretrained`."""

    path: str
    files: tuple[tuple[str, str], ...]


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m speecht5_fairseq.web", description="A page in the browser for trained models."
    )
    words = {"nargs": "+", "metavar": ("CHECKPOINT", "KEY=FILE")}
    for name, does in TABS.items():
        parser.add_argument(f"--{name}", help=f"{does}; KEY: {', '.join(FILES)}, where it needs them", **words)
    parser.add_argument("--voices", nargs="+", type=Path, metavar="PATH", help="voices to choose from: .npy, folders")
    parser.add_argument(
        "--voices-of",
        help="a speaker model that makes a voice of a recording, the one that made the vectors of the training",
        **words,
    )
    parser.add_argument("--vocoder", help="griffin-lim[:ITERATIONS], a HiFi-GAN's folder, MODULE:FUNCTION")
    parser.add_argument("--text-normaliser", metavar="NAME", help="from written to spoken text, as of `speecht5 say`")
    parser.add_argument("--beam", type=int, help="hypotheses in the search (default: 5)")
    parser.add_argument("--precision", choices=PRECISIONS, help=PRECISION_HELP)
    parser.add_argument("--device", help="cpu, cuda, cuda:1 (default: a GPU where there is one)")
    parser.add_argument("--host", default="127.0.0.1", help="where to listen (default: 127.0.0.1, this machine alone)")
    parser.add_argument("--port", type=int, default=7860, help="0 for any that is free (default: 7860)")
    parser.add_argument("--max-seconds", type=float, default=120.0, help="of a recording (default: 120)")
    parser.add_argument("--max-megabytes", type=float, default=32.0, help="of a request (default: 32)")
    parser.add_argument("--max-characters", type=int, help="of a text (default: 1000)")
    parser.add_argument("--max-waiting", type=int, default=16, help="requests that wait for a model (default: 16)")
    return parser


def checkpoint_of(option: str, words: Sequence[str]) -> Checkpoint:
    """What was given to an option: a checkpoint, then KEY=FILE.

    Raises:
        ValueError: a word that is none, or an unknown key.
    """
    path, *rest = words
    files = {}
    for word in rest:
        key, equals, file = word.partition("=")
        if not equals or key not in FILES:
            raise ValueError(f"--{option} {path} {word}: after the checkpoint comes KEY=FILE, of {', '.join(FILES)}")
        files[key] = file
    return Checkpoint(path, tuple(sorted(files.items())))


def check(args: argparse.Namespace) -> None:
    """Check what was given together.

    Raises:
        ValueError: no tab, a tab without a voice, an option that no tab reads, or a limit that lets nothing through.
    """
    tabs = [name for name in TABS if getattr(args, name)]
    if not tabs:
        raise ValueError(f"no checkpoint: give one or more of {', '.join(f'--{name} CHECKPOINT' for name in TABS)}")
    for option, readers in READ_BY.items():
        if getattr(args, option) is not None and not set(readers) & set(tabs):
            name = typed(option)
            raise ValueError(f"--{name} has no effect without {' or '.join(f'--{reader}' for reader in readers)}")
    voiceless = [name for name in tabs if name in SPEAKING]
    if voiceless and not (args.voices or args.voices_of):
        raise ValueError(f"--{voiceless[0]} needs a voice: give --voices VECTOR.npy, or --voices-of CHECKPOINT")
    if args.vocoder == NO_VOCODER:
        raise ValueError(f"--vocoder {NO_VOCODER}: makes no waveform, and the page plays one; give another")
    for option in ("max_seconds", "max_megabytes", "max_characters", "beam"):
        value = getattr(args, option)
        if value is not None and not (value > 0 and math.isfinite(value)):
            raise ValueError(f"--{option.replace('_', '-')} {value}: give a number above 0")
    if args.max_waiting < 0:
        raise ValueError(f"--max-waiting {args.max_waiting}: give 0 or more")
    if not 0 <= args.port < 65536:
        raise ValueError(f"--port {args.port}: give 0 to 65535")
