# SPDX-License-Identifier: Apache-2.0
"""The far end of a pty under a test's control: what a device says, byte by byte, whatever it is asked."""

import contextlib
import os
import select
import threading
import tty
from collections.abc import Callable, Iterable


class PtyPeer:
    """Answers each burst of bytes with the chunks that ``answer(request)`` yields.

    Args:
        answer: from the bytes received to the chunks to send; each chunk is written by itself, and
            None hangs up.
    """

    def __init__(
        self, answer: Callable[[bytes], Iterable[bytes | None]] = lambda request: ()
    ) -> None:
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.path = os.ttyname(self._slave)
        self.answer = answer
        self.requests: list[bytes] = []
        self._wake_read, self._wake_write = os.pipe()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "PtyPeer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.hang_up()

    def hang_up(self) -> None:
        """Close the device, as when its cable is pulled. May be called twice."""
        if not self._stop.is_set():
            self._stop.set()
            os.write(self._wake_write, b"\0")
            self._thread.join()
            self._close_device()
            os.close(self._wake_read)
            os.close(self._wake_write)

    def _close_device(self) -> None:
        for fd in (self._master, self._slave):
            if fd >= 0:
                os.close(fd)
        self._master = self._slave = -1

    def send(self, data: bytes) -> None:
        """Say something unasked."""
        with contextlib.suppress(BlockingIOError):  # a full buffer loses what comes
            os.write(self._master, data)

    def _run(self) -> None:
        while True:
            ready, _, _ = select.select([self._master, self._wake_read], [], [])
            if self._wake_read in ready:
                return
            request = os.read(self._master, 4096)
            self.requests.append(request)
            for chunk in self.answer(request):
                if self._stop.is_set():
                    return
                if chunk is None:
                    self._close_device()
                    return
                self.send(chunk)
