"""The `speecht5` command: a trained model from the shell.

speecht5 transcribe -m asr.pt call.wav meeting.flac
speecht5 say -m tts.pt --speaker voice.npy --out hello.wav "Hello."
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..data.atomic import replacing
from .results import Speech
from .speecht5 import SpeechT5


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="speecht5", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, help_line in (("transcribe", "speech to text"), ("translate", "speech to text of another language")):
        command = _command(commands, name, help_line, _write_texts)
        _add_recordings(command)
        command.add_argument("--beam", type=int, default=5, help="hypotheses in the search")
        command.add_argument("--segments", action="store_true", help="a line for each stretch, with its seconds")
    command = _command(commands, "say", "text to speech", _say)
    command.add_argument("texts", nargs="*", metavar="TEXT", help="what to say (default: lines of standard input)")
    _add_voice(command)
    for name, help_line in (("convert", "speech in another voice"), ("enhance", "speech without its noise")):
        command = _command(commands, name, help_line, _convert)
        _add_recordings(command)
        _add_voice(command)
    command = _command(commands, "identify", "who speaks, of the speakers of the training", _identify)
    _add_recordings(command)
    command.add_argument("--top", type=int, default=3, help="speakers named for each recording")
    for name, help_line in (("embed", "a speaker vector (.npy)"), ("features", "encoder states (.npy)")):
        command = _command(commands, name, help_line, _write_arrays)
        _add_recordings(command)
        command.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the .npy files go")
        if name == "features":
            command.add_argument("--layer", type=int, help="after so many layers (default: the encoder's output)")
    return parser


def _command(commands: Any, name: str, help_line: str, run: Callable) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=help_line, description=help_line)
    command.set_defaults(run=run)
    command.add_argument("-m", "--model", type=Path, required=True, metavar="CHECKPOINT", help="of fairseq-train")
    command.add_argument("--dictionary", type=Path, help="dict.txt, of a checkpoint that does not hold its symbols")
    command.add_argument("--spm-model", type=Path, help="sentencepiece model, of a checkpoint that does not hold it")
    command.add_argument("--device", help="cpu, cuda, cuda:1 (default: a GPU where there is one)")
    return command


def _add_recordings(command: argparse.ArgumentParser) -> None:
    command.add_argument("recordings", nargs="+", type=Path, metavar="FILE", help="audio files")
    command.add_argument("--json", action="store_true", help="a JSON object for each recording")


def _add_voice(command: argparse.ArgumentParser) -> None:
    command.add_argument("--speaker", type=Path, required=True, metavar="VECTOR.npy", help="whose voice")
    command.add_argument("--vocoder", help="griffin-lim, a HiFi-GAN's folder, MODULE:FUNCTION (default: as trained)")
    command.add_argument("--seed", type=int, default=1, help="of the pre-net's dropout")
    command.add_argument(
        "--out", type=Path, required=True, metavar="PATH", help="a .wav for one result, else a folder for 1.wav, 2.wav"
    )


def _write_texts(model: SpeechT5, args: argparse.Namespace) -> None:
    method = model.transcribe if args.command == "transcribe" else model.translate
    for file, found in zip(args.recordings, method(args.recordings, beam=args.beam), strict=True):
        segments = [segment._asdict() for segment in found.segments]
        if args.json:
            print(json.dumps({"file": str(file), "text": found.text, "score": found.score, "segments": segments}))
        elif args.segments:
            for each in found.segments:
                print(f"{file}\t{each.start:.2f}\t{each.end:.2f}\t{each.text}")
        else:
            print(f"{file}\t{found.text}" if len(args.recordings) > 1 else found.text)


def _say(model: SpeechT5, args: argparse.Namespace) -> None:
    texts = args.texts or [line for line in sys.stdin.read().splitlines() if line.strip()]
    if not texts:
        raise ValueError("no text: give TEXT, or lines on standard input")
    voice = {} if args.vocoder is None else {"vocoder": args.vocoder}
    _write_speech(model.synthesize(texts, args.speaker, seed=args.seed, **voice), args.out, ["text"] * len(texts))


def _convert(model: SpeechT5, args: argparse.Namespace) -> None:
    method = model.convert_voice if args.command == "convert" else model.enhance
    voice = {} if args.vocoder is None else {"vocoder": args.vocoder}
    found = method(args.recordings, args.speaker, seed=args.seed, **voice)
    _write_speech(found, args.out, [file.stem for file in args.recordings], as_json=args.json)


def _write_speech(found: Sequence[Speech], out: Path, names: Sequence[str], *, as_json: bool = False) -> None:
    """One result to the file ``out``, several to ``out``/1-NAME.wav and so on."""
    one = len(found) == 1 and out.suffix
    if out.suffix and not one:
        raise ValueError(f"--out {out}: a file, and there are {len(found)} results; give a folder")
    for number, (speech, name) in enumerate(zip(found, names, strict=True), start=1):
        path = out if one else out / f"{number}-{name}.wav"
        speech.save(path)
        about = {"file": str(path), "seconds": round(len(speech.waveform) / speech.sample_rate, 3)}
        about |= {"hit_limit": speech.hit_limit, "focus_rate": round(speech.focus_rate, 4)}
        limit = "; no stop came, so its end may be cut off" if speech.hit_limit else ""
        print(json.dumps(about) if as_json else f"{path}\t{about['seconds']:.2f} s{limit}")


def _identify(model: SpeechT5, args: argparse.Namespace) -> None:
    for file, found in zip(args.recordings, model.identify(args.recordings, top=args.top), strict=True):
        if args.json:
            print(json.dumps({"file": str(file), "name": found.name, "classes": found.classes}))
        else:
            print("\t".join([str(file), *(f"{name} {share:.4f}" for name, share in found.classes.items())]))


def _write_arrays(model: SpeechT5, args: argparse.Namespace) -> None:
    if args.command == "embed":
        found = model.embed(args.recordings)
    else:
        found = model.extract_features(args.recordings, layer=args.layer)
    for number, (file, array) in enumerate(zip(args.recordings, found, strict=True), start=1):
        path = args.out / f"{number}-{file.stem}.npy"
        with replacing(path) as partial:
            np.save(partial, array)
        shape = list(array.shape)
        print(json.dumps({"file": str(file), "array": str(path), "shape": shape}) if args.json else f"{path}\t{shape}")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command; exits with 1 and one line where something is wrong."""
    args = build_parser().parse_args(argv)
    logging.getLogger().setLevel(logging.WARNING)
    try:
        model = SpeechT5.from_pretrained(
            args.model, device=args.device, dictionary=args.dictionary, spm_model=args.spm_model
        )
        args.run(model, args)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
