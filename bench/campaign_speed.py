# SPDX-License-Identifier: Apache-2.0
"""How much faster than real time the virtual hand can collect: asked for, obtained, and what it costs."""

from __future__ import annotations

import math
import os
import time

from bench.collecting import TRAJECTORY_S, collecting
from bench.result import Check, Options, Result

SPEEDS = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)
LOADS = ("free", "full")
_START_S = 120.0
_KEEPS_UP = 0.97
_COLUMNS = ("obtained", "done", "cut short", "lost", "duty %", "load")
_PROCESSES = ("virtual_leap_hand", "leap_hand_driver", "episode_recorder", "chaos_box_replay")


def run(options: Options) -> Result:
    """Each speed for some seconds from the first finished trajectory on, up to the first that is not held."""
    rows, fastest = [], dict.fromkeys(LOADS, math.nan)
    for load in LOADS:
        for speed in SPEEDS[:2] if options.quick else SPEEDS:
            obtained, done, short, *rest = _measure(load, speed, options)
            rows.append([f"{load}, {speed:g} x", obtained, done, short, *rest])
            print(
                "  ".join(
                    f"{each:.3g}" if isinstance(each, float) else str(each) for each in rows[-1]
                ),
                flush=True,
            )
            if not obtained > _KEEPS_UP * speed:
                break
            if not short:
                fastest[load] = speed
    return Result(
        f"Speed of collection, {options.seconds:g} s each",
        ["hand load, speed", *_COLUMNS, *(f"{name} %" for name in _PROCESSES)],
        rows,
        [Check(f"{load}: fastest with no trajectory cut short", speed, 1.0, at_most=False)
         for load, speed in fastest.items()],
        [
            "obtained: simulated seconds in a second; cut short: attempts that were redone; load: processes that "
            "wanted a core (1 min average)",
            "then CPU of each process, % of a core; it is one interpreter, and cannot have more than about 100",
            f"bus cycles: {options.rate:g} a simulated second, at most 500 a real one",
        ],
        {"fastest": fastest},
    )  # fmt: skip


def _measure(load: str, speed: float, options: Options) -> list[float]:
    """The cells of ``_COLUMNS`` and ``_PROCESSES``."""
    count = int(2.0 * speed * (options.seconds + _START_S) / TRAJECTORY_S) + 10
    words = ["--speed", f"{speed:g}", "--rate", f"{options.rate:g}", "--headless"]
    with collecting(count, load, *words) as campaign:
        try:
            campaign.until_done(1, _START_S)
        except RuntimeError as error:  # a row without numbers says so, too
            print(f"{load}, {speed:g} x: {error}", flush=True)
        begin_s, before = time.monotonic(), campaign.usage()
        while time.monotonic() < begin_s + options.seconds and not campaign.ended:
            time.sleep(0.5)
        cpu = campaign.cpu_percent(before, time.monotonic() - begin_s)
        sums, where = campaign.sums(), campaign.where()
    duty = where.replayed_s / where.elapsed_s if where and where.elapsed_s else math.nan
    return [
        sums.obtained,
        sums.done,
        sums.again,
        sums.lost,
        100.0 * duty,
        os.getloadavg()[0],
        *(cpu.get(name, math.nan) for name in _PROCESSES),
    ]
