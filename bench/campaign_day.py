# SPDX-License-Identifier: Apache-2.0
"""A day of collection, faster than real time: does any process grow?

The free hand, for its physics costs little; all else is as in the box. Nothing is kept but numbers, written after
each sample: a run that is cut short is not lost.
"""

from __future__ import annotations

import contextlib
import math
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from bench.collecting import TRAJECTORY_S, Collection, Sums, Usage, collecting
from bench.result import Check, Options, Result

__all__ = ["Slope", "run", "slope"]

PARTIAL = Path(__file__).parent / "results" / "campaign_day.partial.json"
_SAMPLES = 96  # a day's quarter hours
_SKIPPED = 0.1
_SURE = 2.0
"""Standard errors; a slope is above its own by chance in one of forty cases."""
_MOST_MB_A_DAY = 5.0
_MOST_HANDLES_A_DAY = 1.0
_START_S = 600.0
_LOOK_S = 1.0
_MB, _HOUR_S, _DAY_H = 1e6, 3600.0, 24.0


@dataclass(frozen=True)
class Slope:
    """A straight line through samples.

    Attributes:
        value: per hour.
        error: its standard error.
    """

    value: float
    error: float

    @property
    def surely(self) -> float:
        """Growth per hour that the samples leave no doubt of; 0 = none, NaN = too few samples."""
        return float(np.maximum(0.0, self.value - _SURE * self.error))


def slope(hours: ArrayLike, values: ArrayLike) -> Slope:
    """Least squares. Residuals that hang together from sample to sample count as fewer samples.

    Args:
        hours: times, (N,).
        values: (N,); fewer than four, or no time between them, give NaN.
    """
    x, y = np.asarray(hours, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if len(x) < 4 or np.ptp(x) == 0.0:
        return Slope(math.nan, math.nan)
    x = x - x.mean()
    value = float(x @ y / (x @ x))
    rest = y - y.mean() - value * x
    power = float(rest @ rest)
    together = max(0.0, float(rest[1:] @ rest[:-1]) / power) if power else 0.0
    samples = max(3.0, len(x) * (1.0 - together) / (1.0 + together))
    return Slope(value, math.sqrt(power / (samples - 2.0) / float(x @ x)))


@dataclass
class Day:
    """What has been seen so far.

    Attributes:
        began_s: monotonic time of the first sample.
        hours: simulated, of each sample.
        usages: of the processes that were there, by name.
        sums: of the campaign, at the last sample.
        why: how it ended; empty = it goes on.
    """

    began_s: float = field(default_factory=time.monotonic)
    hours: list[float] = field(default_factory=list)
    usages: list[dict[str, Usage]] = field(default_factory=list)
    sums: Sums | None = None
    why: str = ""

    def sample(self, hours: float, campaign: Collection) -> None:
        """Take a sample."""
        self.hours.append(hours)
        self.usages.append(campaign.usage())
        self.sums = campaign.sums()

    def grown(self, name: str) -> dict[str, Any]:
        """One process in its last life: slopes per simulated hour after the first tenth, first and last values."""
        pid = next(usage[name].pid for usage in reversed(self.usages) if name in usage)
        lives = {usage[name].pid for usage in self.usages if name in usage}
        seen = [(hour, usage[name]) for hour, usage in zip(self.hours, self.usages, strict=True)
                if name in usage and usage[name].pid == pid]  # fmt: skip
        begin_h = seen[0][0] + _SKIPPED * (seen[-1][0] - seen[0][0])
        late = [(hour, usage) for hour, usage in seen if hour >= begin_h]
        hours, first, last = [hour for hour, _ in late], late[0][1], late[-1][1]
        return {
            "rss": slope(hours, [usage.rss_b / _MB for _, usage in late]),
            "uss": slope(hours, [usage.uss_b / _MB for _, usage in late]),
            "handles": slope(hours, [usage.handles for _, usage in late]),
            "uss_mb": (first.uss_b / _MB, last.uss_b / _MB),
            "rss_mb": (first.rss_b / _MB, last.rss_b / _MB),
            "open": (first.handles, last.handles),
            "threads": (first.threads, last.threads),
            "restarts": len(lives) - 1,
        }


def run(options: Options) -> Result:
    """Sample all processes a hundred times in the time asked for. Ctrl-C ends it early, with what there is."""
    count = math.ceil(1.1 * options.hours * _HOUR_S / TRAJECTORY_S) + 10
    words = ["--speed", f"{options.speed:g}", "--rate", f"{options.rate:g}", "--seed", str(options.seed),
             "--dashboard-port", str(_free_port())]  # fmt: skip
    problems: tuple[str, ...] = ()
    with collecting(count, "free", *words) as campaign:
        campaign.look_at_page()
        campaign.until_done(1, _START_S)
        day = Day()
        try:
            _watch(campaign, day, options)
        except (KeyboardInterrupt, SystemExit):
            day.why = "interrupted"
        campaign.stop()
        if not day.why:
            print("reading all bags again", flush=True)
            problems = campaign.problems()
    PARTIAL.unlink(missing_ok=True)
    return _result(day, options, problems)


def _watch(campaign: Collection, day: Day, options: Options) -> None:
    """Until the time is over, or the campaign ends."""
    step_h, due_h = options.hours / _SAMPLES, 0.0
    while not day.why:
        day.why = campaign.ended
        where = campaign.where()
        hours = where.elapsed_s / _HOUR_S if where else 0.0
        if hours >= due_h:
            due_h = hours + step_h
            day.sample(hours, campaign)
            _tell(day, options)
        if hours >= options.hours:
            return
        time.sleep(_LOOK_S)


def _tell(day: Day, options: Options) -> None:
    """Where it stands, for the person and for the case that this is the last sample."""
    assert day.sums is not None
    wall_s = time.monotonic() - day.began_s
    if not options.quick and len(day.hours) > 4:
        _result(day, options, ()).write(PARTIAL, "campaign_day", options, wall_s)
    gone_h = day.hours[-1] - day.hours[0]
    eta_s = wall_s * (options.hours - day.hours[-1]) / gone_h if gone_h else math.nan
    sizes = ", ".join(f"{name} {usage.uss_b / _MB:.1f}" for name, usage in day.usages[-1].items())
    print(
        f"{day.hours[-1]:.2f} of {options.hours:g} h, {day.sums.done} done, {day.sums.again} again, "
        f"{day.sums.lost} lost, {day.sums.obtained:.2f} x, {eta_s / 60.0:.0f} min to go; MB: {sizes}",
        flush=True,
    )


def _result(day: Day, options: Options, problems: tuple[str, ...]) -> Result:
    sums = day.sums
    assert sums is not None
    names = sorted({name for usage in day.usages for name in usage})
    grown = {name: day.grown(name) for name in names}
    rows = [
        [name, *g["uss_mb"], 1e3 * g["uss"].value, 1e3 * _SURE * g["uss"].error, 1e3 * g["rss"].value,
         1e3 * _SURE * g["rss"].error, *g["open"], g["handles"].value, g["restarts"]]
        for name, g in grown.items()
    ]  # fmt: skip
    memory = float(np.max([g["uss"].surely for g in grown.values()]))
    handles = float(np.max([g["handles"].surely for g in grown.values()]))
    return Result(
        f"{day.hours[-1]:.2f} simulated hours of collection, {sums.done} trajectories, "
        f"{sums.obtained:.2f} simulated seconds in a second",
        ["process", "USS MB, begin", "end", "kB an hour", "+-", "RSS kB an hour", "+-", "handles, begin", "end",
         "an hour", "restarts"],
        rows,
        [
            Check("simulated hours", day.hours[-1], options.hours, at_most=False),
            Check("growth of a process beyond doubt, MB a simulated day", _DAY_H * memory, _MOST_MB_A_DAY),
            Check("file handles, likewise", _DAY_H * handles, _MOST_HANDLES_A_DAY),
            Check("messages lost or dropped", sums.lost, 0),
            Check("disagreements of ledger and bags", len(problems), 0),
        ],
        [
            "slopes by least squares over the last nine tenths of the simulated time; +- two standard errors, wider "
            "where samples hang together",
            "USS: memory that a process has for itself; handles: files, sockets, pipes; a dashboard page is open",
            f"free hand, {options.speed:g} x asked for, {options.rate:g} bus cycles a simulated second (at most 500 a "
            f"real one); {sums.again} attempts were cut short or rejected and done again",
            *([f"ended early: {day.why}; bags not read again"] if day.why else []),
            *problems[:3],
        ],
        {
            "hours": day.hours,
            "uss_mb": {n: [u[n].uss_b / _MB if n in u else None for u in day.usages] for n in names},
            "rss_mb": {n: [u[n].rss_b / _MB if n in u else None for u in day.usages] for n in names},
            "handles": {n: [u[n].handles if n in u else None for u in day.usages] for n in names},
            "threads": {name: g["threads"] for name, g in grown.items()},
            "sums": vars(sums),
        },
    )  # fmt: skip


def _free_port() -> int:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as server:
        return int(server.getsockname()[1])
