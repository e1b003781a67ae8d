# SPDX-License-Identifier: Apache-2.0
"""One run of the demo as seen from outside: joins what the observer hears into numbers.

Pure: events come in, with their stamps; the numbers come out. The run begins with the first tick in
which the policy ran on an object that had been let go (on a real hand: the first in which it ran).
"""

from __future__ import annotations

import math
import threading
from array import array
from collections import OrderedDict
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.demo.errors import DemoError
from dexndm_ros.demo.recording import Recording
from dexndm_ros.demo.report import DemoReport, Spread
from dexndm_ros.nodes._demo_events import (
    CommandSeen,
    HealthSeen,
    ObjectSeen,
    ProgressSeen,
    StateSeen,
    StepSeen,
)

__all__ = ["DemoRun", "LiveNumbers", "Picture"]

_KEPT = 2000
_RATE_TICKS = 40
_MS = 1e-6
_Value = TypeVar("_Value")


@dataclass(frozen=True)
class LiveNumbers:
    """What the live line shows.

    Attributes:
        running: the run has begun.
        angle_rad: turned so far; None = not known (a real hand).
        held_s: seconds held so far.
        rate_hz: ticks a second over the last two seconds; NaN = not known yet.
        worst_tick_ms: longest time between two ticks; NaN likewise.
        fallen: the object lies on the ground.
        status: why it is not running yet, in words.
    """

    running: bool
    angle_rad: float | None
    held_s: float
    rate_hz: float
    worst_tick_ms: float
    fallen: bool
    status: str


@dataclass(frozen=True)
class Picture:
    """What the 3D view draws.

    Attributes:
        q: joint angles, (16,) rad; None = not known yet.
        pose: the object's pose; None likewise.
        wrist_xyzw: palm in the world, (4,); None likewise.
        text: numbers in words.
        arm_q_rad: joint angles of the arm that carries the hand, (7,); None = there is none, or not known yet.
    """

    q: NDArray[np.float64] | None
    pose: ObjectSeen | None
    wrist_xyzw: tuple[float, float, float, float] | None
    text: str = ""
    arm_q_rad: NDArray[np.float64] | None = None


class _Newest(Generic[_Value]):
    """The newest few values by sequence number."""

    def __init__(self) -> None:
        self._values: OrderedDict[int, _Value] = OrderedDict()

    def put(self, seq: int, value: _Value) -> None:
        self._values[seq] = value
        if len(self._values) > _KEPT:
            self._values.popitem(last=False)

    def get(self, seq: int) -> _Value | None:
        return self._values.get(seq)

    def pop(self, seq: int) -> _Value | None:
        return self._values.pop(seq, None)


class DemoRun:
    """Collects one run; a ``DemoSink``. Safe to ask from another thread.

    Args:
        simulated: a virtual hand tells the object's progress.
        record: keep joints and object for pictures.
    """

    def __init__(self, simulated: bool, record: bool = False) -> None:
        self.simulated = simulated
        self.recording = Recording() if record else None
        self.began_ns: int | None = None
        """Stamp of the first counted tick; None = the run has not begun."""
        self.period_ms = array("d")
        self.delay_ms = array("d")
        """Observation to command received, one a tick."""
        self.applied_ms = array("d")
        """Observation to the first bus read with the command in force, one a tick."""
        self._lock = threading.Lock()
        self._commands: _Newest[int] = _Newest()
        self._observed: _Newest[int] = _Newest()
        self._waiting: _Newest[int] = _Newest()
        self._unapplied: OrderedDict[int, int] = OrderedDict()
        self._first: StepSeen | None = None
        self._last: StepSeen | None = None
        self._last_running: StepSeen | None = None
        self._ran_ns = 0
        self._ticks = 0
        self._starts: list[int] = []
        self._worst_ms = -math.inf
        self._bus_hz: list[float] = []
        self._lost: list[int] = []
        self._states = 0
        self._state_span_ns = [0, 0]
        self._progress: ProgressSeen | None = None
        self._base = ProgressSeen(0, 0.0, 0.0, 0.0, False, 0)
        self._before = (0.0, 0.0, 0.0)
        self._fell = False
        self._fault = ""
        self._complaints: dict[str, str] = {}
        self._state: StateSeen | None = None
        self._pose: ObjectSeen | None = None

    # --- events, in the observer's thread -------------------------------------------------------

    def on_state(self, state: StateSeen) -> None:
        """A hand/state arrived."""
        with self._lock:
            self._state = state
            self._observed.put(state.seq, state.stamp_ns)
            if self.began_ns is not None and state.stamp_ns >= self.began_ns:
                self._states += 1
                self._state_span_ns[1] = state.stamp_ns
                self._state_span_ns[0] = self._state_span_ns[0] or state.stamp_ns
            if state.command_source:
                self._apply(state)
            if self.recording is not None:
                self.recording.add_state(state)

    def on_command(self, command: CommandSeen) -> None:
        """A hand/command arrived."""
        with self._lock:
            observed_ns = self._waiting.pop(command.seq)
            if observed_ns is None:
                self._commands.put(command.seq, command.received_ns)
            else:
                self.delay_ms.append((command.received_ns - observed_ns) * _MS)

    def on_step(self, step: StepSeen) -> None:
        """A policy/step arrived."""
        with self._lock:
            self._last = step
            if not step.running:
                self._last_running = None
                return
            if self.began_ns is None and not self._may_begin():
                return
            if self.began_ns is None:
                self.began_ns = step.stamp_ns
                self._first = step
                self._base = self._progress or self._base
                self._lost = self._lost[-1:]
                self._bus_hz.clear()
            self._count(step)

    def on_progress(self, progress: ProgressSeen) -> None:
        """A rotation/progress arrived."""
        with self._lock:
            old = self._progress
            if old is not None and progress.episode != old.episode and self.began_ns is not None:
                self._before = self._totals()
                self._base = ProgressSeen(progress.stamp_ns, 0.0, 0.0, 0.0, False, progress.episode)
            self._progress = progress
            self._fell |= progress.fallen and self.began_ns is not None
            if self.recording is not None and self.began_ns is not None:
                self.recording.add_angle(progress.stamp_ns, self._totals()[0])

    def on_object(self, pose: ObjectSeen) -> None:
        """A sim/object arrived."""
        with self._lock:
            self._pose = pose
            if self.recording is not None:
                self.recording.add_object(pose)

    def on_health(self, health: HealthSeen) -> None:
        """A hand/health arrived."""
        with self._lock:
            self._bus_hz.append(health.bus_hz)
            self._lost.append(health.lost_reads)
            self._fault = health.fault

    def on_complaint(self, source: str, text: str) -> None:
        """A node says why it does not do its work."""
        with self._lock:
            self._complaints[source] = text

    # --- questions ------------------------------------------------------------------------------

    @property
    def fault(self) -> str:
        """Why the driver has stopped the hand; empty = it has not."""
        return self._fault

    @property
    def fallen(self) -> bool:
        """The object of the present episode lies on the ground."""
        progress = self._progress
        return progress is not None and progress.fallen

    @property
    def episode(self) -> int:
        """Number of the present or last episode; 0 = none yet."""
        return 0 if self._progress is None else self._progress.episode

    def complaints(self) -> str:
        """What the nodes say is wrong, one sentence."""
        with self._lock:
            return "; ".join(f"{name}: {text}" for name, text in self._complaints.items() if text)

    def picture(self, text: str = "") -> Picture:
        """What the 3D view draws now."""
        with self._lock:
            q = None if self._state is None else self._state.position_rad
            return Picture(q, self._pose, self.wrist_xyzw, text)

    @property
    def wrist_xyzw(self) -> tuple[float, float, float, float] | None:
        """Palm in the world as the policy knows it; None = it has not ticked yet."""
        return None if self._last is None else self._last.wrist_xyzw

    def silent_s(self, now_ns: int) -> float:
        """Time since the policy last ran; 0 before the run began."""
        return 0.0 if not self._ran_ns else max(0.0, (now_ns - self._ran_ns) * 1e-9)

    def elapsed_s(self, now_ns: int) -> float:
        """Time since the run began; 0 before."""
        return 0.0 if self.began_ns is None else max(0.0, (now_ns - self.began_ns) * 1e-9)

    def live(self) -> LiveNumbers:
        """Numbers for the live line."""
        with self._lock:
            starts = self._starts
            span_ns = starts[-1] - starts[0] if len(starts) > 1 else 0
            return LiveNumbers(
                running=self.began_ns is not None and self._last_running is not None,
                angle_rad=self._totals()[0] if self.simulated else None,
                held_s=self._held_s(),
                rate_hz=(len(starts) - 1) * 1e9 / span_ns if span_ns > 0 else math.nan,
                worst_tick_ms=self._worst_ms if self._worst_ms > 0 else math.nan,
                fallen=self.fallen,
                status=next((text for text in self._complaints.values() if text), ""),
            )

    def report(self, policy: str, world: str) -> DemoReport:
        """The report of the run so far.

        Raises:
            DemoError: the policy never ran.
        """
        with self._lock:
            if self._first is None or self._last is None:
                raise DemoError("there is nothing to report: the policy never ran")
            turned, off_axis, _ = self._totals()
            return DemoReport(
                seconds=self._held_s(),
                rotation_rad=turned if self.simulated else None,
                off_axis_rad=off_axis if self.simulated else None,
                fell=self._fell if self.simulated else None,
                ticks=self._ticks,
                missed_ticks=self._last.missed_ticks - self._first.missed_ticks,
                tick_period_ms=Spread.of(self.period_ms),
                obs_to_command_ms=Spread.of(self.delay_ms),
                bus_hz=self._mean_bus_hz(),
                lost_reads=self._lost[-1] - self._lost[0] if self._lost else 0,
                policy=policy,
                world=world,
            )

    # --- inside, with the lock held -------------------------------------------------------------

    def _may_begin(self) -> bool:
        progress = self._progress
        return not self.simulated or (
            progress is not None and progress.episode > 0 and not progress.fallen
        )

    def _count(self, step: StepSeen) -> None:
        start_ns = _begin_ns(step)
        before = self._last_running
        if before is not None and step.seq == before.seq + 1:
            period_ms = (start_ns - _begin_ns(before)) * _MS
            self.period_ms.append(period_ms)
            self._worst_ms = max(period_ms, self._worst_ms)
            self._starts = [*self._starts[-_RATE_TICKS:], start_ns]
        else:
            self._starts = [start_ns]
        self._last_running = step
        self._ran_ns = step.stamp_ns
        self._ticks += 1
        observed_ns = self._observed.get(step.observation_seq)
        if observed_ns is None:
            if not math.isfinite(step.observation_age_ms):
                return
            observed_ns = start_ns - round(step.observation_age_ms / _MS)
        self._unapplied[step.seq] = observed_ns
        if len(self._unapplied) > _KEPT:
            self._unapplied.popitem(last=False)
        received_ns = self._commands.pop(step.seq)
        if received_ns is None:
            self._waiting.put(step.seq, observed_ns)
        else:
            self.delay_ms.append((received_ns - observed_ns) * _MS)

    def _apply(self, state: StateSeen) -> None:
        """Settle the ticks whose command was in force at this bus read."""
        while self._unapplied:
            seq, observed_ns = next(iter(self._unapplied.items()))
            if seq > state.command_seq:
                return
            del self._unapplied[seq]
            if seq == state.command_seq:  # an older one was overtaken and never in force
                self.applied_ms.append((state.stamp_ns - observed_ns) * _MS)

    def _totals(self) -> tuple[float, float, float]:
        """(turned rad, off-axis rad, held s) since the run began."""
        progress, base = self._progress, self._base
        if progress is None or self.began_ns is None:
            return (0.0, 0.0, 0.0)
        now = (
            progress.angle_rad - base.angle_rad,
            progress.off_axis_rad - base.off_axis_rad,
            progress.time_s - base.time_s,
        )
        turned, off_axis, held = (a + b for a, b in zip(self._before, now, strict=True))
        return turned, off_axis, held

    def _held_s(self) -> float:
        if self.simulated:
            return self._totals()[2]
        if self._last is None or self.began_ns is None:
            return 0.0
        return (self._last.stamp_ns - self.began_ns) * 1e-9

    def _mean_bus_hz(self) -> float | None:
        if self._bus_hz:
            return float(np.mean(self._bus_hz))
        first_ns, last_ns = self._state_span_ns
        return (self._states - 1) * 1e9 / (last_ns - first_ns) if last_ns > first_ns else None


def _begin_ns(step: StepSeen) -> int:
    """When the tick began: the stamp is taken when the target is ready."""
    return step.stamp_ns - round(step.inference_ms / _MS)
