# SPDX-License-Identifier: Apache-2.0
"""An aiohttp application in a thread of its own, with its own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ssl
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from aiohttp import web

__all__ = ["Hosted"]

_START_S = 10.0
_STOP_S = 5.0


class Hosted:
    """Binds one port and serves until it is stopped.

    Args:
        build: makes the application, in the thread.
        host: address to bind to.
        port: 0 = any that is free.
        error: raised where that cannot be had, with words.
        tls: None = plain HTTP.
    """

    def __init__(
        self,
        build: Callable[[], web.Application],
        host: str,
        port: int,
        error: type[Exception],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        if not 0 <= port <= 65535:
            raise error(f"port is {port}; allowed: 0 (any that is free) to 65535")
        self._build = build
        self._host, self._asked_port, self._tls = host, port, tls
        self._error = error
        self._ready: Future[int] = Future()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing: asyncio.Event | None = None

    def start(self) -> int:
        """Serve; the port.

        Raises:
            Exception: it cannot be had; of the class that was given.
        """
        self._thread = threading.Thread(target=self._run, name="page server", daemon=True)
        self._thread.start()
        return self._ready.result(_START_S)

    def stop(self) -> None:
        """End all connections and free the port. Works twice."""
        if self._closing is not None:
            self.soon(self._closing.set)
        if self._thread is not None:
            self._thread.join(_STOP_S)

    @property
    def running(self) -> bool:
        """The thread is alive."""
        return self._thread is not None and self._thread.is_alive()

    async def closing(self, seconds: float) -> bool:
        """In the server's thread: wait so long; whether the server ends meanwhile."""
        assert self._closing is not None
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), seconds)
        return self._closing.is_set()

    def soon(self, call: Callable[..., Any], *arguments: Any) -> None:
        """Have something called in the server's thread; nothing happens when it has ended."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(call, *arguments)

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
            self._build(), access_log=None, shutdown_timeout=1.0, lingering_time=1.0
        )
        await runner.setup()
        try:
            site = web.TCPSite(runner, self._host, self._asked_port, ssl_context=self._tls)
            try:
                await site.start()
            except OSError as error:
                raise self._error(self._cannot_bind(error)) from error
            self._ready.set_result(runner.addresses[0][1])
            await self._closing.wait()
        finally:
            await runner.cleanup()

    def _cannot_bind(self, error: OSError) -> str:
        where = f"port {self._asked_port} of {self._host}"
        if error.errno == errno.EADDRINUSE:
            return f"{where} is taken by another program; end it, or give another port (0 = any)"
        return f"{where} cannot be had ({error.strerror}); give another port (0 = any)"
