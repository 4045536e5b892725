"""What a recogniser understands: any speech recogniser as `--asr`, and the texts made comparable.

Backends, by name:
    pocketsphinx       the package's own US English model, offline; small: it makes errors in clean speech too
    command:CMD {wav}  a program, run without a shell; {wav} is the recording's path, its output is the text
    module:function    a Python function of a float32 (S,) 16 kHz waveform that returns the text
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ..constants import SAMPLE_RATE
from ..data.audio import read_audio
from ..data.plugin import load_function
from .errors import ScoreError
from .optional import optional_module

POCKETSPHINX = "pocketsphinx"
COMMAND = "command:"
WAV = "{wav}"
COMMAND_SECONDS = 600  # a recogniser that takes longer for one recording hangs
_CHOICES = f"{POCKETSPHINX}, '{COMMAND}PROGRAM {WAV}' or MODULE:FUNCTION"
_APOSTROPHES = str.maketrans({mark: "'" for mark in "\u2018\u2019\u02bc\u2032\u00b4\u0060"})


@lru_cache(maxsize=4)
def find_recogniser(name: str) -> Callable[[Path], str]:
    """The recogniser of a name (see the module): a function of a recording's path that returns its text.

    Raises:
        ValueError: an unknown name, a command without {wav} or a program that is not there, with the choices.
        ImportError: the package is not installed.
    """
    if name == POCKETSPHINX:
        return _pocketsphinx()
    if name.startswith(COMMAND):
        return _command(name)
    if ":" in name:
        function = load_function(name, "--asr")
        return lambda path: _as_text(name, function(read_audio(path)))
    raise ValueError(f"--asr {name!r}: choose {_CHOICES}")


def plain_text(text: str) -> str:
    """Lower case; letters, digits and apostrophes inside words; everything else separates words.

    "It's 5 o\u2019clock \u2014 e-mail \u201cme\u201d!" -> "it's 5 o'clock e mail me". Numbers are left as they are
    written: recognisers give words, so spell them out in the texts.
    """
    text = unicodedata.normalize("NFKC", text.translate(_APOSTROPHES)).lower()
    kept = (mark if mark == "'" or unicodedata.category(mark)[0] in "LNM" else " " for mark in text)
    words = (word.strip("'") for word in "".join(kept).split())
    return " ".join(word for word in words if word)


def pcm16(wave: np.ndarray) -> bytes:
    """(S,) in [-1, 1] as 16-bit samples of this machine's byte order; louder ones are clipped."""
    return np.clip(np.rint(np.asarray(wave) * 32768.0), -32768, 32767).astype(np.int16).tobytes()


def _pocketsphinx() -> Callable[[Path], str]:
    decoder = optional_module(POCKETSPHINX).Decoder(samprate=SAMPLE_RATE, loglevel="FATAL")

    def recognise(path: Path) -> str:
        decoder.reinit_feat()  # forget the level and noise of the recordings before: their order must not matter
        decoder.start_utt()
        decoder.process_raw(pcm16(read_audio(path)), full_utt=True)
        decoder.end_utt()
        hypothesis = decoder.hyp()
        return hypothesis.hypstr if hypothesis is not None else ""

    return recognise


def _command(name: str) -> Callable[[Path], str]:
    words = shlex.split(name[len(COMMAND) :])
    if not any(WAV in word for word in words):
        raise ValueError(f"--asr {name!r}: the command does not name the recording; put {WAV} where its path belongs")
    if shutil.which(words[0]) is None:
        raise ValueError(f"--asr {name!r}: there is no program {words[0]!r}; install it or give its path")
    return lambda path: _output([word.replace(WAV, str(path)) for word in words])


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=COMMAND_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise ScoreError(f"{shlex.join(command)} took longer than {COMMAND_SECONDS} s") from error
    if done.returncode != 0:
        last = (done.stderr.strip() or done.stdout.strip() or "it printed nothing").splitlines()[-1]
        raise ScoreError(f"{shlex.join(command)} ended with exit code {done.returncode}: {last}")
    return " ".join(done.stdout.split())


def _as_text(name: str, text: Any) -> str:
    if not isinstance(text, str):
        raise ScoreError(f"--asr {name}: the function returned {type(text).__name__}, not str")
    return " ".join(text.split())
