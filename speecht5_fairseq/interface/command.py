"""The `speecht5` command: a trained model from the shell.

speecht5 transcribe -m asr.pt call.wav meeting.flac
speecht5 say -m tts.pt --speaker voice.npy --out hello.wav "Hello."
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..data.atomic import replacing
from ..data.errors import AudioError, DataError
from .arguments import build_parser, complete, outputs
from .results import Speech, finite
from .slices import Found, each_found
from .speecht5 import SpeechT5
from .voices import speaker_vectors


def _write_texts(model: SpeechT5, args: argparse.Namespace) -> None:
    method = model.transcribe if args.command == "transcribe" else model.translate
    options = {"beam": args.beam, "longest_seconds": args.longest_seconds} | _given(ctc_weight=args.ctc_weight)
    for _, file, found in _found(args.recordings, partial(method, **options)):
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
    for speech, path in zip(found, outputs(args), strict=True):
        _write_speech(speech, path)


def _convert(model: SpeechT5, args: argparse.Namespace) -> None:
    method = model.convert_voice if args.command == "convert" else model.enhance
    options = {"seed": args.seed, "longest_seconds": args.longest_seconds} | _given(vocoder=args.vocoder)
    speaker, paths = speaker_vectors(args.speaker, 1)[0], outputs(args)
    for index, _, speech in _found(args.recordings, lambda files: method(files, speaker, **options)):
        _write_speech(speech, paths[index], as_json=args.json)


def _write_speech(speech: Speech, path: Path, *, as_json: bool = False) -> None:
    speech.save(path)
    about = {"file": str(path), "seconds": round(len(speech.waveform) / speech.sample_rate, 3)}
    about |= {"hit_limit": speech.hit_limit, "focus_rate": round(speech.focus_rate, 4)}
    limit = "; no stop came, so its end may be cut off" if speech.hit_limit else ""
    print(json.dumps(about) if as_json else f"{path}\t{about['seconds']:.2f} s{limit}")


def _identify(model: SpeechT5, args: argparse.Namespace) -> None:
    method = partial(model.identify, top=args.top, longest_seconds=args.longest_seconds)
    for _, file, found in _found(args.recordings, method):
        if args.json:
            print(json.dumps({"file": str(file), "name": found.name, "classes": found.classes}))
        else:
            print("\t".join([str(file), *(f"{name} {share:.4f}" for name, share in found.classes.items())]))


def _write_arrays(model: SpeechT5, args: argparse.Namespace) -> None:
    method = model.embed if args.command == "embed" else partial(model.extract_features, layer=args.layer)
    paths = outputs(args)
    for index, file, array in _found(args.recordings, partial(method, longest_seconds=args.longest_seconds)):
        path = paths[index]
        with replacing(path) as unfinished:
            np.save(unfinished, array)
        shape = list(array.shape)
        print(json.dumps({"file": str(file), "array": str(path), "shape": shape}) if args.json else f"{path}\t{shape}")


def _found(files: Sequence[Path], compute: Callable[[list[Path]], list]) -> Iterator[Found]:
    """The result of each recording; those that cannot be used are told at once, and counted at the end.

    Raises:
        DataError: there are some.
    """
    unusable = 0
    for found in each_found(files, compute):
        if not isinstance(found.result, AudioError):
            yield found
            sys.stdout.flush()  # what is printed stays, whatever comes
            continue
        if len(files) == 1:
            raise found.result
        print(f"error: {found.result}", file=sys.stderr)
        unusable += 1
    if unusable:
        raise DataError(f"{unusable} of {len(files)} recordings cannot be used, as told above; the others are done")


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
