# SPDX-License-Identifier: Apache-2.0
"""From the headset's frame to ``arm/target_pose``: real page server, real ``quest_bridge``, a page's client at 90 Hz.

Capture is when the client makes a frame, publish is the bridge's tick that published what came of it, both on one
machine's clock. The loop ticks at 100 Hz and takes the newest frame, so a frame waits up to 10 ms for its tick; the
even pace of targets is counted between ticks. Beside it, in the same run, a bare loop of the same period says what this
machine's scheduler allows.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.result import Check, Options, Result, quantiles
from bench.teleop_listen import ARM_M, Heard, listening
from bench.teleop_motion import SPEED_M_S, FigureOfEight
from dexndm_ros.dashboard.access import keep_token
from dexndm_ros.process_spec import ProcessSpec
from dexndm_ros.processes import Processes, node_environment
from dexndm_ros.teleop.web import TOKEN_FILE

RATE_HZ = 90.0
_LOOP_HZ = 100.0
_WARM_S = 4.0
_START_S = 120.0
_GAP_MS = 250.0  # longer than any late tick: the arm held, and the operator pressed anew
_ADDRESS = re.compile(r"teleoperation: (http://\S+/)\n")


def run(options: Options) -> Result:
    """Drive for a while and compare times."""
    os.environ["ROS_DOMAIN_ID"] = str(1 + os.getpid() % 100)  # another headset would be heard too
    with tempfile.TemporaryDirectory(prefix="dexndm-bench-") as name:
        folder = Path(name)
        token = keep_token(folder / TOKEN_FILE)
        spec = ProcessSpec(
            "quest_bridge", "dexndm_ros.nodes.quest_bridge", "quest_bridge",
            {"port": 0, "usb": False, "directory": name},
        )  # fmt: skip
        with listening() as heard, Processes([spec], folder) as processes:
            url = _address(processes)
            bare = _BareLoop()
            told = _drive(url, token, options.seconds + _WARM_S, folder)
            bare.stop()
    return _result(heard, told, bare.intervals_ms)


def _address(processes: Processes) -> str:
    until_s = time.monotonic() + _START_S
    while time.monotonic() < until_s:
        for ended in processes.poll():
            raise RuntimeError(ended.reason)
        log = processes.logs["quest_bridge"]
        if log.exists() and (found := _ADDRESS.search(log.read_text(errors="replace"))):
            return found[1]
        time.sleep(0.1)
    raise RuntimeError("quest_bridge did not tell the page's address")


def _drive(url: str, token: str, seconds: float, folder: Path) -> dict[str, Any]:
    file = folder / "sent.json"
    words = [sys.executable, "-m", "bench.teleop_client", url, token]
    words += [str(seconds), str(RATE_HZ), str(file)]
    done = subprocess.run(
        words, env=node_environment(), capture_output=True, text=True, timeout=seconds + _START_S,
        check=False, cwd=Path(__file__).resolve().parents[1],
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"the client ended: {done.stderr[-500:]}")
    told: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return told


class _BareLoop:
    """Nothing but deadlines, in a process of its own."""

    _CODE = (
        "import time, sys, threading\nthreading.Thread(target=sys.stdin.read, daemon=True).start()\n"
        "t = threading.enumerate()[-1]; due = time.monotonic(); last = due\n"
        "while t.is_alive():\n"
        f"    due = max(due + {1.0 / _LOOP_HZ}, time.monotonic()); time.sleep(max(0.0, due - time.monotonic()))\n"
        "    now = time.monotonic(); print(1e3 * (now - last)); last = now\n"
    )

    def __init__(self) -> None:
        self._program = subprocess.Popen(
            [sys.executable, "-c", self._CODE],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._told = ""
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self) -> None:
        assert self._program.stdout is not None
        self._told = self._program.stdout.read()

    def stop(self) -> None:
        """End it."""
        assert self._program.stdin is not None
        self._program.stdin.close()
        self._reading.join()
        self._program.wait()

    @property
    def intervals_ms(self) -> NDArray[np.float64]:
        """Time between its ticks, without the first ones."""
        return np.array([float(line) for line in self._told.split()[10:]])


def _result(heard: Heard, told: dict[str, Any], bare_ms: NDArray[np.float64]) -> Result:
    sent = told["sent"]
    made_ns = {number: made for number, made, _ in sent}
    begin_ns = sent[0][1] + round(_WARM_S * 1e9)
    pairs = [(made_ns[number], *times) for number, times in heard.hands.items()
             if made_ns.get(number, 0) >= begin_ns]  # fmt: skip
    made, ticked, came, age_ms = np.array(pairs, dtype=np.float64).reshape(-1, 4).T
    targets = np.array([row for row in heard.targets if row[0] >= begin_ns], dtype=np.float64)
    if len(pairs) < 20 or len(targets) < 20:
        raise RuntimeError(f"{len(pairs)} frames and {len(targets)} targets came: {heard.reasons}")
    pace_ms = np.diff(targets[:, 0]) * 1e-6
    pace_ms = np.abs(pace_ms[pace_ms < _GAP_MS] - 1e3 / _LOOP_HZ)
    sent_ms = np.abs(np.diff([m for _, m, _ in sent]) * 1e-6 - 1e3 / RATE_HZ)
    to_publish_ms = (ticked - made) * 1e-6
    clock_s = sent[0][1] * 1e-9 - sent[0][2]
    lag_ms, rest_mm = _motion_lag(targets, clock_s)
    rows = [
        ["capture to publish", *_row(to_publish_ms)],
        ["capture to a subscriber", *_row((came - made) * 1e-6)],
        ["capture to publish, as the node tells it", *_row(age_ms)],
        ["pace of targets, off 10 ms", *_row(pace_ms)],
        ["pace of a bare loop here, off 10 ms", *_row(np.abs(bare_ms - 1e3 / _LOOP_HZ))],
        ["pace of the client's frames, off 11.1 ms", *_row(sent_ms)],
        ["hand to target in motion, filter and all", lag_ms, *[float("nan")] * 3],
    ]
    p95, p99 = quantiles(to_publish_ms, 0.95)[0], quantiles(pace_ms, 0.99)[0]
    lost = 1.0 - len(pairs) / sum(m >= begin_ns for m in made_ns.values())
    return Result(
        f"{len(pairs)} frames at {RATE_HZ:g} Hz over loopback, a hand at {SPEED_M_S:g} m/s, one-euro filter on",
        ["ms", "p50", "p95", "p99", "worst"],
        rows,
        [
            Check("capture to publish, p95, ms", p95, 25.0),
            Check("jitter: pace of targets, p99, ms", p99, 3.0),
        ],
        [
            "a frame waits for its tick, evenly 0 to 10 ms; that is in every latency",
            f"frames that no tick took, a newer one being there: {100 * lost:.1f} %",
            f"holds and fresh presses in between: {told['holds']}",
            f"in motion the targets are the hand {lag_ms:.1f} ms ago, to {rest_mm:.2f} mm (rms)",
        ],
        {"reasons": heard.reasons, "node_ages_ms": heard.ages_ms, "nice": os.nice(0)},
    )


def _row(values_ms: NDArray[np.float64]) -> list[float]:
    return quantiles(values_ms, 0.5, 0.95, 0.99, 1.0)


def _motion_lag(targets: NDArray[np.float64], clock_s: float) -> tuple[float, float]:
    """The delay with which targets repeat the hand's path, ms, and what is left over, mm rms.

    Args:
        targets: as in ``Heard``.
        clock_s: our monotonic time at which the motion began.
    """
    motion, t = FigureOfEight(), targets[:, 0] * 1e-9 - clock_s
    moved = targets[:, 2:] - np.array(ARM_M)
    runs = np.split(np.arange(len(t)), np.flatnonzero(np.diff(targets[:, 0]) * 1e-6 > _GAP_MS) + 1)
    best = (float("nan"), float("inf"))
    for lag_ms in np.arange(0.0, 120.0, 0.5):
        rest = moved - motion.at(t - lag_ms * 1e-3)
        # each press begins where arm and hand are then
        rest = np.concatenate([rest[run] - rest[run].mean(axis=0) for run in runs])
        rms_mm = 1e3 * float(np.sqrt((rest**2).sum(axis=1).mean()))
        best = min(best, (float(lag_ms), rms_mm), key=lambda found: found[1])
    return best
