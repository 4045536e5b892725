"""Where the recorded prompts come from (Debian, the publisher, a folder), and how their codec is read.

Whatever the source, `fetch` returns the sound folder and the transcript file of one language.
"""

from __future__ import annotations

import gzip
import logging
import os
import shutil
import subprocess
import tarfile
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from speecht5_fairseq.constants import SAMPLE_RATE

logger = logging.getLogger(__name__)

ARCHIVE_URL = "https://downloads.asterisk.org/pub/telephony/sounds/"
G722_BIT_RATE = 64_000  # bits a second
G722_SAMPLES_PER_BYTE = SAMPLE_RATE * 8 // G722_BIT_RATE  # 2


class PromptFiles(NamedTuple):
    """The unpacked prompts of one language."""

    sounds: Path  # holds NAME.g722 and folders of more
    transcripts: Path  # core-sounds-LANGUAGE.txt, perhaps with .gz


def locate(folder: Path, language: str) -> PromptFiles:
    """Find one language's sounds and transcripts in an unpacked Debian package or publisher's archive.

    Raises FileNotFoundError that names what is missing, and where it was looked for.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"--source {folder}: no such folder; choose auto, apt, archive, or an unpacked folder")
    found = sorted(path for name in (".txt", ".txt.gz") for path in folder.rglob(f"core-sounds-{language}{name}"))
    if not found:
        raise FileNotFoundError(
            f"{folder}: no core-sounds-{language}.txt or .txt.gz in it; unpack the transcripts of {language!r} there "
            f"too (Debian keeps them in the package asterisk-core-sounds-{language})"
        )
    transcripts = found[0]
    candidates = [transcripts.parent, folder / language, *sorted(folder.rglob(f"{language}_*"))]
    for sounds in candidates:
        if sounds.is_dir() and next(sounds.glob("*.g722"), None) is not None:
            return PromptFiles(sounds, transcripts)
    raise FileNotFoundError(
        f"{folder}: no *.g722 files in {', '.join(str(path) for path in candidates)}; unpack the G.722 sounds of "
        f"language {language!r} there too (Debian: asterisk-core-sounds-{language}-g722)"
    )


def fetch_with_apt(language: str, cache: Path) -> PromptFiles:
    """Download the two Debian packages of one language and unpack them under `cache`; needs no root.

    Raises RuntimeError with the mend when apt-get or dpkg-deb is missing or fails.
    """
    for program in ("apt-get", "dpkg-deb"):
        if shutil.which(program) is None:
            raise RuntimeError(f"--source apt: {program} is not on PATH (not a Debian system?); use --source archive")
    folder = cache / f"debian-{language}"
    if folder.is_dir():
        return locate(folder, language)
    packages = [f"asterisk-core-sounds-{language}", f"asterisk-core-sounds-{language}-g722"]
    with _filling(folder) as unpacked, tempfile.TemporaryDirectory(dir=cache) as downloads:
        _command(
            ["apt-get", "download", *packages],
            downloads,
            "refresh the package lists (`apt-get update` as root), or use --source archive",
        )
        for package in sorted(Path(downloads).glob("*.deb")):
            unpack = ["dpkg-deb", "-x", str(package.resolve()), str(unpacked.resolve())]  # run in another folder
            _command(unpack, downloads, "the download is damaged: run again")
    return locate(folder, language)


def fetch_archive(language: str, cache: Path, base_url: str = ARCHIVE_URL) -> PromptFiles:
    """Download the publisher's archive of one language and unpack it under `cache`.

    Raises RuntimeError with the mend when the address cannot be read.
    """
    folder = cache / f"archive-{language}"
    if folder.is_dir():
        return locate(folder, language)
    url = f"{base_url.rstrip('/')}/asterisk-core-sounds-{language}-g722-current.tar.gz"
    logger.info("downloading %s", url)
    with _filling(folder) as unpacked:
        try:
            with (
                urllib.request.urlopen(url, timeout=60) as response,
                _counting(response, f"download {language}") as stream,
                tarfile.open(fileobj=stream, mode="r|gz") as tar,
            ):
                tar.extractall(unpacked, filter="data")
        except (OSError, tarfile.TarError) as error:
            raise RuntimeError(
                f"--source archive: cannot read {url} ({error}); check the network or --archive-url, use --source apt, "
                "or unpack the archive yourself and give its folder as --source"
            ) from error
    return locate(folder, language)


def fetch(source: str, language: str, cache: Path, archive_url: str = ARCHIVE_URL) -> PromptFiles:
    """One language's prompts from `source`: "apt", "archive", "auto" (apt, else archive) or a folder's path."""
    cache.mkdir(parents=True, exist_ok=True)
    if source == "apt":
        return fetch_with_apt(language, cache)
    if source == "archive":
        return fetch_archive(language, cache, archive_url)
    if source != "auto":
        return locate(Path(source), language)
    try:
        return fetch_with_apt(language, cache)
    except RuntimeError as apt_error:
        logger.warning("%s; trying the publisher's archive", apt_error)
        try:
            return fetch_archive(language, cache, archive_url)
        except RuntimeError as archive_error:
            raise RuntimeError(f"no source of prompts works.\n  {apt_error}\n  {archive_error}") from archive_error


def read_transcripts(path: Path) -> dict[str, list[str]]:
    """Recording name -> its transcripts, as written (a name that stands twice has two).

    Lines are `name: text`; lines that start with ";" are comments. Raises ValueError naming file and line.
    """
    opener = gzip.open if path.suffix == ".gz" else open
    transcripts: dict[str, list[str]] = {}
    with opener(path, "rt", encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            line = line.strip()
            if not line or line.startswith(";"):
                continue
            name, colon, text = line.partition(":")
            if not colon:
                raise ValueError(
                    f"{path}:{number}: {line!r} is not `name: text`; mend the line or comment it out with ;"
                )
            transcripts.setdefault(name.strip(), []).append(text.strip())
    return transcripts


def decode_g722(data: bytes) -> np.ndarray:
    """Decode G.722 at 64 kbit/s to (S,) float32 in [-1, 1) at 16 kHz, two samples for every byte.

    The codec's filters delay the sound by 22 samples (1.4 ms), which is left as it is.
    Raises ImportError with the mend when the decoder is missing.
    """
    try:
        from G722 import G722
    except ImportError as error:
        raise ImportError("the prompts are G.722, and its decoder is not installed: `pip install G722`") from error
    samples = np.array(G722(SAMPLE_RATE, G722_BIT_RATE).decode(data), dtype=np.int16)
    if len(samples) != G722_SAMPLES_PER_BYTE * len(data):
        raise ValueError(
            f"G722 made {len(samples)} samples of {len(data)} bytes, not {G722_SAMPLES_PER_BYTE} a byte: the installed "
            "package behaves unlike release 1.2; `pip install G722==1.2.8`"
        )
    return samples.astype(np.float32) / 32768.0


def _counting(response: Any, description: str) -> AbstractContextManager[Any]:
    """`response` as a stream whose reading moves a progress bar."""
    length = response.headers.get("Content-Length")
    total = int(length) if length else None
    return tqdm.wrapattr(response, "read", total=total, desc=description, unit="B", unit_scale=True, unit_divisor=1024)


@contextmanager
def _filling(folder: Path) -> Iterator[Path]:
    """A folder that appears under its own name only when the block that fills it ends well."""
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _command(arguments: list[str], folder: str, mend: str) -> None:
    logger.info("running %s", " ".join(arguments))
    done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no message"]
        raise RuntimeError(f"`{' '.join(arguments)}` failed: {reason[0]}; {mend}")
