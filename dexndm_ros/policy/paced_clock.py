# SPDX-License-Identifier: Apache-2.0
"""A clock that follows another one, known only from samples of it: simulated time from ``/clock``.

Samples come late by a varying delay and never early, so the true time is a line above them. Its rate
and height are taken from the least delayed samples at both ends of a short window; between samples the
clock runs on at that rate, but never for longer than ``hold_s``: when they stop, it stands still.

Pure: no ROS. One thread feeds samples, others ask the time and sleep.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["PacedClock", "PacedConfig"]

_NS = 1_000_000_000


@dataclass(frozen=True, kw_only=True)
class PacedConfig:
    """How samples are turned into time. All times here are real ones.

    Attributes:
        window_s: samples this young make the estimate; a change of rate is followed within it.
        least_s: the clock does not run before its samples span this much.
        hold_s: how far the clock runs on after the last sample.
        delay_s: the most that the newest sample is taken to have been late.
        nap_s: the longest that a sleep lasts before the rate is looked at again.
        jump_s: a sample further ahead than this, in simulated time and beyond twice what the rate
            explains, is no passing of time but another clock; one that lies back always is.
    """

    window_s: float = 0.25
    least_s: float = 0.02
    hold_s: float = 0.2
    delay_s: float = 0.03
    nap_s: float = 0.02
    jump_s: float = 1.0

    def __post_init__(self) -> None:
        """Refuse times that are none."""
        for name, value in vars(self).items():
            if not 0.0 < value < 3600.0:
                raise ValueError(f"PacedConfig.{name} is {value!r}; it must be above 0 s")
        if self.least_s > self.window_s:
            raise ValueError("PacedConfig.least_s must not exceed window_s")


class PacedClock:
    """Simulated time, smooth between its samples. It implements ``Clock``.

    Two times come from it. ``now_ns`` is for loops: it starts at 0 and never goes back; when the
    samples jump (the simulation was restarted) it goes on from where it was. ``time_ns`` is for stamps: it
    is the samples' own time, jumps included.

    Args:
        config: how samples are turned into time.
        monotonic_ns: the machine's monotonic clock.
        sleep: waits for some seconds of the machine's time.
    """

    def __init__(
        self,
        config: PacedConfig | None = None,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._config = config = config or PacedConfig()
        self._monotonic_ns = monotonic_ns
        self._sleep = sleep
        self._hold_ns = round(config.hold_s * _NS)
        self._lock = threading.Lock()
        self._samples: deque[tuple[int, int]] = deque()  # (machine's time, simulated time)
        self._last: tuple[int, int] | None = None
        self._anchor = (0, 0)
        self._rate = 0.0
        self._known = False
        self._fold_ns = 0
        self._told_ns = 0
        self.jumps = 0
        """How often the samples jumped."""

    @property
    def running(self) -> bool:
        """Whether time passes: the rate is known and the last sample is young."""
        with self._lock:
            last = self._last
            return (
                self._known
                and last is not None
                and self._monotonic_ns() - last[0] < self._hold_ns
                and self._rate > 0.0
            )

    @property
    def rate(self) -> float:
        """Simulated seconds in a second; 0 before it is known."""
        return self._rate

    # --- the thread that hears the samples ----------------------------------------------------

    def sample(self, time_ns: int, monotonic_ns: int | None = None) -> None:
        """Take a sample.

        Args:
            time_ns: the simulated time that it tells.
            monotonic_ns: when it came, on the machine's monotonic clock; default now.
        """
        at_ns = self._monotonic_ns() if monotonic_ns is None else monotonic_ns
        with self._lock:
            last = self._last
            if last is None:
                self._begin(at_ns, time_ns, loop_ns=0)
                return
            elapsed_ns = max(0, at_ns - last[0])
            if self._is_jump(time_ns - last[1], elapsed_ns):
                self.jumps += 1
                self._begin(at_ns, time_ns, loop_ns=self._loop_ns(at_ns))
                return
            if elapsed_ns > self._hold_ns:
                self._samples.clear()  # time may have stood still: no line goes through the gap
            self._last = (at_ns, time_ns)
            self._samples.append(self._last)
            oldest_ns = at_ns - round(self._config.window_s * _NS)
            while self._samples[0][0] < oldest_ns:
                self._samples.popleft()
            self._fit()

    def _is_jump(self, advance_ns: int, elapsed_ns: int) -> bool:
        explained_ns = 2.0 * self._rate * elapsed_ns + self._config.jump_s * _NS
        return advance_ns < 0 or advance_ns > explained_ns

    def _begin(self, at_ns: int, time_ns: int, loop_ns: int) -> None:
        """Start afresh; loops see ``loop_ns`` now, and the rate known so far is kept."""
        self._last = self._anchor = (at_ns, time_ns)
        self._samples.clear()
        self._samples.append(self._last)
        self._fold_ns = time_ns - loop_ns

    def _fit(self) -> None:
        """The line through the least delayed samples of the window's first and last third."""
        samples = self._samples
        first, last = samples[0], samples[-1]
        span_ns = last[0] - first[0]
        if span_ns < self._config.least_s * _NS or span_ns <= 0:
            self._anchor = last
            return
        third_ns = span_ns // 3
        head = [sample for sample in samples if sample[0] <= first[0] + third_ns]
        tail = [sample for sample in samples if sample[0] >= last[0] - third_ns]
        early, late = first, last
        for _ in range(2):  # the ends may be late ones: once more with the better slope
            slope = (late[1] - early[1]) / (late[0] - early[0])
            early = max(head, key=lambda s: s[1] - first[1] - slope * (s[0] - first[0]))
            late = max(tail, key=lambda s: s[1] - first[1] - slope * (s[0] - first[0]))
        self._anchor = late
        self._rate = (late[1] - early[1]) / (late[0] - early[0])
        self._known = True

    # --- any thread ---------------------------------------------------------------------------

    def time_ns(self, monotonic_ns: int | None = None) -> int:
        """The samples' time at a moment of the machine's monotonic clock (default now); 0 = no sample yet."""
        at_ns = self._monotonic_ns() if monotonic_ns is None else monotonic_ns
        with self._lock:
            return self._estimate_ns(at_ns)

    def now_ns(self) -> int:
        """Monotonic simulated time, from 0 at the first sample."""
        with self._lock:
            return self._loop_ns(self._monotonic_ns())

    def sleep_until_ns(self, deadline_ns: int) -> None:
        """Return when ``now_ns`` reaches the deadline, or after ``nap_s`` of real time: ask and sleep on."""
        left_ns = deadline_ns - self.now_ns()
        if left_ns <= 0:
            return
        wait_s = self._config.nap_s
        if self.running:
            wait_s = min(wait_s, left_ns / self._rate / _NS)
        self._sleep(wait_s)

    def _loop_ns(self, at_ns: int) -> int:
        self._told_ns = max(self._told_ns, self._estimate_ns(at_ns) - self._fold_ns)
        return self._told_ns

    def _estimate_ns(self, at_ns: int) -> int:
        last = self._last
        if last is None:
            return 0
        if not self._known:
            return last[1]
        age_ns = min(at_ns - last[0], self._hold_ns)
        anchor_ns, anchor_time_ns = self._anchor
        line_ns = anchor_time_ns + round(self._rate * (last[0] + age_ns - anchor_ns))
        low_ns = last[1] + round(self._rate * min(age_ns, 0))
        high_ns = last[1] + round(self._rate * (age_ns + self._config.delay_s * _NS))
        return min(max(line_ns, low_ns), high_ns)
