# SPDX-License-Identifier: Apache-2.0
"""A ``dexndm`` command that starts nodes, as a user starts it: what it prints, its processes, its end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PATIENCE_S = 300.0


class Command:
    """A running command and what it printed.

    Args:
        folder: its own: for locks, virtual ports and its output.
        words: after ``dexndm``.
    """

    def __init__(self, folder: Path, *words: str) -> None:
        self.output = folder / f"output_{time.monotonic_ns()}"
        command = [sys.executable, "-m", "dexndm_ros.cli", *words]
        environment = os.environ | {"XDG_RUNTIME_DIR": str(folder), "TMPDIR": str(folder)}
        with self.output.open("wb") as file:
            self.process = subprocess.Popen(
                command, stdout=file, stderr=subprocess.STDOUT, env=environment, process_group=0
            )

    @property
    def said(self) -> str:
        return self.output.read_text(errors="replace")

    def nodes(self) -> dict[str, int]:
        """Its node processes by name."""
        found = {}
        for path in Path("/proc").iterdir():
            if not path.name.isdigit():
                continue
            with suppress(OSError):
                words = (path / "cmdline").read_bytes().split(b"\0")
                name = next((w.decode() for w in words if w.startswith(b"dexndm_ros.nodes.")), "")
                if name and stat(int(path.name))[1] == str(self.process.pid):
                    found[name.rpartition(".")[2]] = int(path.name)
        return found

    def until(self, condition: Callable[[], object], what: str) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while not condition():
            assert self.process.poll() is None, f"ended before {what}:\n{self.said}"
            assert time.monotonic() < deadline_s, f"waited for {what}:\n{self.said}"
            time.sleep(0.05)

    def wait(self) -> int:
        try:
            return self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"did not end:\n{self.said}") from None


@contextmanager
def running(command: Command) -> Iterator[Command]:
    """Leaving it kills what is left."""
    try:
        yield command
    finally:
        left = command.nodes()
        if command.process.poll() is None:
            command.process.kill()
            command.process.wait()
        wait_gone(left)


def stat(pid: int) -> list[str]:
    """State, parent and what follows them in /proc/PID/stat."""
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()


def alive(pid: int) -> bool:
    try:
        return stat(pid)[0] not in "ZX"
    except OSError:
        return False


def wait_gone(nodes: dict[str, int]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while left := [name for name, pid in nodes.items() if alive(pid)]:
        assert time.monotonic() < deadline_s, f"still running: {left}"
        time.sleep(0.05)
