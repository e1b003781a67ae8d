# SPDX-License-Identifier: Apache-2.0
"""A program in a terminal of its own, and a person who reads and types there."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Mapping, Sequence
from typing import Self

PATIENCE_S = 60.0


class Terminal:
    """Runs a command in a new terminal. Use as a context manager; leaving it kills what is left.

    Args:
        command: program and arguments.
        environment: of it; default ours.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> None:
        self._command = list(command)
        self._environment = dict(os.environ if environment is None else environment)
        self.said = ""

    def __enter__(self) -> Self:
        self._pid, self._master = os.forkpty()
        if self._pid == 0:
            try:
                os.execvpe(self._command[0], self._command, self._environment)
            finally:
                os._exit(127)
        self._status: int | None = None
        return self

    def __exit__(self, *unused: object) -> None:
        if self._status is None:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
        os.close(self._master)

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def until(self, text: str) -> None:
        """Wait until it has said something that was not waited for before."""
        deadline_s = time.monotonic() + PATIENCE_S
        while text not in self.said:
            assert time.monotonic() < deadline_s, (
                f"waited for {text!r}; it said:\n{self.said[-3000:]}"
            )
            assert self._hear(), f"ended before {text!r}; it said:\n{self.said[-3000:]}"
        self.said = self.said.partition(text)[2]

    def wait(self) -> int:
        """Wait for its end; returns the exit status."""
        deadline_s = time.monotonic() + PATIENCE_S
        while self._hear():
            assert time.monotonic() < deadline_s, f"did not end; it said:\n{self.said[-3000:]}"
        _, status = os.waitpid(self._pid, 0)
        self._status = os.waitstatus_to_exitcode(status)
        return self._status

    def _hear(self) -> bool:
        """Take what it says; False when it has closed the terminal."""
        ready, _, _ = select.select([self._master], [], [], 0.1)
        if not ready:
            return True
        try:
            data = os.read(self._master, 4096)
        except OSError:
            return False
        self.said += data.decode(errors="replace")
        return bool(data)
