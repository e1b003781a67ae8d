# SPDX-License-Identifier: Apache-2.0
"""A full bus cycle on the paced virtual bus, as fast as each program can go."""

from __future__ import annotations

import time

import numpy as np

from bench.bus_programs import PROGRAMS, Program, goal
from bench.paced_bus import WIRE_LIMIT_MS, WIRE_LIMIT_PLAIN_MS, PacedBus
from bench.result import Check, Options, Result, quantiles

_BLOCKS = 5
_WARM_UP = 20


def run(options: Options) -> Result:
    """Measure, the programs taking turns so that all meet the same machine."""
    times_ms: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    lost = dict.fromkeys(PROGRAMS, 0)
    with PacedBus(options.seed) as bus:
        for _ in range(_BLOCKS):
            for name, make in PROGRAMS.items():
                program = make(bus.port)
                program.open()
                block, missed = _block(program, max(1, options.cycles // _BLOCKS))
                program.close()
                times_ms[name] += block
                lost[name] += missed
    rows = []
    for name, values in times_ms.items():
        p50, p99 = quantiles(values, 0.5, 0.99)
        limit = WIRE_LIMIT_PLAIN_MS if name.endswith(", sync read") else WIRE_LIMIT_MS
        rows.append([name, p50, p99, limit, p50 / limit, p50 / WIRE_LIMIT_MS, lost[name]])
    ours = rows[0]
    return Result(
        "Read of 16 motors (10 bytes each) and write of 16 goals, 4 Mbps",
        ["program", "median ms", "p99 ms", "own wire limit ms", "ratio to it",
         f"ratio to {WIRE_LIMIT_MS} ms", "cycles lost"],
        rows,
        [Check("ours, median over the wire limit", ours[5], 1.2)],
        ["a cycle is counted from its begin to the begin of the next; the wire is busy all the time"],
        {"cycles_a_program": len(times_ms["ours"]), "blocks": _BLOCKS},
    )  # fmt: skip


def _block(program: Program, cycles: int) -> tuple[list[float], int]:
    """Times from cycle to cycle, ms, and cycles without a complete read."""
    for k in range(_WARM_UP):
        program.cycle(goal(k))
    lost = 0
    begins = [time.perf_counter()]
    for k in range(cycles):
        lost += not program.cycle(goal(k)).all()
        begins.append(time.perf_counter())
    return (np.diff(begins) * 1e3).tolist(), lost
