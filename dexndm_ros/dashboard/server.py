# SPDX-License-Identifier: Apache-2.0
"""Serves the page: status to everybody on this machine, actions to who has the token.

The server lives in a thread of its own with its own event loop. Each viewer is sent, twice a second,
the parts of the snapshot that have changed since it was last sent them; one that does not read holds
up nobody, and is dropped after a while.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from dexndm_ros.dashboard.access import DashboardError, bearer_fits, check_host, refusal
from dexndm_ros.pages.files import HEADERS, Files, guard
from dexndm_ros.pages.hosting import Hosted

__all__ = ["ACTIONS", "Act", "ActionResult", "DashboardServer", "ServerConfig"]

ACTIONS = ("start", "pause", "resume", "stop")


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
        self.config = config
        self._host = check_host(config.host, config.port)
        self._snapshot = snapshot
        self._act = act
        self._files = Files("dexndm_ros.dashboard", DashboardError)
        self._cached: tuple[float, dict[str, str]] = (float("-inf"), {})
        self._viewers = 0
        self._actions = 0
        self._port = 0
        self._hosted = Hosted(self._application, self._host, config.port, DashboardError)

    # --- from outside -------------------------------------------------------------------------------

    def start(self) -> None:
        """Bind and serve in a thread.

        Raises:
            DashboardError: the port cannot be had.
        """
        self._port = self._hosted.start()

    def stop(self) -> None:
        """End all streams and free the port. Works twice."""
        self._hosted.stop()

    @property
    def running(self) -> bool:
        """The server's thread is alive."""
        return self._hosted.running

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

    # --- handlers, all in the server's thread -------------------------------------------------------

    def _application(self) -> web.Application:
        app = web.Application(
            middlewares=[guard(_refuse, _refusal)], client_max_size=self.config.max_body
        )
        self._files.serve(app)
        app.router.add_get("/api/status", self._status)
        app.router.add_get("/api/stream", self._stream, allow_head=False)
        app.router.add_post("/api/replay/{action}", self._replay)
        return app

    async def _status(self, request: web.Request) -> web.Response:
        return web.Response(text=_joined(self._sections()), content_type="application/json")

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events: the browser's EventSource connects again by itself."""
        if self._viewers >= self.config.max_viewers:
            return _answer(
                503, False, f"{self.config.max_viewers} pages are open already; close one"
            )
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        response.headers.update(HEADERS)  # sent before the middleware could add them
        self._viewers += 1
        try:
            await response.prepare(request)
            sent: dict[str, str] = {}
            ends = False
            while not ends:
                sections = self._sections()
                news = {key: text for key, text in sections.items() if sent.get(key) != text}
                sent = sections
                data = f"data: {_joined(news)}\n\n".encode()
                await asyncio.wait_for(response.write(data), self.config.patience_s)
                ends = await self._hosted.closing(self.config.period_s)
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


def _refuse(request: web.Request) -> web.Response | None:
    reason = refusal(request.headers)
    return _refusal(403, reason) if reason else None


def _refusal(status: int, words: str) -> web.Response:
    return _answer(status, False, words)


def _answer(status: int, ok: bool, message: str) -> web.Response:
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return web.json_response({"ok": ok, "message": message}, status=status, headers=headers)


def _joined(sections: dict[str, str]) -> str:
    return "{" + ",".join(f"{json.dumps(key)}:{text}" for key, text in sections.items()) + "}"
