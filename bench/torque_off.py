# SPDX-License-Identifier: Apache-2.0
"""From a fault to the torque being off, read in the registers of the virtual motors.

The driver is a process of its own and runs as it does on a robot; the motors are here, so that their Torque
Enable can be looked at every 2 ms without a word on the bus.
"""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.live_system import Listener, LiveSystem, running
from bench.result import Check, Options, Result, quantiles
from dexndm_ros.hand.guard import Mode
from dexndm_ros.hand.health import HealthLimits
from dexndm_ros.nodes._demo_events import StateSeen
from dexndm_ros.sim.plant import JointPlant
from dexndm_ros.sim.rig import RigConfig, ServoRig

__all__ = ["run"]

_MOTOR = 7
_ALL = frozenset(range(16))
_LIMIT_MS = 100.0
_WATCHDOG_MS = 500.0
"""The driver's ``bus_watchdog_s``."""
_PATIENCE_S = 20.0
_APART_S = 0.3


class _States(Listener):
    def __init__(self) -> None:
        self.count = 0
        self.mode = 0

    def on_state(self, state: StateSeen) -> None:
        """A hand/state arrived."""
        self.count += 1
        self.mode = state.mode


class _Motors:
    """Sixteen virtual motors, and when something became true of their registers."""

    def __init__(self, link: Path, seed: int) -> None:
        self.rig = ServoRig(JointPlant(), link, RigConfig(fault_seed=seed), after_step=self._look)
        self._wanted: Callable[[], bool] = lambda: False
        self._met = threading.Event()
        self._met_s = 0.0

    def off(self, ids: frozenset[int]) -> Callable[[], bool]:
        """Whether these motors' torque is off."""
        servos = [self.rig.bank.servos[k] for k in ids]
        return lambda: not any(servo.get("torque_enable") for servo in servos)

    def stopped(self) -> bool:
        """Whether every bus watchdog has tripped."""
        return all(servo.watchdog_tripped for servo in self.rig.bank.servos)

    def measure(self, act: Callable[[], object], until: Callable[[], bool]) -> float:
        """Milliseconds from the beginning of an act to a condition."""
        self._met.clear()
        begin_s = time.monotonic()
        self._wanted = until
        act()
        if not self._met.wait(_PATIENCE_S):
            raise RuntimeError(f"nothing happened for {_PATIENCE_S:g} s")
        return 1e3 * (self._met_s - begin_s)

    def _look(self) -> None:
        if not self._met.is_set() and self._wanted():
            self._met_s = time.monotonic()
            self._met.set()


def run(options: Options) -> Result:
    """Measure each fault some times, with one driver; then its sudden death."""
    rows, checks = [], []
    with tempfile.TemporaryDirectory(prefix="dexndm-bench-") as folder:
        link = Path(folder) / "port"
        motors = _Motors(link, options.seed)
        with motors.rig:
            found = _faults(motors, link, 1 if options.quick else options.episodes)
    for name, (limit_ms, values) in found.items():
        median, worst = *quantiles(values, 0.5), max(values)
        rows.append([name, median, worst, limit_ms, len(values)])
        checks.append(Check(f"{name}, worst (ms)", worst, limit_ms))
    return Result(
        "From a fault to torque off, in the motors' registers",
        ["fault", "median ms", "worst ms", "limit ms", "times"],
        rows,
        checks,
        [
            "driver at 100 Hz as shipped, holding; the registers are looked at every 2 ms",
            "silent and unplugged: their limit holds lost_s, the silence that is no fault yet",
            "SIGKILL: until every motor's bus watchdog has stopped it (0.5 s after the last packet)",
        ],
        {"rate_hz": 100.0, "lost_s": HealthLimits().lost_s},
    )


@contextlib.contextmanager
def _driver(link: Path) -> Iterator[tuple[LiveSystem, _States]]:
    """A driver process on the motors' port, publishing."""
    sink = _States()
    with running("leap_hand", {"sim": "false", "port": str(link), "rate": "100"}, sink) as live:
        live.until(lambda: sink.count > 20, "the first hand/state")
        yield live, sink


def _ready(live: LiveSystem, sink: _States) -> None:
    """Bring the hand back to holding, whatever was."""
    live.until(lambda: sink.mode in (Mode.RELAXED, Mode.FAULT), "the torque to be off")
    if sink.mode == Mode.FAULT:
        live.trigger("hand/recover")
    live.trigger("hand/enable")
    live.until(lambda: sink.mode == Mode.HOLDING, "the hand to hold")


def _faults(motors: _Motors, link: Path, times: int) -> dict[str, tuple[float, list[float]]]:
    rig, lost_ms = motors.rig, 1e3 * HealthLimits().lost_s
    others = _ALL - {_MOTOR}
    found: dict[str, tuple[float, list[float]]] = {}

    def note(name: str, value_ms: float, limit_ms: float = _LIMIT_MS) -> None:
        found.setdefault(name, (limit_ms, []))[1].append(value_ms)

    def inject(fault: str, motor: int = _MOTOR) -> Callable[[], object]:
        return lambda: rig.inject(fault, motor)

    with _driver(link) as (live, sink):
        for _ in range(times):
            for fault in ("overload", "hot_motor"):
                _ready(live, sink)
                note(f"{fault} of a motor", motors.measure(inject(fault), motors.off(_ALL)))
                rig.inject("clear")
            for fault in ("silent_motor", "unplugged"):
                _ready(live, sink)
                off_ms = motors.measure(inject(fault), motors.off(others))
                note(f"{fault}: the other motors", off_ms, lost_ms + _LIMIT_MS)
                time.sleep(_APART_S)
                back_ms = motors.measure(inject("clear"), motors.off(_ALL))
                if fault == "silent_motor":  # the other one has lost its power, and boots limp
                    note(f"{fault}: itself, once it is back", back_ms)
            _ready(live, sink)
            rig.inject("unplugged", -1)
            live.until(lambda: rig.bank.servos[0].watchdog_tripped, "the bus watchdog")
            back_ms = motors.measure(inject("clear"), motors.off(_ALL))
            note("whole hand unplugged, once it is back", back_ms)
            _ready(live, sink)
            note("hand/relax", motors.measure(lambda: live.trigger("hand/relax"), motors.off(_ALL)))
    for name, number, done, limit_ms in (
        ("SIGTERM", signal.SIGTERM, motors.off(_ALL), _LIMIT_MS),
        ("SIGKILL", signal.SIGKILL, motors.stopped, _WATCHDOG_MS + _LIMIT_MS),
    ):
        for _ in range(max(1, times // 4)):
            with _driver(link) as (live, sink):
                _ready(live, sink)
                pid = live.processes.pids["leap_hand_driver"]
                note(name, motors.measure(lambda: os.kill(pid, number), done), limit_ms)  # noqa: B023
    return found
