# SPDX-License-Identifier: Apache-2.0
"""The files of a page, and what every answer to a browser carries."""

from __future__ import annotations

import importlib.resources
from collections.abc import Callable

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

__all__ = ["HEADERS", "Files", "guard"]

_KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}  # fmt: skip
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Files:
    """Gives out the files of a page; all are read at the start, no path comes from a request.

    Args:
        package: whose folder ``static`` holds them.
        error: raised where they are not installed, with words.
    """

    def __init__(self, package: str, error: type[Exception]) -> None:
        self._assets = _load(package)
        if "index.html" not in self._assets:
            raise error("the page is not installed; install dexndm_ros again")

    def serve(self, app: web.Application) -> None:
        """Add the page and its files to an application."""
        app.router.add_get("/", self.page)
        app.router.add_get("/static/{name}", self.asset)

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
    refuse: Callable[[web.Request], web.Response | None],
    answer: Callable[[int, str], web.Response],
    headers: dict[str, str] | None = None,
) -> Middleware:
    """Refuses requests before anything is done, and puts the protective headers on every answer.

    Args:
        refuse: the answer to one that is refused whatever it asks for; None = it may be looked at.
        answer: makes one of a status and words.
        headers: put on every answer beside ``HEADERS``.
    """
    every = {**HEADERS, **(headers or {})}

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        response: web.StreamResponse
        try:
            refusal = refuse(request)
            # not by its truth: an answer is a mapping too, and an empty one must not let a request in
            response = refusal if refusal is not None else await handler(request)
        except web.HTTPException as error:
            response = answer(error.status, error.text or error.reason)
        if not response.prepared:
            response.headers.update(every)
        return response

    return guarded


def _load(package: str) -> dict[str, tuple[str, bytes]]:
    """The files of a page by name: content type and bytes."""
    found = {}
    for file in (importlib.resources.files(package) / "static").iterdir():
        suffix = "." + file.name.rpartition(".")[2]
        if suffix in _KINDS:
            found[file.name] = (_KINDS[suffix], file.read_bytes())
    return found
