# SPDX-License-Identifier: Apache-2.0
"""A page of the teleoperation server without a browser: what it sends, and a socket that behaves or does not."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from dexndm_ros.teleop.web.access import proof_of

TOKEN = "a-token-of-the-test-that-is-long-enough"
PATIENCE_S = 20.0


def controller(**changes: Any) -> dict[str, Any]:
    """A controller that is held still and whose grip is pressed."""
    held = {
        "ok": 1, "emu": 0, "p": [0.1, 1.2, -0.3], "q": [0, 0, 0, 1],
        "b": [0, 1, 0, 0, 0, 1], "x": [0, 0],
    }  # fmt: skip
    return {**held, **changes}


def frame(seq: int = 1, **changes: Any) -> dict[str, Any]:
    """A frame of the page, with its time now."""
    message = {
        "v": 1, "seq": seq, "t": 1000.0 * time.monotonic(), "vis": "visible", "origin": 1,
        "r": controller(), "l": None, "h": {"p": [0, 1.6, 0], "q": [0, 0, 0, 1]},
    }  # fmt: skip
    return {**message, **changes}


class RawPage:
    """A connection to the server.

    Args:
        port: of the server on loopback.
        headers: more headers; a given Origin replaces the true one.
    """

    def __init__(self, port: int, headers: dict[str, str] | None = None) -> None:
        headers = dict(headers or {})
        origin = headers.pop("Origin", f"http://localhost:{port}")
        self.socket = connect(
            f"ws://localhost:{port}/socket", origin=origin or None,
            additional_headers=headers, compression=None, proxy=None,
        )  # fmt: skip
        self.challenge = self.hear("challenge")

    def say(self, **message: Any) -> None:
        self.socket.send(json.dumps({"v": 1, **message}))

    def hear(self, key: str) -> Any:
        """What the next message with this key says; pings are answered on the way."""
        until_s = time.monotonic() + PATIENCE_S
        while True:
            message = json.loads(self.socket.recv(max(until_s - time.monotonic(), 0.0)))
            if "ping" in message:
                self.say(pong=message["ping"], t=1000.0 * time.monotonic())
            if key in message:
                return message[key]

    def drain(self) -> int:
        """Read what has come and answer its pings; how many messages."""
        count = 0
        with contextlib.suppress(TimeoutError):
            while True:
                message = json.loads(self.socket.recv(0.0))
                count += 1
                if "ping" in message:
                    self.say(pong=message["ping"], t=1000.0 * time.monotonic())
        return count

    def prove(self, token: str = TOKEN) -> RawPage:
        self.say(answer=proof_of(token, self.challenge))
        self.hear("welcome")
        return self

    def claim(self, page: str = "") -> bool:
        self.say(claim=page)
        return self.hear("driving")

    def ended(self) -> tuple[int, str]:
        """Code and reason with which the server ends the connection."""
        until_s = time.monotonic() + PATIENCE_S
        try:
            while True:
                message = json.loads(self.socket.recv(max(until_s - time.monotonic(), 0.0)))
                if "ping" in message:
                    self.say(pong=message["ping"], t=1000.0 * time.monotonic())
        except ConnectionClosed as closed:
            assert closed.rcvd is not None, "the connection broke"
            return closed.rcvd.code, closed.rcvd.reason

    def close(self) -> None:
        self.socket.close()


def wait_until(true: Any, what: str) -> None:
    """Wait for something that another thread does."""
    until_s = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < until_s, f"never came: {what}"
        time.sleep(0.005)
