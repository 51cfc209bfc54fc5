# SPDX-License-Identifier: BSD-3-Clause
"""What is done to each request before anything reads it: who may ask, and how much they send."""

import hmac
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

__all__ = ["OPEN_PATHS", "Guard"]

# Pages that say nothing of images.
OPEN_PATHS = ("/", "/docs", "/openapi.json", "/page.css", "/page.js")
_LOCAL = ("localhost", "127.0.0.1", "[::1]")
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Guard:
    """ASGI middleware that refuses requests, counts answers and sets their headers.

    Parameters
    ----------
    app : ASGI application
    api_key : str or None
        To be sent with each request; None for a server that only this computer reaches. Then
        requests that a browser makes for the page of another site are refused.
    max_bytes : int
        The most that a request may send.
    measures : Measures
    """

    def __init__(self, app, api_key, max_bytes, measures):
        self._app, self._key, self._measures = app, api_key, measures
        self._max_bytes = max_bytes

    async def __call__(self, scope, receive, send):
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = time.perf_counter(), 500

        async def send_and_look(message):
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        refusal = self._refusal(scope["path"], Headers(scope=scope))
        app = self._app if refusal is None else JSONResponse({"error": refusal[1]}, refusal[0])
        try:
            await app(scope, self._limited(receive), send_and_look)
        finally:
            # Not the path that was asked for, of which there are as many as somebody likes.
            path = getattr(scope.get("route"), "path", "other")
            self._measures.add_request(path, status, time.perf_counter() - start)

    def _refusal(self, path, headers):
        """Status and reason, if a request is refused."""
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > self._max_bytes:
            return 413, self._too_much
        if path in OPEN_PATHS:
            return None
        if self._key is not None:
            return None if self._has_key(headers) else (401, "The API key is missing or wrong.")
        host = headers.get("host", "")
        if host.rpartition(":")[0] not in _LOCAL and host not in _LOCAL:
            return 403, "Without an API key this server answers to localhost only."
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return 403, "A page of another site asks, which takes an API key."
        return None

    def _has_key(self, headers):
        kind, _, token = headers.get("authorization", "").partition(" ")
        given = token if kind.lower() == "bearer" else headers.get("x-api-key", "")
        return hmac.compare_digest(given.encode(), self._key.encode())

    def _limited(self, receive):
        """Receive no more than is allowed, also where nobody has said how much it is."""
        n_bytes = 0

        async def receive_some():
            nonlocal n_bytes
            message = await receive()
            n_bytes += len(message.get("body", b""))
            if n_bytes > self._max_bytes:
                raise HTTPException(413, self._too_much)
            return message

        return receive_some

    @property
    def _too_much(self):
        return f"More than {self._max_bytes:,} bytes were sent, which is the limit."
