# SPDX-License-Identifier: Apache-2.0
"""The way through USB: the headset's own localhost leads to the page here, and is kept leading here.

The rule is gone whenever the headset sleeps or its cable is pulled, with no word about it; so it is looked at again
and again, and set when it is missing.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import threading
from collections.abc import Callable

from dexndm_ros.teleop.oculus_reader import AdbConfig

__all__ = ["AdbReverse", "devices_of"]

_ANSWER_S = 10.0  # the first call starts adb's own server
_LAST_ANSWER_S = 1.0  # who ends the program waits no longer than this
_STATES = {
    "unauthorized": "the headset asks whether to allow USB debugging: put it on and allow it",
    "offline": "the headset does not answer on USB: plug the cable in again",
    "no permissions": "this user may not use the USB device: see `adb devices` for how to allow it",
}


class AdbReverse:
    """Keeps ``localhost:port`` of the headset leading to ``localhost:port`` here.

    Args:
        port: of the page.
        config: how the headset is reached.
        page: tells the address that a headset opens by itself when it comes; empty = it has it open. None = it opens
            nothing by itself. Called in the thread.
        period_s: time between two looks.
    """

    def __init__(
        self,
        port: int,
        config: AdbConfig | None = None,
        page: Callable[[], str] | None = None,
        period_s: float = 2.0,
    ) -> None:
        self.config = config or AdbConfig()
        self.words = "the headset was not looked for yet"
        self.set_count = 0
        self._rule = f"tcp:{port}"
        self._page = page
        self._period_s = period_s
        self._reached = ""  # the headset that the rule was there for at the last look
        self._opened = ""  # the one that has the page
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._adb_lock = threading.Lock()
        self._running: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Look after the rule in a thread."""
        self._thread = threading.Thread(target=self._run, name="adb reverse", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End, and take the rule away; an adb that hangs is killed. Works twice."""
        self._stopping.set()
        if self._thread is None:
            return
        with self._adb_lock:
            if self._running is not None:
                _kill(self._running)
        self._thread.join(_LAST_ANSWER_S)
        self._thread = None
        if self._reached:
            self._adb(
                "-s", self._reached, "reverse", "--remove", self._rule, limit_s=_LAST_ANSWER_S
            )

    def tend(self) -> str:
        """One look: set the rule where it is missing. What is wrong, with its cure; empty = nothing."""
        serial, there, self.words = self.look()
        if not serial:
            return self.words
        if not there:
            done, said = self._adb("-s", serial, "reverse", self._rule, self._rule)
            if not done:
                self.words = f"adb cannot lead {self._rule} here ({said}): plug the cable in again"
                return self.words
            self.set_count += 1
        # A page that was open in the headset had the time between two looks to connect again.
        if serial == self._reached and serial != self._opened and self._page is not None:
            url = self._page()
            self.words = self.open_page(url) if url else ""
            self._opened = "" if self.words else serial
        self._reached = serial
        return self.words

    def look(self) -> tuple[str, bool, str]:
        """Changes nothing: the headset's serial ("" = none to be used), whether the rule is there, what is wrong."""
        serial, words = self._device()
        if not serial:
            return "", False, words
        done, rules = self._adb("-s", serial, "reverse", "--list")
        pairs = [line.split()[-2:] for line in rules.splitlines()] if done else []
        return serial, [self._rule, self._rule] in pairs, words

    def open_page(self, url: str) -> str:
        """Open an address in the headset's browser. What is wrong; empty = nothing.

        The address may hold the token: it goes through standard input, where a list of processes does not show it.
        """
        serial, words = self._device()
        if not serial:
            return words
        line = f"am start -a android.intent.action.VIEW -d {shlex.quote(url)}\nexit\n"
        done, said = self._adb("-s", serial, "shell", told=line)
        return "" if done else f"the headset did not open the page ({said}): open it by hand"

    def _run(self) -> None:
        while not self._stopping.is_set():
            self.tend()
            self._stopping.wait(self._period_s)

    def _device(self) -> tuple[str, str]:
        """Serial of the headset that can be used, or "" and why there is none."""
        done, said = self._adb("devices")
        if not done:
            return "", f"adb cannot be run ({said}): install it (`sudo apt install adb`)"
        devices = devices_of(said)
        wanted = self.config.serial
        if wanted:
            devices = {serial: state for serial, state in devices.items() if serial == wanted}
        if not devices:
            return "", f"no {wanted or 'headset'} on USB: plug it in, developer mode must be on"
        if len(devices) > 1:
            return "", f"several devices on USB ({', '.join(sorted(devices))}): name one by serial"
        serial, state = next(iter(devices.items()))
        if state == "device":
            return serial, ""
        return "", _STATES.get(state, f"the headset is in the state {state!r}: plug it in again")

    def _adb(self, *words: str, told: str = "", limit_s: float = _ANSWER_S) -> tuple[bool, str]:
        """Whether it worked, and what it printed or why it did not."""
        try:
            with self._adb_lock:
                if self._stopping.is_set() and limit_s > _LAST_ANSWER_S:
                    return False, "the program ends"
                program = self._running = subprocess.Popen(
                    [self.config.adb, *words], text=True, errors="replace", process_group=0,
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                )  # fmt: skip
        except OSError as error:
            return False, str(error)
        try:
            printed, complained = program.communicate(told, limit_s)
        except subprocess.TimeoutExpired as error:
            _kill(program)
            return False, str(error)
        finally:
            with self._adb_lock:
                self._running = None
        return program.returncode == 0, (printed if program.returncode == 0 else complained).strip()


def _kill(program: subprocess.Popen[str]) -> None:
    """End adb, and what it has started and waits for."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(program.pid, signal.SIGKILL)
    program.wait()


def devices_of(text: str) -> dict[str, str]:
    """Serials and states from what ``adb devices`` prints."""
    found = {}
    for line in text.splitlines():
        serial, tab, state = line.partition("\t")
        if tab and serial and not serial.startswith("*"):
            found[serial] = (
                "no permissions" if state.startswith("no permissions") else state.strip()
            )
    return found
