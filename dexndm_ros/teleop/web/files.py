# SPDX-License-Identifier: Apache-2.0
"""The files of the page, and what every answer to a browser carries."""

from __future__ import annotations

import importlib.resources
from collections import Counter
from collections.abc import Callable, Collection

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from dexndm_ros.teleop.web.access import WebError, refusal

__all__ = ["Files", "guard"]

_KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}  # fmt: skip
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Permissions-Policy": "xr-spatial-tracking=(self), camera=(), microphone=(), geolocation=()",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Files:
    """Gives out the files of the page; all are read at the start, no path comes from a request."""

    def __init__(self) -> None:
        self._assets = load_assets()

    async def page(self, request: web.Request) -> web.Response:
        """The page itself."""
        return self._file("index.html")

    async def asset(self, request: web.Request) -> web.Response:
        """What the page loads."""
        return self._file(request.match_info["name"])

    def _file(self, name: str) -> web.Response:
        if name not in self._assets:
            raise web.HTTPNotFound(text=f"there is no {name[:100]!r} here")
        kind, content = self._assets[name]
        return web.Response(body=content, content_type=kind, charset="utf-8")


def guard(
    scheme: str, names: Callable[[], Collection[str]], socket: str, counts: Counter[str]
) -> Middleware:
    """Refuses pages of other origins, and puts the protective headers on every answer.

    Args:
        scheme: "http" or "https".
        names: tells what this machine goes by now, beside loopback's names.
        socket: path of the WebSocket.
        counts: refusals are counted here, as "foreign".
    """

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            if reason := refusal(request.headers, scheme, names(), request.path == socket):
                counts["foreign"] += 1
                response: web.StreamResponse = web.Response(status=403, text=reason)
            else:
                response = await handler(request)
        except web.HTTPException as error:
            response = web.Response(status=error.status, text=error.text or error.reason)
        if not response.prepared:
            response.headers.update(_HEADERS)
        return response

    return guarded


def load_assets() -> dict[str, tuple[str, bytes]]:
    """The files of the page by name: content type and bytes."""
    folder = importlib.resources.files("dexndm_ros.teleop.web") / "static"
    found = {}
    for file in folder.iterdir():
        suffix = "." + file.name.rpartition(".")[2]
        if suffix in _KINDS:
            found[file.name] = (_KINDS[suffix], file.read_bytes())
    if "index.html" not in found:
        raise WebError("the page is not installed; install dexndm_ros again")
    return found
