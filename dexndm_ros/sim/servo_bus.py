# SPDX-License-Identifier: Apache-2.0
"""The bus thread: packets in, answers out, no earlier than a wire of that speed would carry them.

The wire is half duplex and carries ten bits a byte. A request occupies it from its arrival (or from the
end of what is on it already), an answer from the end of the request plus the motor's return delay. An
answer becomes readable when its last byte would have arrived.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path

from dexndm_ros.sim.instructions import InstructionHandler
from dexndm_ros.sim.protocol2 import PacketParser
from dexndm_ros.sim.pty_port import PtyPort
from dexndm_ros.sim.timing import be_prompt, sleep_until

__all__ = ["ServoBus"]

_BITS_PER_BYTE = 10
_SPIN_S = 30e-6


class ServoBus:
    """Serves the servos on a pty in its own thread.

    Args:
        handler: carries out instructions.
        baud: speed of the wire that the pacing imitates, bits per second.
        link: path of the port; None = the pty's own name.

    Attributes:
        packets: instruction packets seen so far.
        busy_s: wire time used so far.
    """

    def __init__(
        self, handler: InstructionHandler, baud: int = 4_000_000, link: str | Path | None = None
    ) -> None:
        self._handler = handler
        self._byte_s = _BITS_PER_BYTE / baud
        self._port = PtyPort(link)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="servo-bus", daemon=True)
        self.packets = 0
        self.busy_s = 0.0

    @property
    def path(self) -> str:
        """What to open as the serial port."""
        return self._port.path

    @property
    def running(self) -> bool:
        """The bus thread is at work."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Start answering."""
        self._thread.start()

    def close(self) -> None:
        """Stop answering, hang up and remove the link. May be called twice."""
        if self._stop.is_set():
            return
        self._stop.set()
        self._port.wake()
        if self._thread.is_alive():
            self._thread.join()
        self._port.close()

    def _run(self) -> None:
        be_prompt()
        parser = PacketParser()
        free_s = 0.0
        while not self._stop.is_set():
            data = self._port.read()
            now = time.monotonic()
            for packet in parser.feed(data):
                start = max(now, free_s)
                free_s = start + packet.wire_bytes * self._byte_s
                self.packets += 1
                for reply in self._handler.handle(packet, now):
                    free_s += reply.delay_s + reply.wire_bytes * self._byte_s
                    if reply.data:
                        sleep_until(free_s, self._stop.is_set, _SPIN_S)
                        self._port.write(reply.data)
                self.busy_s += free_s - start
