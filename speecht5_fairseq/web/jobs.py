"""What each tab computes: what was sent in, plain values for JSON out.

Shapes: S samples, N mel frames, M mel bins.
"""

from __future__ import annotations

import base64
import io
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import soundfile
from torch import Tensor

from ..constants import SAMPLE_RATE
from ..interface import Speech, SpeechT5
from ..interface.results import finite
from .refusals import Refused

METHODS = {  # tab -> the method of `SpeechT5`
    "recognise": "transcribe",
    "say": "synthesize",
    "convert": "convert_voice",
    "enhance": "enhance",
    "identify": "identify",
}
SPEAKERS = 5  # likeliest ones that are named
COLUMNS = 1200  # of a picture, at most
PACKAGE = logging.getLogger(__name__.rsplit(".", 2)[0])


class Work(NamedTuple):
    """One request, ready to be computed.

    Attributes:
        recording: (S,) at 16 kHz.
        text: to say.
        voice: (512,).
        options: of the tab, as the command line has them.
    """

    recording: Tensor | None
    text: str
    voice: np.ndarray | None
    options: dict[str, Any]


def compute(tab: str, model: SpeechT5, work: Work) -> dict[str, Any]:
    """The result of a tab, with ``notes``: what the package warned of meanwhile.

    Raises:
        Refused: no recording, text or voice where one is needed.
        DataError: what was sent cannot be used.
    """
    with _warnings() as notes:
        return {**_COMPUTE[tab](model, work), "notes": notes}


def _recognise(model: SpeechT5, work: Work) -> dict[str, Any]:
    found = model.transcribe(_recording(work), **work.options)
    segments = [{"start": each.start, "end": each.end, "text": each.text} for each in found.segments]
    return {"text": found.text, "score": finite(found.score), "segments": segments}


def _say(model: SpeechT5, work: Work) -> dict[str, Any]:
    if not work.text:
        raise Refused("no text: write what to say")
    return _speech(model.synthesize(work.text, _voice(work), **work.options))


def _convert(model: SpeechT5, work: Work) -> dict[str, Any]:
    return _speech(model.convert_voice(_recording(work), _voice(work), **work.options))


def _enhance(model: SpeechT5, work: Work) -> dict[str, Any]:
    return _speech(model.enhance(_recording(work), _voice(work), **work.options))


def _identify(model: SpeechT5, work: Work) -> dict[str, Any]:
    found = model.identify(_recording(work), top=SPEAKERS, **work.options)
    return {"name": found.name, "classes": [[name, share] for name, share in found.classes.items()]}


_COMPUTE: dict[str, Callable[[SpeechT5, Work], dict[str, Any]]] = {
    "recognise": _recognise,
    "say": _say,
    "convert": _convert,
    "enhance": _enhance,
    "identify": _identify,
}


def _recording(work: Work) -> Tensor:
    if work.recording is None:
        raise Refused("no recording: choose a file, or record one")
    return work.recording


def _voice(work: Work) -> np.ndarray:
    if work.voice is None:
        raise Refused("no voice: choose one")
    return work.voice


def _speech(found: Speech) -> dict[str, Any]:
    """Generated speech: a WAV file, and a picture of its mel."""
    file = io.BytesIO()
    soundfile.write(file, found.waveform, SAMPLE_RATE, format="WAV", subtype="PCM_16")
    return {
        "wav": base64.b64encode(file.getvalue()).decode(),
        "seconds": len(found.waveform) / SAMPLE_RATE,
        "hit_limit": found.hit_limit,
        "mel": picture(found.mel),
    }


def picture(mel: np.ndarray) -> dict[str, Any]:
    """Grey values 0 to 255 of a mel (N, M), row by row from the highest bin; wide ones lose frames evenly."""
    columns = mel[:: max(1, -(-len(mel) // COLUMNS))].T[::-1]
    low, high = float(columns.min()), float(columns.max())
    grey = ((columns - low) * (255 / max(high - low, 1e-6))).astype(np.uint8)
    return {"width": grey.shape[1], "height": grey.shape[0], "grey": base64.b64encode(grey.tobytes()).decode()}


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """What the package warns of in this thread: other requests have threads of their own."""
    notes: list[str] = []
    mine = threading.get_ident()

    class Notes(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.thread == mine:
                notes.append(record.getMessage())

    handler = Notes(logging.WARNING)
    PACKAGE.addHandler(handler)
    try:
        yield notes
    finally:
        PACKAGE.removeHandler(handler)
