# SPDX-License-Identifier: Apache-2.0
"""The bad day: a silent motor, and lost replies. Ours and the stock SDK's on the same virtual bus."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from bench.bus_programs import PROGRAMS, Program, goal
from bench.paced_bus import PacedBus
from bench.result import Check, Options, Result

__all__ = ["run", "staleness"]

_SILENT = 5
_OTHERS = np.arange(16) != _SILENT
_RATE_HZ = 100.0
_LOSS = 0.01


def staleness(fresh: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Age of each motor's value in slots: 0 = read in this slot.

    Args:
        fresh: which values were read in which slot, (slots, motors); all are taken as fresh before.

    Returns:
        (slots, motors).
    """
    slot = np.arange(len(fresh))[:, None]
    last = np.where(fresh, slot, -1)
    return slot - np.maximum.accumulate(last, axis=0)


def run(options: Options) -> Result:
    """Measure every program on every bad day."""
    rows = []
    checks = []
    with PacedBus(options.seed) as bus:
        for name, make in PROGRAMS.items():
            program = make(bus.port)
            program.open()
            healthy = _free_rate(program, options.seconds / 2)
            bus.inject("silent_motor", _SILENT)
            silent = _free_rate(program, options.seconds)
            paced = _paced(program, options.seconds)[:, _OTHERS]
            bus.inject("clear")
            _free_rate(program, min(1.0, options.seconds))
            for motor in range(16):
                bus.inject("lost_reply", motor, _LOSS)
            lossy = staleness(_paced(program, options.seconds))
            bus.inject("clear")
            program.close()
            share = silent / healthy if healthy else 0.0
            worst, late = int(lossy.max()), float((lossy > 0).any(axis=1).mean())
            rows.append(
                [name, healthy, silent, share, float(paced.mean()) * _RATE_HZ, worst, 100 * late]
            )
            if name == "ours":
                checks = [
                    Check("one motor silent: the others' rate over the healthy rate", share, 0.8,
                          at_most=False),
                    Check("one motor silent: share of 100 Hz kept", float(paced.mean()), 0.8,
                          at_most=False),
                    Check("1 % lost replies: oldest value, cycles", worst, 2),
                ]  # fmt: skip
    return Result(
        "A bad day on the bus",
        ["program", "healthy Hz", "motor silent Hz", "ratio", "silent, asked at 100 Hz: Hz",
         "1 % lost: oldest, cycles", "cycles with an old value, %"],
        rows,
        checks,
        [
            f"motor {_SILENT} silent: fresh values a second of each of the other fifteen",
            "1 % lost: each motor's reply is lost with probability 0.01 (in a fast read it is the "
            "rest of the packet from there); asked at 100 Hz, a skipped slot counts as a cycle",
            "a stock program has nothing from a group read that failed, as in LEAP_Hand_API",
        ],
        {"seconds": options.seconds, "loss": _LOSS, "silent_motor": _SILENT},
    )  # fmt: skip


def _free_rate(program: Program, seconds: float) -> float:
    """Fresh values a second of each motor but the silent one, going as fast as it goes."""
    begin = time.perf_counter()
    fresh = 0.0
    cycle = 0
    while (now := time.perf_counter()) - begin < seconds:
        fresh += program.cycle(goal(cycle))[_OTHERS].mean()
        cycle += 1
    return fresh / (now - begin)


def _paced(program: Program, seconds: float) -> NDArray[np.bool_]:
    """Fresh values by slot of a 100 Hz loop on absolute deadlines, late slots skipped, (slots, 16)."""
    slots = max(1, round(seconds * _RATE_HZ))
    fresh: NDArray[np.bool_] = np.zeros((slots, 16), dtype=bool)
    begin = time.perf_counter()
    slot = 0
    while slot < slots:
        wait = begin + slot / _RATE_HZ - time.perf_counter()
        if wait > 0:
            time.sleep(wait)
        fresh[slot] = program.cycle(goal(slot))
        slot = max(slot + 1, int((time.perf_counter() - begin) * _RATE_HZ))
    return fresh
