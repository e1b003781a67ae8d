# SPDX-License-Identifier: Apache-2.0
"""A page without a browser: ``python -m bench.teleop_client URL TOKEN SECONDS RATE FILE`` drives as a headset would.

Frames are sent on absolute deadlines, each with the time at which it was made, as the page does. The grip is pressed
after a second, and anew whenever the server's words say that the arm holds. FILE gets what was sent and when.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

import aiohttp

from bench.teleop_motion import FigureOfEight, as_page
from dexndm_ros.teleop.web.access import proof_of

HAND_M = (0.1, 1.2, -0.3)
_GRIP_AFTER_S, _MOVE_AFTER_S, _LET_GO_S = 1.0, 2.0, 0.4
_STILL = {"q": [0, 0, 0, 1], "x": [0, 0], "ok": 1, "emu": 0}


class Page:
    """One connection."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, token: str) -> None:
        self._socket, self._token = socket, token
        self._let_go_until_s = 0.0
        self.driving = asyncio.Event()
        self.holds = 0

    async def say(self, **message: object) -> None:
        """Send a message."""
        await self._socket.send_str(json.dumps({"v": 1, **message}))

    async def hear(self) -> None:
        """Answer the server until it ends."""
        async for came in self._socket:
            message = json.loads(came.data)
            if "challenge" in message:
                await self.say(answer=proof_of(self._token, message["challenge"]))
            if "welcome" in message:
                await self.say(claim="bench")
            if message.get("driving"):
                self.driving.set()
            if "ping" in message:
                await self.say(pong=message["ping"], t=1e3 * time.monotonic())
            if message.get("status", {}).get("title", "").startswith("Stopped"):
                self._hold()

    def _hold(self) -> None:
        now_s = time.monotonic()
        if now_s > self._let_go_until_s + 1.0:
            self.holds += 1
            self._let_go_until_s = now_s + _LET_GO_S

    async def drive(self, seconds: float, rate_hz: float) -> list[tuple[int, int, float]]:
        """Send frames; (number, monotonic ns when it was made, seconds of the motion) of each."""
        motion, sent, begin_s = FigureOfEight(), [], time.monotonic()
        for number in range(round(seconds * rate_hz)):
            await asyncio.sleep(begin_s + number / rate_hz - time.monotonic())
            made_ns = time.monotonic_ns()
            t = made_ns * 1e-9 - begin_s
            p = [a + b for a, b in zip(HAND_M, as_page(motion.at(t - _MOVE_AFTER_S)), strict=True)]
            pressed = t > _GRIP_AFTER_S and made_ns * 1e-9 > self._let_go_until_s
            right = {**_STILL, "p": p, "b": [0, int(pressed), 0, 0, 0, 1]}
            frame = {"seq": number + 1, "t": made_ns * 1e-6, "vis": "visible", "origin": 1}
            await self.say(**frame, r=right, l=None, h=None)
            sent.append((number + 1, made_ns, t - _MOVE_AFTER_S))
        return sent


async def _run(url: str, token: str, seconds: float, rate_hz: float, file: Path) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{url}socket", origin=url.rstrip("/"), compress=0) as socket,
    ):
        page = Page(socket, token)
        hearing = asyncio.create_task(page.hear())
        await asyncio.wait_for(page.driving.wait(), 30.0)
        sent = await page.drive(seconds, rate_hz)
        hearing.cancel()
    file.write_text(json.dumps({"sent": sent, "holds": page.holds}), encoding="utf-8")


if __name__ == "__main__":
    url, token, seconds, rate_hz, file = sys.argv[1:]
    asyncio.run(_run(url, token, float(seconds), float(rate_hz), Path(file)))
