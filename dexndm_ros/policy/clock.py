# SPDX-License-Identifier: Apache-2.0
"""A control loop's own thread on absolute monotonic deadlines, in real or in simulated time.

Late slots are skipped and counted, never caught up in a burst. The loop keeps fixed-bin histograms
of its own timing, so that a night of ticks costs no memory.
"""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from dexndm_ros.policy.realtime import RealtimeConfig, RealtimeReport, apply_realtime

__all__ = [
    "Clock",
    "DeadlineLoop",
    "Histogram",
    "LoopConfig",
    "LoopStatistics",
    "MonotonicClock",
    "Tick",
    "alignment_ns",
]

_NS = 1_000_000_000


class Clock(Protocol):
    """Time as the loop sees it."""

    def now_ns(self) -> int:
        """Monotonic time."""

    def sleep_until_ns(self, deadline_ns: int) -> None:
        """Return at the deadline, or at once if it has passed.

        A clock that can stand still returns early, soon enough for the caller to see whether it is
        still to wait; who needs the deadline asks ``now_ns`` and sleeps on.
        """


class MonotonicClock:
    """The machine's monotonic clock."""

    def now_ns(self) -> int:
        """Monotonic time."""
        return time.monotonic_ns()

    def sleep_until_ns(self, deadline_ns: int) -> None:
        """Return at the deadline, or at once if it has passed."""
        remaining_ns = deadline_ns - time.monotonic_ns()
        if remaining_ns > 0:
            time.sleep(remaining_ns / _NS)  # clock_nanosleep on an absolute monotonic deadline


class Tick(NamedTuple):
    """One slot of the loop.

    Attributes:
        number: count of ticks run, from 0.
        deadline_ns: when it was due, on the loop's clock.
        start_ns: when it began, likewise.
        missed: slots skipped since the loop started.
    """

    number: int
    deadline_ns: int
    start_ns: int
    missed: int


class Histogram:
    """Counts of non-negative times in fixed bins; the last bin takes all above the range.

    Attributes:
        bin_ns: width of a bin.
        count: values recorded.
        max_ns: largest value, exact.
    """

    def __init__(self, bin_ns: int = 10_000, bins: int = 10_000) -> None:
        self.bin_ns = bin_ns
        self.count = 0
        self.max_ns = 0
        self._sum_ns = 0
        self._bins = [0] * bins

    def record(self, value_ns: int) -> None:
        """Count one value."""
        index = value_ns // self.bin_ns
        self._bins[index if index < len(self._bins) else -1] += 1
        self.count += 1
        self._sum_ns += value_ns
        if value_ns > self.max_ns:
            self.max_ns = value_ns

    def quantile_ms(self, fraction: float) -> float:
        """What ``fraction`` of all values do not exceed, to its bin's upper edge; NaN if empty."""
        bins = list(self._bins)  # one step of the interpreter: the loop may record meanwhile
        total = sum(bins)
        if total == 0:
            return float("nan")
        below = 0
        for index, count in enumerate(bins[:-1]):
            below += count
            if below >= fraction * total:
                return min((index + 1) * self.bin_ns, self.max_ns) / 1e6
        return self.max_ns / 1e6

    def to_dict(self) -> dict[str, Any]:
        """For JSON: width of a bin, largest value, and the counts of the bins that are not empty."""
        bins = list(self._bins)
        counts = {str(index): count for index, count in enumerate(bins) if count}
        return {"bin_ns": self.bin_ns, "max_ns": self.max_ns, "counts": counts}

    def add(self, data: Mapping[str, Any]) -> None:
        """Add the counts of another one's ``to_dict``; bins of the same width. Its mean is not known."""
        if data["bin_ns"] != self.bin_ns:
            raise ValueError(
                f"bins of {data['bin_ns']} ns do not fit into bins of {self.bin_ns} ns"
            )
        for index, count in data["counts"].items():
            self._bins[min(int(index), len(self._bins) - 1)] += count
            self.count += count
        self.max_ns = max(self.max_ns, data["max_ns"])

    def mean_ms(self) -> float:
        """Mean value; NaN if empty."""
        return self._sum_ns / self.count / 1e6 if self.count else float("nan")


@dataclass(frozen=True)
class LoopStatistics:
    """Timing of a loop since it started or was last asked to forget.

    Attributes:
        ticks: ticks run since the start.
        missed: slots skipped since the start.
        period_ms_p50: median time between the starts of consecutive ticks; likewise p99 and max.
        period_error_ms_p99: difference between that time and the period, absolute; likewise max.
        lateness_ms_p50: start of a tick after its deadline; likewise p99 and max.
        work_ms_p50: duration of the step; likewise p99 and max.
    """

    ticks: int
    missed: int
    period_ms_p50: float
    period_ms_p99: float
    period_ms_max: float
    period_error_ms_p99: float
    period_error_ms_max: float
    lateness_ms_p50: float
    lateness_ms_p99: float
    lateness_ms_max: float
    work_ms_p50: float
    work_ms_p99: float
    work_ms_max: float


@dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """Settings of a ``DeadlineLoop``.

    Attributes:
        rate_hz: ticks a second.
        name: of the thread.
        unrecorded_ticks: first ticks left out of the statistics.
        freeze_gc: after warm-up collect once and freeze: no collection walks the start-up heap.
        realtime: scheduling asked for; off by default.
    """

    rate_hz: float
    name: str = "control"
    unrecorded_ticks: int = 3
    freeze_gc: bool = True
    realtime: RealtimeConfig = field(default_factory=RealtimeConfig)

    def __post_init__(self) -> None:
        if not 0.0 < self.rate_hz <= 10_000.0:
            raise ValueError(f"rate_hz is {self.rate_hz!r}; a loop runs at 0 to 10000 Hz")

    @property
    def period_ns(self) -> int:
        """Time between deadlines."""
        return round(_NS / self.rate_hz)


def alignment_ns(ages_ns: Sequence[int], margin_ns: int = 200_000) -> int:
    """The shift after which a loop's ticks come just after its input does.

    Two loops on one monotonic clock, one rate a multiple of the other, keep their distance: shifted
    once, every tick finds an input that is there and as fresh as it can be.

    Args:
        ages_ns: age of the newest input at each of some ticks.
        margin_ns: age wanted, enough for an input that comes a little late.
    """
    return margin_ns - sorted(ages_ns)[len(ages_ns) // 2]


class DeadlineLoop:
    """Calls ``step`` once a period.

    Args:
        config: rate and scheduling.
        step: the work of one slot; an exception ends the loop.
        warm_up: called once in the loop's thread before the first deadline is set.
        on_exit: called last in the loop's thread, however it ends, with the exception or None.
        clock: the time to live by.
    """

    def __init__(
        self,
        config: LoopConfig,
        step: Callable[[Tick], None],
        *,
        warm_up: Callable[[], None] | None = None,
        on_exit: Callable[[BaseException | None], None] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.config = config
        self.realtime: RealtimeReport | None = None
        """What the scheduling block got; None before the loop runs."""
        self.error: BaseException | None = None
        """What ended the loop, if an exception did."""
        self._step = step
        self._warm_up = warm_up
        self._on_exit = on_exit
        self._clock = clock or MonotonicClock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._shift_ns = 0
        self._ticks = 0
        self._missed = 0
        self.forget_statistics()

    def start(self) -> None:
        """Run in a thread of its own."""
        if self._thread is not None:
            raise RuntimeError(f"loop {self.config.name!r} was started before; make a new one")
        self._thread = threading.Thread(target=self.run, name=self.config.name, daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> bool:
        """End after the present slot, also from the step itself; True when the thread has ended."""
        self._stop.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout_s)
        return not self.running

    @property
    def running(self) -> bool:
        """Whether the loop's thread is alive."""
        return self._thread is not None and self._thread.is_alive()

    def shift(self, offset_ns: int) -> None:
        """Move all later deadlines by this much; call it from the step. No slot counts as late."""
        self._shift_ns += offset_ns

    @property
    def period_error(self) -> Histogram:
        """Distribution of the difference between the time from tick to tick and the period."""
        return self._period_error

    def forget_statistics(self) -> None:
        """Start the histograms afresh; the counts of ticks and missed slots go on."""
        self._period = Histogram()
        self._period_error = Histogram()
        self._lateness = Histogram()
        self._work = Histogram()

    def statistics(self) -> LoopStatistics:
        """Timing so far; may be called from any thread."""
        period, error, late, work = self._period, self._period_error, self._lateness, self._work
        return LoopStatistics(
            ticks=self._ticks,
            missed=self._missed,
            period_ms_p50=period.quantile_ms(0.5),
            period_ms_p99=period.quantile_ms(0.99),
            period_ms_max=period.max_ns / 1e6,
            period_error_ms_p99=error.quantile_ms(0.99),
            period_error_ms_max=error.max_ns / 1e6,
            lateness_ms_p50=late.quantile_ms(0.5),
            lateness_ms_p99=late.quantile_ms(0.99),
            lateness_ms_max=late.max_ns / 1e6,
            work_ms_p50=work.quantile_ms(0.5),
            work_ms_p99=work.quantile_ms(0.99),
            work_ms_max=work.max_ns / 1e6,
        )

    def run(self) -> None:
        """Run in the calling thread until stopped. ``start`` calls this."""
        try:
            self.realtime = apply_realtime(self.config.realtime)
            if self._warm_up is not None:
                self._warm_up()
            if self.config.freeze_gc:
                gc.collect()
                gc.freeze()
            self._run_slots()
        except BaseException as error:
            self.error = error
            if self._on_exit is None:
                raise
        finally:
            if self._on_exit is not None:
                self._on_exit(self.error)

    def _run_slots(self) -> None:
        clock, period_ns = self._clock, self.config.period_ns
        deadline_ns = clock.now_ns() + period_ns
        previous_ns: int | None = None
        while True:
            start_ns = clock.now_ns()
            while start_ns < deadline_ns and not self._stop.is_set():
                clock.sleep_until_ns(deadline_ns)
                start_ns = clock.now_ns()
            if self._stop.is_set():
                return
            late_ns = start_ns - deadline_ns
            skipped = late_ns // period_ns
            if skipped > 0:
                self._missed += skipped
                deadline_ns += skipped * period_ns
                late_ns -= skipped * period_ns
            recorded = self._ticks >= self.config.unrecorded_ticks
            if recorded:
                self._lateness.record(max(late_ns, 0))
                if previous_ns is not None:
                    self._period.record(start_ns - previous_ns)
                    self._period_error.record(abs(start_ns - previous_ns - period_ns))
            self._step(Tick(self._ticks, deadline_ns, start_ns, self._missed))
            self._ticks += 1
            if recorded:
                self._work.record(clock.now_ns() - start_ns)
            previous_ns = start_ns
            deadline_ns += period_ns
            if self._shift_ns:
                deadline_ns, self._shift_ns, previous_ns = deadline_ns + self._shift_ns, 0, None
