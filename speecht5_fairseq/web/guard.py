"""What other sites in a user's browser may not do, and what the page may not fetch."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = ("127.0.0.1", "localhost", "::1")
HEADERS = {
    # the page's own files, and sound and pictures that it made: nothing is fetched from elsewhere
    "Content-Security-Policy": "default-src 'self'; media-src blob:; frame-ancestors 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Guard:
    """Answers requests of this site alone, with headers that keep the browser to it.

    A name that another site made to point here (DNS rebinding) is refused where only this machine is served; so is a
    form that another site sends.
    """

    def __init__(self, app: ASGIApp, *, loopback: bool) -> None:
        self.app = app
        self.loopback = loopback

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        problem = self._problem(Headers(scope=scope))
        answer = self.app if problem is None else JSONResponse({"error": problem}, 403)
        await answer(scope, receive, guarded)

    def _problem(self, headers: Headers) -> str | None:
        host, origin = headers.get("host", ""), headers.get("origin")
        if self.loopback and _name(host) not in LOOPBACK:
            return f"the name {host!r} is not this machine's own; open the address that the server printed"
        if origin is not None and origin.partition("://")[2] != host:
            return f"a request of {origin}; open the address that the server printed"
        return None


def _name(host: str) -> str | None:
    """The name in HOST:PORT; None where it is none."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:  # brackets of an address without their pair
        return None
