# SPDX-License-Identifier: Apache-2.0
"""The page and its socket on one port: everybody who knows the token may watch, one may drive.

A page that does not read is sent only the newest; one that says nothing for a while is gone, and with it its claim to
drive. Nothing that a page says moves anything by itself: frames go to who asked for them, and the rest is counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping

from aiohttp import WSCloseCode, WSMsgType, web

from dexndm_ros.pages.files import Files, guard
from dexndm_ros.pages.hosting import Hosted
from dexndm_ros.teleop.sample import Side
from dexndm_ros.teleop.web.access import Pairing, WebError, check_bind, proof_fits, refusal
from dexndm_ros.teleop.web.addresses import OwnNames, lasting_names, page_urls
from dexndm_ros.teleop.web.certificate import Certificate, keep_certificate, server_context
from dexndm_ros.teleop.web.client import Client, Close
from dexndm_ros.teleop.web.config import WebConfig
from dexndm_ros.teleop.web.intake import Intake
from dexndm_ros.teleop.web.messages import Answer, Claim, Frame, Message, Pair, Pong, Release
from dexndm_ros.teleop.web.status import Status, as_json

__all__ = ["TeleopServer"]

_SOCKET = "/socket"
_PERMISSIONS = {
    "Permissions-Policy": "xr-spatial-tracking=(self), camera=(), microphone=(), geolocation=()"
}
_End = tuple[int, str]
_SAY_S = 0.5  # an unchanged status is said again after this long


class TeleopServer:
    """Serves the page and takes the operator's frames.

    Args:
        config: where, and the limits.
        taken: called with each frame of the operator and our time, s; in the server's thread, must not block.
        lost: called when the operator is gone or drives no more, likewise.
        status: the words to show; likewise.
        codes: told each new pairing code, likewise; None = no headset is paired by a code.
    """

    def __init__(
        self,
        config: WebConfig,
        taken: Callable[[Frame, float], None],
        lost: Callable[[], None],
        status: Callable[[], Status],
        codes: Callable[[str], None] | None = None,
    ) -> None:
        if len(config.token) < 20:
            raise WebError("the token is too short; give 20 characters or more, at random")
        self.config = config
        self.certificate: Certificate | None = None
        self._taken, self._lost, self._status = taken, lost, status
        self._codes = codes
        self._counts: Counter[str] = Counter()
        self._pairing = Pairing()
        self._clients: list[Client] = []
        self._operator: Client | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._names: Callable[[], frozenset[str]] = frozenset  # only loopback's
        self._files = Files("dexndm_ros.teleop.web", WebError)
        host, tls = check_bind(config.host, config.certificate is not None), None
        if config.certificate is not None:
            self._names = OwnNames()
            self.certificate = keep_certificate(config.certificate, lasting_names(host))
            tls = server_context(config.certificate)
        self._scheme = "https" if tls else "http"
        self._host = host
        self._port = 0
        self._hosted = Hosted(self._application, host, config.port, WebError, tls)

    # --- from outside -------------------------------------------------------------------------------

    def start(self) -> None:
        """Bind and serve in a thread.

        Raises:
            WebError: the port cannot be had.
        """
        self._port = self._hosted.start()
        if self._codes is not None:
            self._codes(self.open_pairing())

    def stop(self) -> None:
        """End all connections and free the port. Works twice."""
        self._hosted.stop()

    def counts(self) -> Mapping[str, int]:
        """Frames that were taken ("accepted"), and what was refused by reason."""
        return dict(self._counts)

    def open_pairing(self) -> str:
        """A new code for a headset that has no token yet."""
        return self._pairing.open(time.monotonic())

    def pulse(self, hand: Side, strength: float, ms: float) -> None:
        """Shake a controller of the operator."""
        self._hosted.soon(self._pulse, hand, strength, ms)

    @property
    def driven(self) -> bool:
        """A page drives."""
        return self._operator is not None

    @property
    def delay_s(self) -> float:
        """Half the operator's round trip; NaN when nobody drives."""
        operator = self._operator
        return operator.intake.clock.trip_s / 2.0 if operator is not None else float("nan")

    @property
    def offset_s(self) -> float:
        """Our monotonic clock less that of the operator's page; NaN when nobody drives."""
        operator = self._operator
        return operator.intake.clock.offset_s if operator is not None else float("nan")

    @property
    def port(self) -> int:
        """The port that is served."""
        return self._port

    @property
    def urls(self) -> tuple[str, ...]:
        """Addresses that a headset may open the page by; on loopback that is through USB."""
        return page_urls(self._scheme, self._host, self._port)

    @property
    def url(self) -> str:
        """Address of the page for this machine, and through USB for the headset."""
        name = "localhost" if self._host in ("0.0.0.0", "::", "127.0.0.1") else self._host
        return f"{self._scheme}://{f'[{name}]' if ':' in name else name}:{self._port}/"

    @property
    def url_with_token(self) -> str:
        """As ``url``, for a browser that is to know the token; it never sends what follows the ``#``."""
        return f"{self.url}#token={self.config.token}"

    # --- handlers, all in the server's thread -------------------------------------------------------

    def _application(self) -> web.Application:
        app = web.Application(
            middlewares=[guard(self._refuse, _answer, _PERMISSIONS)], client_max_size=1024
        )
        self._files.serve(app)
        app.router.add_get(_SOCKET, self._socket, allow_head=False)
        app.on_shutdown.append(self._end)
        return app

    def _refuse(self, request: web.Request) -> web.Response | None:
        to_socket = request.path == _SOCKET
        reason = refusal(request.headers, self._scheme, self._names(), to_socket)
        if not reason:
            return None
        self._counts["foreign"] += 1
        return _answer(403, reason)

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        limits = self.config.limits
        # No compression: a small message could unpack to a large one. Pings that are answered unseen pass every limit.
        socket = web.WebSocketResponse(
            max_msg_size=limits.message_bytes, compress=False, autoping=False, timeout=1.0
        )
        await socket.prepare(request)
        client = Client(socket, Intake(limits, self._counts), request.remote or "")
        self._make_room()
        self._clients.append(client)
        sending = asyncio.create_task(self._speak(client))
        try:
            client.tell(challenge=client.challenge)
            await self._listen(client)
        finally:
            sending.cancel()
            self._clients.remove(client)
            self._stop_driving(client)
        return socket

    def _make_room(self) -> None:
        unknown = [client for client in self._clients if not client.known]
        if len(unknown) >= self.config.max_unknown:
            self._counts["crowded"] += 1
            self._send_away(unknown[0], Close.CROWDED, "too many connections wait")

    async def _listen(self, client: Client) -> None:
        """Take what comes until the connection ends, with the reason for which it is ended from here."""
        began_s = heard_s = time.monotonic()
        while not client.socket.closed:
            silent_s = heard_s + self.config.silence_s
            proved_s = math.inf if client.known else began_s + self.config.proof_s
            left_s = min(silent_s, proved_s) - time.monotonic()
            if left_s <= 0.0:
                return await self._tired(client, silent=silent_s <= proved_s)
            try:
                came = await client.socket.receive(left_s)
            except TimeoutError:
                continue
            now_s = time.monotonic()
            if came.type is WSMsgType.ERROR:
                oversized = getattr(came.data, "code", 0) == WSCloseCode.MESSAGE_TOO_BIG
                self._counts["oversized" if oversized else "malformed"] += 1
                return None
            if came.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED):
                return None
            if came.type in (WSMsgType.PING, WSMsgType.PONG):  # no sign of life of the page
                if client.intake.take_control(now_s) and came.type is WSMsgType.PING:
                    client.echo(came.data)
            else:
                heard_s = now_s
                text = came.data if came.type is WSMsgType.TEXT else ""  # bytes are no JSON of ours
                message = client.intake.take(text, now_s)
                if message is not None and (end := self._heard(client, message, now_s)):
                    return await client.close(*end)
            if client.intake.hopeless:
                return await client.close(Close.FLOOD, "too many messages that are of no use")
        return None

    async def _tired(self, client: Client, silent: bool) -> None:
        if not silent:
            return await client.close(Close.NOT_PAIRED, "the page did not tell the token")
        self._counts["silent"] += 1
        return await client.close(Close.SILENT, "nothing came from the page")

    def _heard(self, client: Client, message: Message, now_s: float) -> _End | None:
        """Act on a message; code and reason when the connection is to be closed."""
        if isinstance(message, Pong):
            client.ponged(message.number, message.sent_s, now_s)
        elif isinstance(message, Answer):
            challenge, client.challenge = client.challenge, ""
            if not challenge or not proof_fits(message.proof, self.config.token, challenge):
                self._counts["wrong token"] += 1
                return Close.WRONG_TOKEN, "the token is wrong; pair again"
            return self._welcome(client)
        elif isinstance(message, Pair):
            if not self._pairing.fits(message.code, now_s):
                self._counts["wrong code"] += 1
                if self._codes is not None and (code := self._pairing.renew(now_s)):
                    self._codes(code)
                return (
                    Close.NOT_PAIRED,
                    "the code is wrong or used up; type the newest one of the terminal",
                )
            client.tell(token=self.config.token)
            return self._welcome(client)
        elif not client.known:
            self._counts["not paired"] += 1
            return Close.NOT_PAIRED, "the page must tell the token first"
        elif isinstance(message, Claim):
            self._claim(client, message.page)
        elif isinstance(message, Release):
            self._stop_driving(client)
            client.tell(driving=False, why="")
        elif client is not self._operator:
            self._counts["not the operator"] += 1
        else:
            self._taken(message, now_s)
            self._counts["accepted"] += 1  # last: who waits for the count then finds the frame
        return None

    def _welcome(self, client: Client) -> _End | None:
        if sum(each.known for each in self._clients) >= self.config.max_known:
            self._counts["crowded"] += 1
            return Close.CROWDED, "too many pages are open; close one"
        client.known = True
        client.tell(welcome=1)
        return None

    def _claim(self, client: Client, page: str) -> None:
        client.page, operator = page, self._operator
        if operator is not None and operator is not client and operator.page == page != "":
            # The same page has connected again; that its old connection is dead will show only in a while.
            self._stop_driving(operator)
            self._send_away(operator, Close.REPLACED, "the page has connected again")
        if self._operator is not None and self._operator is not client:
            self._counts["second operator"] += 1
            return client.tell(
                driving=False,
                why=f"the headset at {self._operator.remote} drives; end it there first",
            )
        self._operator = client
        return client.tell(driving=True, why="")

    def _send_away(self, client: Client, code: int, why: str) -> None:
        """Close a connection without waiting until the other end agrees."""
        closing = asyncio.create_task(client.close(code, why))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    def _stop_driving(self, client: Client) -> None:
        if self._operator is client:
            self._operator = None
            self._lost()

    def _pulse(self, hand: Side, strength: float, ms: float) -> None:
        if self._operator is not None:
            self._operator.tell(
                pulse=[hand, min(max(strength, 0.0), 1.0), min(max(ms, 0.0), 1000.0)]
            )

    async def _speak(self, client: Client) -> None:
        """Keep a page told; never ends by itself."""
        sending = asyncio.create_task(client.send())
        said, said_s, number = None, 0.0, 0
        try:
            while not sending.done():
                now_s = time.monotonic()
                news = {"status": as_json(self._status()), "driven": self.driven}
                if client.known and (news != said or now_s - said_s > _SAY_S):
                    client.show(**news)
                    client.ping(number, now_s)
                    said, said_s, number = news, now_s, number + 1
                elif not client.known and now_s - said_s > _SAY_S:
                    client.tell(ping=0)  # keeps the page awake while a person types
                    said_s = now_s
                await asyncio.sleep(self.config.period_s)
        finally:
            sending.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await sending

    async def _end(self, app: web.Application) -> None:
        for client in self._clients:
            self._send_away(client, Close.SERVER_ENDS, "the server ends")
        await asyncio.gather(*self._closing, return_exceptions=True)


def _answer(status: int, words: str) -> web.Response:
    return web.Response(status=status, text=words)
