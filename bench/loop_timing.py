# SPDX-License-Identifier: Apache-2.0
"""How the demo's loops keep time: the processes of ``dexndm demo``, and the demo's own measurements."""

from __future__ import annotations

import time

import numpy as np

from bench.live_system import running
from bench.result import Check, Options, Result, quantiles
from dexndm_ros.demo.restart import FallWatch
from dexndm_ros.demo.run import DemoRun

_PERIOD_MS = 50.0


def run(options: Options) -> Result:
    """Rotate for some minutes; falls are picked up, as the demo does."""
    seconds = 60.0 * options.minutes
    measured = DemoRun(simulated=True)
    arguments = {
        "sim": "true", "world": options.world, "policy": options.policy, "axis": options.axis,
        "wrist": options.wrist, "seed": options.seed,
        "realtime": "true" if options.realtime else "false",
    }  # fmt: skip
    with running("rotation_demo", arguments, measured) as live:
        falls = FallWatch(measured, live.observer.trigger)
        live.until(lambda: measured.began_ns is not None, "the policy to run")
        used, begin_s = live.cpu_s(), time.monotonic()

        def over() -> bool:
            falls.look(time.monotonic())
            if measured.fault:
                raise RuntimeError(f"the driver has stopped the hand: {measured.fault}")
            return measured.elapsed_s(time.time_ns()) >= seconds

        live.until(over, "the end", seconds + 120.0)
        span_s = time.monotonic() - begin_s
        cpu = {name: 100 * (value - used[name]) / span_s for name, value in live.cpu_s().items()}
    report = measured.report(options.policy, options.world)
    error_ms = np.abs(np.array(measured.period_ms) - _PERIOD_MS)
    delay, applied = np.array(measured.delay_ms), np.array(measured.applied_ms)
    rows = [
        ["joints read to command received", len(delay), *quantiles(delay, 0.5, 0.99, 1.0)],
        ["joints read to command in force", len(applied), *quantiles(applied, 0.5, 0.99, 1.0)],
        ["20 Hz period error", len(error_ms), *quantiles(error_ms, 0.5, 0.99, 1.0)],
    ]
    return Result(
        f"Loop timing over {options.minutes:g} min, {report.ticks} ticks",
        ["what, ms", "samples", "p50", "p99", "max"],
        rows,
        [
            Check("observation to command, p99, ms", rows[0][3], 5.0),
            Check("20 Hz period error, p99, ms", rows[2][3], 1.0),
            Check("missed ticks", report.missed_ticks, 0),
        ],
        [
            "received: in the callback of a subscription like the driver's, in another process",
            "in force: stamp of the first bus read after the motors had it; the bus runs at "
            f"{report.bus_hz or float('nan'):.0f} Hz",
            "CPU, % of a core: " + ", ".join(f"{name} {value:.0f}" for name, value in cpu.items()),
            f"reads lost: {report.lost_reads}; fell: {report.fell}",
        ],
        {"report": report.to_dict(), "cpu_percent": cpu},
    )
