# SPDX-License-Identifier: Apache-2.0
"""Starts the processes of a system, watches them, and ends every one of them, whatever happens.

Each process has its own group, so that a Ctrl-C in the terminal reaches only us and we can stop in
order (policy, then driver, then the virtual hand, whose port the driver needs to switch the torque
off). When we are killed outright, the kernel sends them SIGTERM. Their output goes straight to
files: a pipe to a dead parent would be one more way to die. One that ends before its time is started
again if its spec says so, within a budget (see :mod:`dexndm_ros.respawn`).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from dexndm_ros.middleware import settle
from dexndm_ros.process_spec import ProcessSpec
from dexndm_ros.respawn import RespawnBudget, RespawnRule

__all__ = ["Ended", "Processes", "StopTimes", "node_environment"]

_PR_SET_PDEATHSIG = 1
_PRCTL = ctypes.CDLL(None, use_errno=True).prctl
"""Looked up here: a child forked while another thread loads a library could not do it any more."""
_ERROR_LINE = re.compile(r"\[(ERROR|FATAL)\]|^(?:[A-Za-z_.]+\.)?[A-Z]\w*(?:Error|Exception)\b")
_TAIL_LINES = 15
_TAIL_BYTES = 65536
_NOT_STARTED = 127
_RULE = RespawnRule()


@dataclass(frozen=True)
class StopTimes:
    """How long each signal may take before the next, harsher one.

    Attributes:
        interrupt_s: after SIGINT.
        terminate_s: after SIGTERM; then SIGKILL.
    """

    interrupt_s: float = 5.0
    terminate_s: float = 3.0


@dataclass(frozen=True)
class Ended:
    """A process that ended.

    Attributes:
        name: its name in the system.
        code: exit status; negative = the signal that ended it.
        critical: the system cannot go on without it, and it will not be started again.
        log: file with all its output.
        reason: a sentence for the person at the terminal: first error line, else how it ended.
        respawns: how often it had been started again before this end.
        respawn_in_s: it will be started again after this time; None = it will not.
    """

    name: str
    code: int
    critical: bool
    log: Path
    reason: str
    respawns: int = 0
    respawn_in_s: float | None = None


def node_environment(base: Mapping[str, str] | None = None) -> dict[str, str]:
    """Environment for nodes: unbuffered logs, and no talk to other machines unless asked to."""
    environment = dict(os.environ if base is None else base)
    settle(environment)
    environment.setdefault("RCUTILS_COLORIZED_OUTPUT", "0")
    environment["PYTHONUNBUFFERED"] = "1"
    return environment


class _Process:
    """One started process and how far its log has been read."""

    def __init__(
        self, spec: ProcessSpec, popen: subprocess.Popen[bytes], log: Path, offset: int
    ) -> None:
        self.spec = spec
        self.popen = popen
        self.log = log
        self.first_error = ""
        self.started_s = time.monotonic()
        self.birth = offset
        self._offset = offset
        self._partial = b""

    def read_new_lines(self) -> list[str]:
        with self.log.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        self._offset += len(data)
        *lines, self._partial = (self._partial + data).split(b"\n")
        return [line.decode(errors="replace") for line in lines]

    def signal(self, number: int) -> None:
        # The group outlives its leader while a grandchild is left.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.popen.pid, number)


class Processes:
    """A running system. Use as a context manager; leaving it ends everything.

    Args:
        specs: processes in start order.
        log_directory: gets ``<name>.log`` of each, all its lives one after the other; created when
            missing, continued when not.
        environment: environment of the processes; default :func:`node_environment`.
        command: turns a spec into a command line; default ``ProcessSpec.command``.
        on_error: called with (name, line) for the first error line of each life of a process.
        stop_times: patience of :meth:`stop`.
        respawn: for specs that ask for it.
    """

    def __init__(
        self,
        specs: Sequence[ProcessSpec],
        log_directory: Path,
        *,
        environment: Mapping[str, str] | None = None,
        command: Callable[[ProcessSpec], list[str]] | None = None,
        on_error: Callable[[str, str], None] | None = None,
        stop_times: StopTimes = StopTimes(),
        respawn: RespawnRule = _RULE,
    ) -> None:
        self._specs = list(specs)
        self._log_directory = log_directory
        self._environment = dict(environment) if environment is not None else node_environment()
        self._command = command or (lambda spec: spec.command())
        self._on_error = on_error
        self._stop_times = stop_times
        self._running: list[_Process] = []
        self._budgets = {spec.name: RespawnBudget(respawn) for spec in self._specs}
        self._due_s: dict[str, float] = {}
        self._old_handlers: dict[int, Any] = {}
        self._signalled = 0

    def __enter__(self) -> Self:
        self._install_handlers()
        try:
            self.start()
        except BaseException:
            self.stop()
            self._restore_handlers()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.stop()
        finally:
            self._restore_handlers()

    @property
    def logs(self) -> dict[str, Path]:
        """Log file of each process by name."""
        return {spec.name: self._log_directory / f"{spec.name}.log" for spec in self._specs}

    @property
    def pids(self) -> dict[str, int]:
        """Process id of each process that has been started."""
        return {process.spec.name: process.popen.pid for process in self._running}

    @property
    def respawns(self) -> dict[str, int]:
        """How often each process has been started again."""
        return {name: budget.used for name, budget in self._budgets.items()}

    def start(self) -> None:
        """Starts all of them, in order.

        Raises:
            RuntimeError: not in the main thread.
        """
        _refuse_other_threads()
        self._log_directory.mkdir(parents=True, exist_ok=True)
        for spec in self._specs:
            self._start(spec)

    def poll(self) -> list[Ended]:
        """Forwards new error lines, starts again what is due; call it often.

        Returns:
            the processes that have ended since the last call, also those to be started again.

        Raises:
            RuntimeError: a process is due, and this is not the main thread.
            SystemExit: a signal asked for the end.
        """
        if self._signalled:
            # Python drops an exception that a signal raises in a callback, of an import for one.
            raise SystemExit(128 + self._signalled)
        ended = []
        for process in list(self._running):
            code = process.popen.poll()  # before the log, so that its last lines are read below
            self._forward_errors(process)
            if code is None:
                continue
            self._running.remove(process)
            process.signal(signal.SIGKILL)  # grandchildren, should there be any
            ended.append(self._plan(process.spec, code, process.started_s, _why(process, code)))
        return ended + self._start_due()

    def kill(self, name: str) -> None:
        """Ends one that hangs, without asking; :meth:`poll` then tells of it as of any other end."""
        for process in self._running:
            if process.spec.name == name:
                process.signal(signal.SIGKILL)

    def wait(self, timeout_s: float | None = None, interval_s: float = 0.2) -> list[Ended]:
        """Waits until a process has ended, or the time is over (then the list is empty)."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while self._running or self._due_s:
            ended = self.poll()
            if ended:
                return ended
            if deadline is not None and time.monotonic() >= deadline:
                break
            time.sleep(interval_s)
        return []

    def stop(self) -> list[Ended]:
        """Ends all processes, last started first: SIGINT, then SIGTERM, then SIGKILL.

        A second Ctrl-C while it waits kills the rest at once.
        """
        ended: list[Ended] = []
        self._due_s.clear()
        patience = [
            (signal.SIGINT, self._stop_times.interrupt_s),
            (signal.SIGTERM, self._stop_times.terminate_s),
        ]
        try:
            for process in reversed(self._running):
                for number, seconds in patience:
                    if _stopped(process, number, seconds):
                        break
        except (KeyboardInterrupt, SystemExit):
            for process in self._running:
                process.signal(signal.SIGKILL)
        for process in reversed(self._running):
            process.signal(signal.SIGKILL)
            code = process.popen.wait()
            self._forward_errors(process)
            spec, why = process.spec, _why(process, code)
            respawns = self._budgets[spec.name].used
            ended.append(Ended(spec.name, code, spec.critical, process.log, why, respawns))
        self._running.clear()
        return ended

    def _start(self, spec: ProcessSpec) -> None:
        log = self.logs[spec.name]
        with log.open("ab") as output:
            offset = output.tell()
            popen = subprocess.Popen(
                self._command(spec),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment,
                process_group=0,
                preexec_fn=_die_with(os.getpid()),
            )
        self._running.append(_Process(spec, popen, log, offset))
        # stop() goes through them from the last to the first: a new life takes the old one's place.
        order = [known.name for known in self._specs]
        self._running.sort(key=lambda process: order.index(process.spec.name))

    def _start_due(self) -> list[Ended]:
        ended = []
        for spec in self._specs:
            now_s = time.monotonic()
            if now_s < self._due_s.get(spec.name, now_s + 1.0):
                continue
            _refuse_other_threads()
            del self._due_s[spec.name]
            try:
                self._start(spec)
            except OSError as error:  # no memory, no process id left: that may pass
                why = f"{spec.name} could not be started: {error}"
                ended.append(self._plan(spec, _NOT_STARTED, now_s, why))
        return ended

    def _plan(self, spec: ProcessSpec, code: int, started_s: float, why: str) -> Ended:
        """What becomes of a process that ended."""
        budget, now_s = self._budgets[spec.name], time.monotonic()
        respawns, delay_s = budget.used, None
        if spec.respawn:
            delay_s = budget.ended(now_s, now_s - started_s, code)
            if delay_s is not None:
                self._due_s[spec.name] = now_s + delay_s
            elif respawns:
                why += f"; it had been started again {respawns} times and is given up"
        critical = spec.critical and delay_s is None
        return Ended(spec.name, code, critical, self.logs[spec.name], why, respawns, delay_s)

    def _forward_errors(self, process: _Process) -> None:
        for line in process.read_new_lines():
            if not process.first_error and _ERROR_LINE.search(line):
                process.first_error = line.strip()
                if self._on_error is not None:
                    self._on_error(process.spec.name, process.first_error)

    def _install_handlers(self) -> None:
        """SIGTERM and a closed terminal end us through the ``with`` block, not past it."""
        for number in (signal.SIGTERM, signal.SIGHUP):
            self._old_handlers[number] = signal.signal(number, self._exit_on_signal)

    def _exit_on_signal(self, number: int, frame: FrameType | None) -> None:
        self._signalled = number
        raise SystemExit(128 + number)

    def _restore_handlers(self) -> None:
        for number, handler in self._old_handlers.items():
            signal.signal(number, handler)
        self._old_handlers.clear()


def _refuse_other_threads() -> None:
    """The kernel ties "parent died" to the *thread* that forked: its end would be the child's."""
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError(
            "start processes from the main thread: they end with the thread that started them"
        )


def _die_with(parent: int) -> Callable[[], None]:
    """What the child runs between fork and exec: SIGTERM when its parent dies, whatever way."""

    def set_signal() -> None:
        # Started in the background of a script, we ignore SIGINT; the child must not, we stop it with that.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        _PRCTL(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # died between fork and prctl
            os._exit(1)

    return set_signal


def _stopped(process: _Process, number: int, seconds: float) -> bool:
    """Sends the signal and waits for the end of the process (not for grandchildren)."""
    if process.popen.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            process.popen.send_signal(number)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.popen.wait(seconds)
    return process.popen.returncode is not None


def _why(process: _Process, code: int) -> str:
    how = f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
    reason = f"{process.spec.name} {how}"
    if code == -signal.SIGKILL:  # its log cannot know why
        reason += " (killed from outside, or no memory was left)"
    elif process.first_error:
        reason = f"{process.first_error} ({reason})"
    elif code != 0:
        tail = list(_tail(process.log, process.birth))
        reason = f"{reason}: {tail[-1]}" if tail else f"{reason}, without a word"
    return reason


def _tail(log: Path, offset: int) -> Iterator[str]:
    with log.open("rb") as file:
        file.seek(max(offset, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
        lines = file.read().decode(errors="replace").splitlines()
    return (line.strip() for line in lines[-_TAIL_LINES:] if line.strip())
