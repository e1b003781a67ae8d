# SPDX-License-Identifier: Apache-2.0
"""What is watched while the hand replays: stuck fingers, currents, clocks, the load. Pure.

Durations are counted in ticks, so that they mean the same in simulated time at any speed.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.hand.joints import JOINT_COUNT, JOINT_NAMES
from dexndm_ros.replay.campaign import CoolingConfig, JamConfig, LoadCheckConfig

__all__ = ["ClockWatch", "CurrentWatch", "JamWatch", "LoadWatch", "Tally", "TrajectoryNumbers"]

Vector = NDArray[np.float64]
_CLOCK_STEP_S = 0.05
"""A wall clock that moves against the monotonic one by more than this within a tick has been set."""


class JamWatch:
    """A joint far from its target that does not move: a stuck finger, a jammed ball."""

    def __init__(self, config: JamConfig, rate_hz: float) -> None:
        self._config = config
        self._limit = max(1, round(config.time_s * rate_hz))
        self._ticks = np.zeros(JOINT_COUNT, dtype=np.int64)

    def reset(self) -> None:
        """A new trajectory begins."""
        self._ticks[:] = 0

    def look(self, target_rad: Vector, position_rad: Vector, velocity_rad_s: Vector) -> str:
        """Note one tick, vectors (16,); returns which joint is stuck, or ''."""
        error = np.abs(target_rad - position_rad)
        stuck = (error > self._config.error_rad) & (
            np.abs(velocity_rad_s) < self._config.still_rad_s
        )
        self._ticks = np.where(stuck, self._ticks + 1, 0)
        k = int(np.argmax(self._ticks))
        if self._ticks[k] < self._limit:
            return ""
        return (
            f"{JOINT_NAMES[k]} (motor {k}) is stuck: {error[k]:.2f} rad from its target "
            f"for {self._config.time_s:g} s without moving"
        )


class CurrentWatch:
    """Mean current of each motor over a window, as an exponential average."""

    def __init__(self, config: CoolingConfig, rate_hz: float) -> None:
        self._limit_a = config.current_a
        self._share = 1.0 / max(1.0, config.current_window_s * rate_hz)
        self.mean_a = np.zeros(JOINT_COUNT)

    def reset(self) -> None:
        """The hand has rested."""
        self.mean_a = np.zeros(JOINT_COUNT)

    def look(self, current_a: Vector) -> str:
        """Note one tick, (16,); returns which motor draws too much, or ''."""
        self.mean_a = self.mean_a + self._share * (np.abs(current_a) - self.mean_a)
        k = int(np.argmax(self.mean_a))
        if self.mean_a[k] <= self._limit_a:
            return ""
        return (
            f"motor {k} draws {self.mean_a[k]:.2f} A on average "
            f"(limit {self._limit_a:.2f} A): it pushes against something"
        )


class ClockWatch:
    """Steps of the wall clock, as seen from the monotonic one."""

    def __init__(self) -> None:
        self._offset_s: float | None = None

    def look(self, wall_s: float, monotonic_s: float) -> float:
        """Note both clocks, read one after the other; returns the step of the wall clock, s, or 0."""
        offset_s, before_s = wall_s - monotonic_s, self._offset_s
        self._offset_s = offset_s
        if before_s is None or abs(offset_s - before_s) < _CLOCK_STEP_S:
            return 0.0
        return offset_s - before_s


@dataclass(frozen=True)
class TrajectoryNumbers:
    """What one trajectory did to the hand.

    Attributes:
        temperature_max_c: of the hottest motor; NaN = not known.
        current_mean_a: mean absolute current of each motor, (16,).
        current_spread_a: standard deviation over time of the currents' means over a second, mean over the
            motors. Balls push now more, now less: at full load it is several times a free hand's, while the
            plain spread, most of it from the motion itself, hardly differs (bench/chaos_box.py).
        tracking_rms_rad: root mean square of target minus position, over time and joints.
    """

    temperature_max_c: float
    current_mean_a: tuple[float, ...]
    current_spread_a: float
    tracking_rms_rad: float


class Tally:
    """Adds up a trajectory's numbers while it runs.

    Args:
        rate_hz: ticks a second.
    """

    def __init__(self, rate_hz: float = 20.0) -> None:
        self._ticks_a_second = max(1, round(rate_hz))
        self.skipped = 0
        """Commands that were never in force: the next one came before the driver acted on them."""
        self._last: tuple[int, int] | None = None
        self._states = 0
        self._absolute = np.zeros(JOINT_COUNT)
        self._second = np.zeros(JOINT_COUNT)
        self._second_states = 0
        self._seconds: list[Vector] = []
        self._ticks = 0
        self._error = 0.0
        self._hottest_c = float("nan")

    def state(self, current_a: Vector, seq: int, command_seq: int) -> None:
        """Count one state.

        Args:
            current_a: (16,).
            seq: the state's number; two that follow each other prove what happened between them.
            command_seq: number of the command that was in force.
        """
        before, self._last = self._last, (seq, command_seq)
        if before is not None and seq == before[0] + 1:
            self.skipped += max(0, command_seq - before[1] - 1)
        self._states += 1
        self._absolute += np.abs(current_a)
        self._second += current_a
        self._second_states += 1

    def tick(self, target_rad: Vector, position_rad: Vector, hottest_c: float) -> None:
        """Count one tick: the target in force and where the joints are, (16,)."""
        self._ticks += 1
        if self._ticks % self._ticks_a_second == 0:
            self._end_second()
        error = target_rad - position_rad
        self._error += float(error @ error) / JOINT_COUNT
        self._hottest_c = float(np.fmax(self._hottest_c, hottest_c))

    def _end_second(self) -> None:
        if self._second_states:
            self._seconds.append(self._second / self._second_states)
        self._second, self._second_states = np.zeros(JOINT_COUNT), 0

    def numbers(self) -> TrajectoryNumbers:
        """The sums as means."""
        count, ticks = max(1, self._states), max(1, self._ticks)
        spread = np.std(self._seconds, axis=0).mean() if self._seconds else np.nan
        return TrajectoryNumbers(
            temperature_max_c=self._hottest_c,
            current_mean_a=tuple((self._absolute / count).tolist()),
            current_spread_a=float(spread),
            tracking_rms_rad=float(np.sqrt(self._error / ticks)),
        )


class LoadWatch:
    """Tells an empty box, or a hand that slipped out of the balls, by currents that vary less.

    Args:
        config: window and thresholds.
        earlier: spreads of the trajectories that this campaign has finished already, in order.
    """

    def __init__(self, config: LoadCheckConfig, earlier: tuple[float, ...] = ()) -> None:
        self._config = config
        self._first: list[float] = []
        self._last: deque[float] = deque(maxlen=config.window)
        for spread_a in earlier:
            self.add(spread_a)

    def add(self, spread_a: float) -> None:
        """Count one finished trajectory; NaN = not measured."""
        if math.isnan(spread_a):
            return
        if len(self._first) < self._config.window:
            self._first.append(spread_a)
        self._last.append(spread_a)

    def warning(self) -> str:
        """What is odd about the load, or ''."""
        if len(self._last) < self._config.window:
            return ""
        now_a, free_a = statistics.median(self._last), self._config.free_hand_a
        cure = "is the hand still in the balls?"
        if free_a > 0.0 and now_a * self._config.min_ratio < free_a:
            return f"the currents vary by {now_a:.3f} A, a free hand's by {free_a:.3f} A: {cure}"
        first_a = statistics.median(self._first)
        if now_a < self._config.min_ratio * first_a:
            return f"the currents vary by {now_a:.3f} A, by {first_a:.3f} A when the campaign began: {cure}"
        return ""
