"""The page and what it asks for, over HTTP: GET / is the page, POST /api/TAB a form in and JSON out.

An error of the user's making comes back as `{"error": words}`; any other goes to the log with its traceback, and the
words say so.
"""

from __future__ import annotations

import logging
import time
import uuid
from asyncio import Semaphore
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from ..data.errors import DataError
from ..interface import SpeechT5
from .guard import Guard
from .jobs import Work, compute
from .refusals import Refused
from .turns import Turns
from .uploads import Given, Limits, read_given
from .voices import voice_of

logger = logging.getLogger(__name__)

PAGE = Path(__file__).parent / "page"
DECODED_AT_A_TIME = 2  # requests whose recordings are being read: what is large in memory for a while
CLIENT_LEFT = 499  # nginx's status for it; nobody reads the answer


class Served(NamedTuple):
    """A model and the queue before it; tabs of one checkpoint share both."""

    model: SpeechT5
    turns: Turns

    def about(self) -> dict[str, str]:
        """The checkpoint with its folder, for many are called checkpoint_best.pt, and the device."""
        parts = self.model.loaded.source.path.parts
        return {"checkpoint": "/".join(parts[-2:]), "device": str(self.model.device)}


class Tab(NamedTuple):
    """A tab of the page: its model, and options of the model's method."""

    served: Served
    options: dict[str, Any]
    speaks: bool


class Site:
    """What the page serves.

    Attributes:
        tabs: by their names.
        voices: speaker vectors (512,) by their names.
        speaker: makes voices of recordings, where there is one.
    """

    def __init__(
        self,
        tabs: Mapping[str, Tab],
        *,
        voices: Mapping[str, np.ndarray],
        speaker: Served | None,
        limits: Limits,
    ) -> None:
        self.tabs = tabs
        self.voices = voices
        self.speaker = speaker
        self.limits = limits

    def app(self, *, loopback: bool) -> Starlette:
        """The application; ``loopback`` where it is for this machine alone."""
        self.decoding = Semaphore(DECODED_AT_A_TIME)  # of the event loop that will serve
        routes = [
            Route("/", self._page),
            Route("/api/site", self._about),
            Route("/api/waiting", self._waiting),
            Route("/api/{tab}", self._answer, methods=["POST"]),
            Mount("/page", StaticFiles(directory=PAGE)),
        ]
        handlers = {HTTPException: _http_error}
        return Starlette(routes=routes, exception_handlers=handlers, middleware=[Middleware(Guard, loopback=loopback)])

    async def _page(self, request: Request) -> FileResponse:
        return FileResponse(PAGE / "index.html")

    async def _about(self, request: Request) -> JSONResponse:
        """What the page shows: tabs in their order, voices, limits."""
        about = {
            "tabs": [{"name": name, **tab.served.about()} for name, tab in self.tabs.items()],
            "voices": list(self.voices),
            "voices_of_recordings": self.speaker is not None,
            "limits": self.limits._asdict(),
        }
        return JSONResponse(about)

    async def _waiting(self, request: Request) -> JSONResponse:
        """Requests that wait or are served, for each tab's model."""
        return JSONResponse({name: tab.served.turns.present for name, tab in self.tabs.items()})

    async def _answer(self, request: Request) -> JSONResponse:
        name = request.path_params["tab"]
        if name not in self.tabs:
            raise HTTPException(404, f"no tab {name!r}; there are {', '.join(self.tabs)}")
        began = time.monotonic()
        try:
            answer = JSONResponse(await self._computed(name, request))
        except DataError as error:
            status = error.status if isinstance(error, Refused) else 400
            logger.info("%s: refused (%d): %s", name, status, error)
            return JSONResponse({"error": str(error)}, status)
        except HTTPException:  # of a form that is none
            raise
        except Exception:
            number = uuid.uuid4().hex[:8]
            logger.exception("%s: an error that is not of the request's making, number %s", name, number)
            words = f"something went wrong that should not; the log of the server tells it under {number}"
            return JSONResponse({"error": words}, 500)
        logger.info("%s: done after %.1f s", name, time.monotonic() - began)
        return answer

    async def _computed(self, name: str, request: Request) -> dict[str, Any]:
        tab = self.tabs[name]
        given = await read_given(request, self.limits, self.decoding)
        voice = await self._voice(given) if tab.speaks else None
        async with tab.served.turns.turn():
            if await request.is_disconnected():
                raise Refused("the browser left before its turn came", CLIENT_LEFT)
            work = Work(given.recording, given.text, voice, tab.options)
            return await run_in_threadpool(compute, name, tab.served.model, work)

    async def _voice(self, given: Given) -> np.ndarray | None:
        """The voice that was asked for: of a recording where one was sent."""
        if given.voice_recording is not None:
            if self.speaker is None:
                raise Refused("no voices of recordings here (--voices-of CHECKPOINT): choose one by its name")
            async with self.speaker.turns.turn():
                return await run_in_threadpool(voice_of, self.speaker.model, given.voice_recording)
        if given.voice and given.voice not in self.voices:
            raise Refused(f"no voice {given.voice!r}; there are {', '.join(self.voices)}")
        return self.voices.get(given.voice)


def _http_error(request: Request, error: HTTPException) -> JSONResponse:
    return JSONResponse({"error": error.detail}, error.status_code)
