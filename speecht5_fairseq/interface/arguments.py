"""The command line of `speecht5`, and what can be said of it before a model is loaded."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from ..data.audio import check_audio_name
from .loading import PRECISIONS
from .voices import NO_VOCODER

DECODING = ("transcribe", "translate", "say", "convert", "enhance")
PRECISION_HELP = "of decoding: float16 is fast on CPUs, bfloat16 where the processor has it (default: float32)"

HEARING = {
    "transcribe": "speech to text",
    "translate": "speech to text of another language",
    "convert": "speech in another voice",
    "enhance": "speech without its noise",
    "identify": "who speaks, of the speakers of the training",
    "embed": "a speaker vector (.npy)",
    "features": "encoder states (.npy)",
}  # commands that take recordings
VOICES = ("say", "convert", "enhance")
DEFAULT_VOCODERS = {
    "enhance": "the recording's own phases where the model predicts a mask or residual, else griffin-lim"
}


def build_parser(description: str) -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="speecht5", description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, help_line in HEARING.items():
        _add_recordings(_command(commands, name, help_line))
    _command(commands, "say", "text to speech")
    for name in ("transcribe", "translate"):
        _add_search(
            commands.choices[name], "0" if name == "translate" else "0.5 where the training had a CTC loss, else 0"
        )
    for name in VOICES:
        _add_voice(commands.choices[name], DEFAULT_VOCODERS.get(name, "griffin-lim"))
    _add_text(commands.choices["say"])
    commands.choices["identify"].add_argument("--top", type=int, default=3, help="speakers named for each recording")
    for name in ("embed", "features"):
        commands.choices[name].add_argument(
            "--out", type=Path, required=True, metavar="DIR", help="where the .npy files go: 1-STEM.npy, 2-STEM.npy"
        )
    commands.choices["features"].add_argument(
        "--layer", type=int, help="after so many layers (default: the encoder's output)"
    )
    return parser


def _command(commands: Any, name: str, help_line: str) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=help_line, description=help_line)
    command.set_defaults(
        dictionary=None, spm_model=None, out=None, one_file=False, precision="float32"
    )  # of commands without
    command.add_argument(
        "-m", "--model", type=Path, required=True, metavar="CHECKPOINT", help="of fairseq-train, or a converted folder"
    )
    if name not in ("convert", "enhance"):
        command.add_argument("--dictionary", type=Path, help="dict.txt, of a checkpoint that does not hold its symbols")
    command.add_argument(
        "--base-checkpoint", type=Path, metavar="FILE", help="the base of a checkpoint of additions, if it was moved"
    )
    command.add_argument("--device", help="cpu, cuda, cuda:1 (default: a GPU where there is one)")
    if name in DECODING:
        command.add_argument("--precision", choices=PRECISIONS, default="float32", help=PRECISION_HELP)
    return command


def _add_recordings(command: argparse.ArgumentParser) -> None:
    command.add_argument("recordings", nargs="+", type=Path, metavar="FILE", help="audio files")
    command.add_argument("--json", action="store_true", help="a JSON object for each recording")
    command.add_argument(
        "--longest-seconds", type=float, default=30.0, help="longer recordings are cut at pauses (default: 30)"
    )


def _add_search(command: argparse.ArgumentParser, ctc_weight: str) -> None:
    command.add_argument("--beam", type=int, default=5, help="hypotheses in the search")
    command.add_argument(
        "--ctc-weight", type=float, help=f"of the CTC prefix scores in the search, 0 to 1 (default: {ctc_weight})"
    )
    command.add_argument("--segments", action="store_true", help="a line for each stretch, with its seconds")


def _add_text(command: argparse.ArgumentParser) -> None:
    command.add_argument("texts", nargs="*", metavar="TEXT", help="what to say (default: lines of standard input)")
    command.add_argument("--spm-model", type=Path, help="sentencepiece model, of a checkpoint that does not hold it")
    command.add_argument(
        "--text-normaliser",
        metavar="NAME",
        help="from written to spoken text: a language, none, MODULE:FUNCTION (default: the checkpoint's, but for a "
        "function)",
    )
    command.add_argument(
        "--longest-text", type=int, help="symbols; longer texts are cut at their sentence ends (default: 300)"
    )


def _add_voice(command: argparse.ArgumentParser, vocoder: str) -> None:
    command.add_argument("--speaker", type=Path, required=True, metavar="VECTOR.npy", help="whose voice")
    command.add_argument(
        "--vocoder", help=f"griffin-lim[:ITERATIONS], a HiFi-GAN's folder, MODULE:FUNCTION (default: {vocoder})"
    )
    command.add_argument("--seed", type=int, default=1, help="of the pre-net's dropout")
    files = "1-STEM.wav, 2-STEM.wav" if "convert" in command.prog or "enhance" in command.prog else "1-text.wav, ..."
    command.add_argument(
        "--out", type=Path, required=True, metavar="PATH", help=f"a .wav for one result, else a folder for {files}"
    )


def complete(args: argparse.Namespace) -> None:
    """Read what is still missing from standard input, and check where the results go.

    Raises:
        ValueError: nothing to say, an option without effect, or results that could not be written.
    """
    if args.command == "say":
        args.texts = args.texts or [line for line in sys.stdin.read().splitlines() if line.strip()]
        if not args.texts:
            raise ValueError("no text: give TEXT, or lines on standard input")
    if args.command in ("transcribe", "translate") and args.segments and args.json:
        raise ValueError("--segments has no effect beside --json, which tells the segments: leave it out")
    if args.command in VOICES:
        if args.vocoder == NO_VOCODER:
            raise ValueError(f"--vocoder {NO_VOCODER}: makes no waveform, and the command writes one; give another")
        args.one_file = _is_file(args.out, len(args.texts if args.command == "say" else args.recordings))
    if args.out is not None and not args.one_file:
        _check_folder(args.out)
    if args.out is not None and args.command in HEARING:
        _check_kept(args)


def outputs(args: argparse.Namespace) -> list[Path]:
    """The files of the results, in their order: one is ``--out``, several are ``--out``/1-NAME.wav and so on."""
    if args.one_file:
        return [args.out]
    suffix = ".wav" if args.command in VOICES else ".npy"
    names = ["text"] * len(args.texts) if args.command == "say" else [file.stem for file in args.recordings]
    return [args.out / f"{number}-{name}{suffix}" for number, name in enumerate(names, start=1)]


def _check_kept(args: argparse.Namespace) -> None:
    """No recording is replaced by a result."""
    given = {file.resolve() for file in args.recordings}
    replaced = next((file for file in outputs(args) if file.resolve() in given), None)
    if replaced is not None:
        raise ValueError(f"--out {args.out}: {replaced} is one of the recordings, and would be replaced; name another")


def _is_file(out: Path, results: int) -> bool:
    """Whether ``--out`` is one audio file, not a folder of them."""
    if out.is_dir() or not out.suffix:
        return False
    if results != 1:
        raise ValueError(f"--out {out}: a file, and there are {results} results; give a folder")
    check_audio_name(out)
    _check_folder(out.parent)
    return True


def _check_folder(folder: Path) -> None:
    """A folder that is there, or that can be made."""
    file = next((place for place in (folder, *folder.parents) if place.exists() and not place.is_dir()), None)
    if file is not None:
        raise ValueError(f"--out {folder}: {file} is a file, and a folder is needed there; name another")
