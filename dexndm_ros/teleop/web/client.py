# SPDX-License-Identifier: Apache-2.0
"""One WebSocket: who is at its other end, what came from there, and what waits to go there."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from typing import Any

from aiohttp import WSCloseCode, web

from dexndm_ros.teleop.web.access import new_challenge
from dexndm_ros.teleop.web.intake import Intake

__all__ = ["Client", "Close"]


class Close:
    """Codes that a connection is closed with; the page says them in words.

    After ``WRONG_TOKEN``, and after no other, the page forgets its token.
    """

    WRONG_TOKEN = 4001
    SILENT = 4002
    FLOOD = 4003
    CROWDED = 4004
    REPLACED = 4005
    NOT_PAIRED = 4006
    SERVER_ENDS = WSCloseCode.GOING_AWAY


class Client:
    """A page that is connected.

    Args:
        socket: prepared.
        intake: what its messages go through.
        remote: its address.
    """

    def __init__(self, socket: web.WebSocketResponse, intake: Intake, remote: str) -> None:
        self.socket = socket
        self.intake = intake
        self.remote = remote
        self.challenge = new_challenge()
        self.known = False  # it has proved that it knows the token
        self.page = ""  # what it calls itself; known since it wanted to drive
        self.pings: dict[int, float] = {}
        self._waiting: deque[str] = deque(maxlen=64)  # one that does not read loses the oldest
        self._shown = ""  # of what is shown, only the newest is worth sending
        self._echo: bytes | None = (
            None  # of the protocol's own pings, only the newest must be answered
        )
        self._news = asyncio.Event()

    def tell(self, **message: Any) -> None:
        """Put a message in the queue; never waits."""
        self._waiting.append(json.dumps(message, allow_nan=False))
        self._news.set()

    def show(self, **message: Any) -> None:
        """Put a message in place of the one that is shown, sent or not."""
        self._shown = json.dumps(message, allow_nan=False)
        self._news.set()

    def echo(self, data: bytes) -> None:
        """Answer a ping of the protocol's own; never waits."""
        self._echo = data
        self._news.set()

    def ping(self, number: int, now_s: float) -> None:
        """Ask for the page's clock; only the last few pings are waited for."""
        self.pings[number] = now_s
        while len(self.pings) > 8:
            self.pings.pop(next(iter(self.pings)))
        self.tell(ping=number)

    def ponged(self, number: int, page_s: float, now_s: float) -> None:
        """The answer to a ping came; one that was not asked for counts for nothing."""
        sent_s = self.pings.pop(number, None)
        if sent_s is not None:
            self.intake.clock.add(sent_s, page_s, now_s)

    async def send(self) -> None:
        """Send what waits, for ever; ends when the connection does."""
        while not self.socket.closed:
            await self._news.wait()
            self._news.clear()
            while self._waiting or self._shown or self._echo is not None:
                if self._echo is not None:
                    echo, self._echo = self._echo, None
                    await self.socket.pong(echo)
                elif self._waiting:
                    await self.socket.send_str(self._waiting.popleft())
                else:
                    shown, self._shown = self._shown, ""
                    await self.socket.send_str(shown)

    async def close(self, code: int, why: str) -> None:
        """Close with a reason that the page shows."""
        await self.socket.close(code=code, message=why.encode()[:120])
