"""The `speecht5` command: a trained model from the shell.

speecht5 transcribe -m asr.pt call.wav meeting.flac
speecht5 say -m tts.pt --speaker voice.npy --out hello.wav "Hello."
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..data.atomic import replacing
from .arguments import build_parser, complete, outputs
from .results import Speech, finite
from .speecht5 import SpeechT5


def _write_texts(model: SpeechT5, args: argparse.Namespace) -> None:
    method = model.transcribe if args.command == "transcribe" else model.translate
    options = {"beam": args.beam, "longest_seconds": args.longest_seconds} | _given(ctc_weight=args.ctc_weight)
    for file, found in zip(args.recordings, method(args.recordings, **options), strict=True):
        if args.json:
            segments = [{**segment._asdict(), "score": finite(segment.score)} for segment in found.segments]
            about = {"file": str(file), "text": found.text, "score": finite(found.score), "segments": segments}
            print(json.dumps(about))
        elif args.segments:
            for each in found.segments:
                print(f"{file}\t{each.start:.2f}\t{each.end:.2f}\t{each.text}")
        else:
            print(f"{file}\t{found.text}" if len(args.recordings) > 1 else found.text)


def _say(model: SpeechT5, args: argparse.Namespace) -> None:
    options = _given(vocoder=args.vocoder, normaliser=args.text_normaliser, longest_text=args.longest_text)
    found = model.synthesize(args.texts, args.speaker, seed=args.seed, **options)
    _write_speech(found, args)


def _convert(model: SpeechT5, args: argparse.Namespace) -> None:
    method = model.convert_voice if args.command == "convert" else model.enhance
    options = {"seed": args.seed, "longest_seconds": args.longest_seconds} | _given(vocoder=args.vocoder)
    found = method(args.recordings, args.speaker, **options)
    _write_speech(found, args, as_json=args.json)


def _write_speech(found: Sequence[Speech], args: argparse.Namespace, *, as_json: bool = False) -> None:
    for speech, path in zip(found, outputs(args), strict=True):
        speech.save(path)
        about = {"file": str(path), "seconds": round(len(speech.waveform) / speech.sample_rate, 3)}
        about |= {"hit_limit": speech.hit_limit, "focus_rate": round(speech.focus_rate, 4)}
        limit = "; no stop came, so its end may be cut off" if speech.hit_limit else ""
        print(json.dumps(about) if as_json else f"{path}\t{about['seconds']:.2f} s{limit}")


def _identify(model: SpeechT5, args: argparse.Namespace) -> None:
    results = model.identify(args.recordings, top=args.top, longest_seconds=args.longest_seconds)
    for file, found in zip(args.recordings, results, strict=True):
        if args.json:
            print(json.dumps({"file": str(file), "name": found.name, "classes": found.classes}))
        else:
            print("\t".join([str(file), *(f"{name} {share:.4f}" for name, share in found.classes.items())]))


def _write_arrays(model: SpeechT5, args: argparse.Namespace) -> None:
    if args.command == "embed":
        found = model.embed(args.recordings, longest_seconds=args.longest_seconds)
    else:
        found = model.extract_features(args.recordings, layer=args.layer, longest_seconds=args.longest_seconds)
    for file, array, path in zip(args.recordings, found, outputs(args), strict=True):
        with replacing(path) as partial:
            np.save(partial, array)
        shape = list(array.shape)
        print(json.dumps({"file": str(file), "array": str(path), "shape": shape}) if args.json else f"{path}\t{shape}")


def _given(**options: Any) -> dict[str, Any]:
    """Those that were given; others have the defaults of Python."""
    return {name: value for name, value in options.items() if value is not None}


RUN = {
    "transcribe": _write_texts,
    "translate": _write_texts,
    "say": _say,
    "convert": _convert,
    "enhance": _convert,
    "identify": _identify,
    "embed": _write_arrays,
    "features": _write_arrays,
}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command; exits with 1 and one line where something is wrong."""
    args = build_parser(__doc__).parse_args(argv)
    logging.getLogger().setLevel(logging.WARNING)
    try:
        complete(args)
        model = SpeechT5.from_pretrained(
            args.model,
            device=args.device,
            dictionary=args.dictionary,
            spm_model=args.spm_model,
            base_checkpoint=args.base_checkpoint,
            precision=args.precision,
        )
        RUN[args.command](model, args)
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
