# SPDX-License-Identifier: Apache-2.0
"""The oculus_reader app as a source: its log lines, read from ``adb logcat``.

Poses are relative to the headset: it must be parked, and watched by ``head_guard``. The adb process is started anew
whenever it ends; a cable that was pulled shows as samples growing old.
"""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO

from dexndm_ros.teleop.errors import SourceError
from dexndm_ros.teleop.oculus_lines import TAG, parse_line
from dexndm_ros.teleop.sample import Sample, Side
from dexndm_ros.teleop.slot import Slot

__all__ = ["AdbConfig", "OculusReader"]

APP = "com.rail.oculus.teleop/com.rail.oculus.teleop.MainActivity"
_LONGEST_LINE = 4096


@dataclass(frozen=True)
class AdbConfig:
    """How the headset is reached.

    Attributes:
        adb: the adb program.
        serial: which device; empty = the only one.
        start_app: start the app on the headset first.
        restart_s: wait so long before adb is started again.
    """

    adb: str = "adb"
    serial: str = ""
    start_app: bool = True
    restart_s: float = 1.0

    def command(self, *words: str) -> list[str]:
        """An adb command line for this device."""
        return [self.adb, *(["-s", self.serial] if self.serial else []), *words]


class OculusReader:
    """Source of samples from an ``adb logcat`` process.

    Attributes:
        words: the last thing that adb said itself ("device unauthorized", "waiting for device"); may be empty.
    """

    def __init__(
        self, config: AdbConfig | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.config = config or AdbConfig()
        self.words = ""
        self._clock = clock
        self._slot = Slot()
        self._counts: Counter[str] = Counter()
        self._seq = 0
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()  # of the process: stop() must not miss one that is just begun
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start adb and the thread that reads it.

        Raises:
            SourceError: there is no adb.
        """
        if self._thread is not None:
            return
        try:
            subprocess.run(
                [self.config.adb, "version"], capture_output=True, check=True, timeout=10
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise SourceError(
                f"adb cannot be run ({error}): install it (`sudo apt install adb`) or name it in the settings"
            ) from error
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, name="oculus_reader", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End adb and the thread."""
        self._stopping.set()
        with self._lock:
            if self._process is not None:
                self._process.kill()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def latest(self) -> Sample | None:
        """The newest sample; None before the first."""
        return self._slot.take()

    def counts(self) -> Mapping[str, int]:
        """Lines by what became of them, and how often adb was started."""
        return {"accepted": 0, **self._counts}

    def pulse(self, hand: Side, strength: float, ms: float) -> None:
        """Nothing: the app cannot be told to."""

    def _run(self) -> None:
        while not self._stopping.is_set():
            if self.config.start_app:
                self._spawn("shell", "am", "start", "-n", APP)
            self._counts["adb started"] += 1
            # -T 1: no older lines, which would move the arm now for what the hand did then.
            self._spawn("logcat", "-v", "threadtime", "-T", "1", "-s", f"{TAG}:I")
            self._stopping.wait(self.config.restart_s)

    def _spawn(self, *words: str) -> None:
        """Run an adb command and take its lines until it ends."""
        with self._lock:
            if self._stopping.is_set():
                return
            try:
                process = subprocess.Popen(
                    self.config.command(*words),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                )
            except OSError as error:
                self.words = str(error)
                return
            self._process = process
        try:
            if process.stdout is not None:
                self._read(process.stdout)
        finally:
            process.kill()
            process.wait()
            with self._lock:
                self._process = None

    def _read(self, stream: IO[bytes]) -> None:
        """Take whole lines; one without an end is thrown away, not kept in memory."""
        with contextlib.closing(stream):
            cut = False
            while line := stream.readline(_LONGEST_LINE):
                whole = line.endswith(b"\n")
                if cut or not whole:
                    self._counts["cut"] += not cut
                    cut = not whole
                    continue
                self._take(line.decode("utf-8", "replace"))

    def _take(self, line: str) -> None:
        sample = parse_line(line, self._seq, self._clock())
        if sample is None:
            self._counts["malformed" if TAG in line else "not ours"] += 1
            if TAG not in line:
                self.words = line.strip()
            return
        self._seq += 1
        self._slot.put(sample)
        self._counts["accepted"] += 1
