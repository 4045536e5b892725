"""Programs that speak any text: flite (English, five voices) and espeak-ng (many languages), both of Debian.

A program that is installed is used as it is. Otherwise its packages, and those it needs that the system lacks, are
downloaded and unpacked into a folder of ours, from which it runs: no root.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from speecht5_fairseq.data.audio import read_audio

from .debian import library_path, missing_packages, unpack_packages

CHECK_TEXT = "a"
SPEAK_SECONDS = 120  # after which a program that does not end is stopped


@dataclass(frozen=True)
class Engine:
    """A kind of program. `command`: program, voice, text file, sound file -> arguments."""

    name: str
    package: str
    voice: str  # by default
    command: Callable[[str, str, str, str], list[str]]


ENGINES = {
    "flite": Engine(
        "flite", "flite", "slt", lambda program, voice, text, wave: [program, "-voice", voice, "-f", text, "-o", wave]
    ),
    "espeak-ng": Engine(
        "espeak-ng",
        "espeak-ng",
        "en-us",
        lambda program, voice, text, wave: [program, "-b", "1", "-v", voice, "-f", text, "-w", wave],  # -b 1: UTF-8
    ),
}


@dataclass(frozen=True)
class Speaker:
    """A program with one of its voices. It can cross to other processes."""

    engine: str
    voice: str
    program: str
    environment: Mapping[str, str] = field(default_factory=dict)  # beside the process's own

    def speak(self, text: str) -> np.ndarray:
        """`text` spoken: float32 (S,), 16 kHz. RuntimeError when the program fails, ValueError when it is silent."""
        with tempfile.TemporaryDirectory() as folder:
            written, wave = Path(folder) / "text.txt", Path(folder) / "speech.wav"
            written.write_text(text + "\n", encoding="utf-8")
            run_program(
                ENGINES[self.engine].command(self.program, self.voice, str(written), str(wave)), self.environment
            )
            speech = read_audio(wave)
        if not len(speech) or not speech.any():
            raise ValueError(f"{self.engine} says nothing for {text!r}")
        return speech


def run_program(arguments: list[str], environment: Mapping[str, str]) -> str:
    """Standard output of a program. RuntimeError when it fails."""
    try:
        done = subprocess.run(
            arguments,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SPEAK_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"`{' '.join(arguments)}` did not end in {SPEAK_SECONDS} s") from error
    if done.returncode:
        reason = (done.stderr or done.stdout).strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise RuntimeError(f"`{' '.join(arguments)}` failed: {reason[0]}")
    return done.stdout


def fetch_program(engine: Engine, cache: Path) -> tuple[str, dict[str, str]]:
    """The program unpacked below `cache`, and the environment it needs. Raises RuntimeError with the mend."""
    mend = f"install it (`apt-get install {engine.package}` as root)"
    folder = cache / f"debian-{engine.name}"
    if not folder.is_dir():
        unpack_packages(missing_packages(engine.package, mend=mend), folder, mend=mend)
    program = folder / "usr/bin" / engine.name
    if not program.is_file():
        raise RuntimeError(f"{program}: not in the packages unpacked there; delete {folder} and run again, or {mend}")
    environment = {"LD_LIBRARY_PATH": library_path(folder)}
    data = next(folder.rglob("espeak-ng-data/phontab"), None)
    if data is not None:
        environment["ESPEAK_DATA_PATH"] = str(data.parent.parent.resolve())
    return str(program.resolve()), environment


def find_speaker(engine: str, voice: str | None, cache: Path) -> Speaker:
    """A voice of an engine, checked by speaking. Raises ValueError for an unknown name, RuntimeError with the mend."""
    if engine not in ENGINES:
        raise ValueError(f"--engine {engine!r}: choose one of {', '.join(ENGINES)}")
    known = ENGINES[engine]
    program = shutil.which(known.name)
    path, environment = (program, {}) if program else fetch_program(known, cache)
    speaker = Speaker(engine, voice or known.voice, path, environment)
    _check_voice(speaker)
    try:
        speaker.speak(CHECK_TEXT)
    except RuntimeError as error:
        raise RuntimeError(f"--engine {engine} --voice {speaker.voice}: {error}; {_voices_mend(speaker)}") from error
    return speaker


def _check_voice(speaker: Speaker) -> None:
    """flite speaks with another voice, without a word, when it does not know the one it was asked for."""
    if speaker.engine != "flite" or Path(speaker.voice).is_file():
        return
    voices = run_program([speaker.program, "-lv"], speaker.environment).partition(":")[2].split()
    if speaker.voice not in voices:
        raise ValueError(
            f"--voice {speaker.voice!r}: flite has {', '.join(voices)}; choose one, or give a .flitevox file"
        )


def _voices_mend(speaker: Speaker) -> str:
    if speaker.engine == "flite":
        return "choose a voice that `flite -lv` lists, or mend the .flitevox file"
    return "choose a Language that `espeak-ng --voices` lists, perhaps with a variant (+f1 to +f5 for women)"
