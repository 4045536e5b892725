"""What a browser sends: recordings as waveforms, and texts. Files live on disk only while they are read.

Shapes: S samples.
"""

from __future__ import annotations

import math
import re
import shutil
import tempfile
from asyncio import Semaphore
from pathlib import Path
from typing import NamedTuple

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.types import Message
from torch import Tensor

from ..constants import SAMPLE_RATE
from ..data.audio import AudioInfo, audio_info
from ..data.errors import AudioError
from ..interface.recordings import waveform_of
from .refusals import Refused

MEGABYTE = 1_000_000  # bytes
NUMBERS_A_SECOND = 2 * 192_000  # of a recording of the longest length: two channels at 192 kHz, eight at 48 kHz
LONGEST_NAME = 80  # characters of a file's name in a message
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,5}")
_FIELDS = 8  # more than any tab sends


class Limits(NamedTuple):
    """What is taken: ``seconds`` of a recording, ``megabytes`` of a request, ``characters`` of a text."""

    seconds: float
    megabytes: float
    characters: int


class Given(NamedTuple):
    """What was sent, each as far as it was: recordings (S,) at 16 kHz, a text, and the name of a voice."""

    recording: Tensor | None
    voice_recording: Tensor | None
    text: str
    voice: str


async def read_given(request: Request, limits: Limits, decoding: Semaphore) -> Given:
    """Read the fields `recording`, `voice_recording`, `text` and `voice` of a form, recordings as ``decoding`` lets.

    Raises:
        Refused: larger or longer than ``limits``.
        AudioError: a recording that cannot be read, by the name that its user gave it.
    """
    most = int(limits.megabytes * MEGABYTE)
    async with _limited(request, most).form(max_files=2, max_fields=_FIELDS, max_part_size=most) as form:
        text = _words(form, "text").replace("\r\n", "\n").strip()  # as the page counts them
        if len(text) > limits.characters:
            raise Refused(
                f"the text has {len(text):,} characters, and {limits.characters:,} is the most here; shorten it", 413
            )
        async with decoding:
            waves = [
                await run_in_threadpool(_waveform, form[name], limits)
                if isinstance(form.get(name), UploadFile)
                else None
                for name in ("recording", "voice_recording")
            ]
        return Given(*waves, text, _words(form, "voice"))


def _words(form: FormData, name: str) -> str:
    found = form.get(name, "")
    if isinstance(found, UploadFile):
        raise Refused(f"{name}: a file, and words are needed; send them as a field")
    return found


def _limited(request: Request, most: int) -> Request:
    """The request, whose body is refused where it has more than ``most`` bytes, said or not."""
    received = 0
    refusal = Refused(f"more than {most / MEGABYTE:g} MB, the most here; give a shorter recording, or FLAC", 413)
    said = request.headers.get("content-length", "")
    if said.isdigit() and int(said) > most:
        raise refusal

    async def receive() -> Message:
        nonlocal received
        message = await request.receive()
        received += len(message.get("body", b""))
        if received > most:
            raise refusal
        return message

    return Request(request.scope, receive)


def _waveform(upload: UploadFile, limits: Limits) -> Tensor:
    """A file that was sent, as (S,) at 16 kHz."""
    name = upload.filename or ""
    shown = name if name.isprintable() and name else "the recording"
    shown = shown if len(shown) <= LONGEST_NAME else f"{shown[:LONGEST_NAME]}..."
    suffix = Path(name).suffix
    with tempfile.TemporaryDirectory(prefix="speecht5-web-") as folder:
        path = Path(folder) / f"recording{suffix if _SUFFIX.fullmatch(suffix) else ''}"
        with open(path, "xb") as file:
            shutil.copyfileobj(upload.file, file)
        try:
            _check_size(audio_info(path), shown, limits)
            return waveform_of(path, SAMPLE_RATE)
        except AudioError as error:
            raise AudioError(str(error).replace(str(path), shown)) from error


def _check_size(info: AudioInfo, name: str, limits: Limits) -> None:
    seconds = info.samples / SAMPLE_RATE
    if seconds > limits.seconds:
        rounded = math.ceil(seconds * 10) / 10  # never the limit itself
        raise Refused(f"{name}: {rounded:g} s, and {limits.seconds:g} s is the most here; give a shorter one", 413)
    if seconds * info.rate * info.channels > limits.seconds * NUMBERS_A_SECOND:
        found = f"{info.channels} channels at {info.rate:,} Hz"
        raise Refused(f"{name}: {found} are too much of {seconds:.1f} s; send one channel at {SAMPLE_RATE:,} Hz", 413)
