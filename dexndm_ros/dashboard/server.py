# SPDX-License-Identifier: Apache-2.0
"""Serves the page: status to everybody on this machine, actions to who has the token.

The server lives in a thread of its own with its own event loop. Each viewer is sent, twice a second,
the parts of the snapshot that have changed since it was last sent them; one that does not read holds
up nobody, and is dropped after a while.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import importlib.resources
import json
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from dexndm_ros.dashboard.access import DashboardError, bearer_fits, check_host, refusal

__all__ = ["ACTIONS", "Act", "ActionResult", "DashboardServer", "ServerConfig"]

ACTIONS = ("start", "pause", "resume", "stop")
_KINDS = {
    ".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml",
}  # fmt: skip
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_START_S = 10.0
_STOP_S = 5.0

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class ActionResult:
    """What became of an action; the message is for the person who pressed the button."""

    ok: bool
    message: str


Act = Callable[[str], "Future[ActionResult]"]
"""Begins one of ``ACTIONS``; called in the server's thread, must not block."""


@dataclass(frozen=True)
class ServerConfig:
    """Where to serve, and the limits.

    Attributes:
        token: what allows actions; empty = nobody may.
        host: loopback address.
        port: 0 = any that is free.
        period_s: time between two updates of a viewer.
        patience_s: a viewer that takes nothing for this long is dropped.
        action_s: an action that is not answered in this time has failed.
        max_viewers: streams at once.
        max_actions: actions under way at once.
        max_body: largest body of a request, bytes.
    """

    token: str = ""
    host: str = "127.0.0.1"
    port: int = 8765
    period_s: float = 0.5
    patience_s: float = 20.0
    action_s: float = 5.0
    max_viewers: int = 20
    max_actions: int = 4
    max_body: int = 1024


class DashboardServer:
    """The page and its data on one loopback port.

    Args:
        config: where, and the limits.
        snapshot: the present state ready for JSON; called in the server's thread.
        act: begins an action.
    """

    def __init__(
        self, config: ServerConfig, snapshot: Callable[[], dict[str, Any]], act: Act
    ) -> None:
        if not 0 <= config.port <= 65535:
            raise DashboardError(f"port is {config.port}; allowed: 0 (any that is free) to 65535")
        self.config = config
        self._host = check_host(config.host, config.port)
        self._snapshot = snapshot
        self._act = act
        self._assets = load_assets()
        self._cached: tuple[float, dict[str, str]] = (float("-inf"), {})
        self._viewers = 0
        self._actions = 0
        self._port = 0
        self._ready: Future[int] = Future()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing: asyncio.Event | None = None

    # --- from outside -------------------------------------------------------------------------------

    def start(self) -> None:
        """Bind and serve in a thread.

        Raises:
            DashboardError: the port cannot be had.
        """
        self._thread = threading.Thread(target=self._run, name="dashboard server", daemon=True)
        self._thread.start()
        self._port = self._ready.result(_START_S)

    def stop(self) -> None:
        """End all streams and free the port. Works twice."""
        loop, closing = self._loop, self._closing
        if loop is not None and closing is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(closing.set)
        if self._thread is not None:
            self._thread.join(_STOP_S)

    @property
    def running(self) -> bool:
        """The server's thread is alive."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def url(self) -> str:
        """Address of the page, read-only."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}/"

    @property
    def url_with_token(self) -> str:
        """Address of the page with its buttons; a browser never sends what follows the ``#``."""
        return f"{self.url}#token={self.config.token}" if self.config.token else self.url

    @property
    def viewers(self) -> int:
        """Streams that are open."""
        return self._viewers

    # --- the thread ---------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            if self._ready.done():
                raise
            self._ready.set_exception(error)

    async def _serve(self) -> None:
        self._loop, self._closing = asyncio.get_running_loop(), asyncio.Event()
        runner = web.AppRunner(
            self._application(), access_log=None, shutdown_timeout=1.0, lingering_time=1.0
        )
        await runner.setup()
        try:
            site = web.TCPSite(runner, self._host, self.config.port)
            try:
                await site.start()
            except OSError as error:
                raise DashboardError(self._cannot_bind(error)) from error
            self._ready.set_result(runner.addresses[0][1])
            await self._closing.wait()
        finally:
            await runner.cleanup()

    def _cannot_bind(self, error: OSError) -> str:
        where = f"port {self.config.port} of {self._host}"
        if error.errno == errno.EADDRINUSE:
            return f"{where} is taken by another program (another dashboard?); end it, or give another port (0 = any)"
        return f"{where} cannot be had ({error.strerror}); give another port (0 = any)"

    def _application(self) -> web.Application:
        app = web.Application(middlewares=[_guarded], client_max_size=self.config.max_body)
        app.router.add_get("/", self._page)
        app.router.add_get("/static/{name}", self._asset)
        app.router.add_get("/api/status", self._status)
        app.router.add_get("/api/stream", self._stream, allow_head=False)
        app.router.add_post("/api/replay/{action}", self._replay)
        return app

    # --- handlers -----------------------------------------------------------------------------------

    async def _page(self, request: web.Request) -> web.Response:
        return self._file("index.html")

    async def _asset(self, request: web.Request) -> web.Response:
        return self._file(request.match_info["name"])

    def _file(self, name: str) -> web.Response:
        if (
            name not in self._assets
        ):  # what is served was read at the start; no path comes from a request
            raise web.HTTPNotFound(text=f"there is no {name[:100]!r} here")
        kind, content = self._assets[name]
        return web.Response(body=content, content_type=kind, charset="utf-8")

    async def _status(self, request: web.Request) -> web.Response:
        return web.Response(text=_joined(self._sections()), content_type="application/json")

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events: the browser's EventSource connects again by itself."""
        assert self._closing is not None
        if self._viewers >= self.config.max_viewers:
            return _answer(
                503, False, f"{self.config.max_viewers} pages are open already; close one"
            )
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        response.headers.update(_HEADERS)  # sent before the middleware could add them
        self._viewers += 1
        try:
            await response.prepare(request)
            sent: dict[str, str] = {}
            while not self._closing.is_set():
                sections = self._sections()
                news = {key: text for key, text in sections.items() if sent.get(key) != text}
                sent = sections
                data = f"data: {_joined(news)}\n\n".encode()
                await asyncio.wait_for(response.write(data), self.config.patience_s)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._closing.wait(), self.config.period_s)
        except (TimeoutError, ConnectionError):
            if request.transport is not None:
                request.transport.abort()  # a polite end would wait for the viewer again
        finally:
            self._viewers -= 1
        return response

    async def _replay(self, request: web.Request) -> web.Response:
        if not bearer_fits(request.headers.get("Authorization"), self.config.token):
            return _answer(
                401,
                False,
                "this needs the token; open the address that holds it, see dashboard.url",
            )
        action = request.match_info["action"]
        if action not in ACTIONS:
            return _answer(404, False, f"no action {action[:50]!r}; there are {', '.join(ACTIONS)}")
        await request.read()  # refuses a body beyond client_max_size
        if self._actions >= self.config.max_actions and action != "stop":
            return _answer(429, False, "other requests are under way; wait for their answers")
        self._actions += 1
        try:
            result = await asyncio.wait_for(
                asyncio.wrap_future(self._act(action)), self.config.action_s
            )
        except TimeoutError:
            return _answer(504, False, f"the replay did not answer in {self.config.action_s:g} s")
        finally:
            self._actions -= 1
        return _answer(200 if result.ok else 409, result.ok, result.message)

    def _sections(self) -> dict[str, str]:
        """Top-level parts of the snapshot as JSON; viewers of the same moment share the work."""
        made_s, sections = self._cached
        now_s = time.monotonic()
        if now_s - made_s > 0.5 * self.config.period_s:
            snapshot = self._snapshot()
            sections = {key: json.dumps(part, allow_nan=False) for key, part in snapshot.items()}
            self._cached = (now_s, sections)
        return sections


@web.middleware
async def _guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse other sites, and put the protective headers on every answer."""
    try:
        if reason := refusal(request.headers):
            response: web.StreamResponse = _answer(403, False, reason)
        else:
            response = await handler(request)
    except web.HTTPException as error:
        response = _answer(error.status, False, error.text or error.reason)
    if not response.prepared:
        response.headers.update(_HEADERS)
    return response


def load_assets() -> dict[str, tuple[str, bytes]]:
    """The files of the page by name: content type and bytes."""
    folder = importlib.resources.files("dexndm_ros.dashboard") / "static"
    found = {}
    for file in folder.iterdir():
        suffix = "." + file.name.rpartition(".")[2]
        if suffix in _KINDS:
            found[file.name] = (_KINDS[suffix], file.read_bytes())
    if "index.html" not in found:
        raise DashboardError("the page is not installed; install dexndm_ros again")
    return found


def _answer(status: int, ok: bool, message: str) -> web.Response:
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return web.json_response({"ok": ok, "message": message}, status=status, headers=headers)


def _joined(sections: dict[str, str]) -> str:
    return "{" + ",".join(f"{json.dumps(key)}:{text}" for key, text in sections.items()) + "}"
