# SPDX-License-Identifier: Apache-2.0
"""A campaign with no faults in the virtual Chaos Box, at its real pace: what ``make collect`` does, for longer."""

from __future__ import annotations

import time

from bench.collecting import TRAJECTORY_S, collecting
from bench.result import Check, Options, Result

_PATIENCE_S = 600.0


def run(options: Options) -> Result:
    """Collect for some minutes; the numbers are those of the campaign's report."""
    count = max(3, round(60.0 * options.minutes / TRAJECTORY_S))
    words = ["--speed", "1", "--seed", str(options.seed), "--headless"]
    words += ["--realtime"] if options.realtime else []
    with collecting(count, "full", *words) as campaign:
        campaign.until_done(1, _PATIENCE_S)
        begin_s, before = time.monotonic(), campaign.usage()
        # All but the last, whose end ends the processes too.
        campaign.until_done(count - 1, 2.0 * count * TRAJECTORY_S + _PATIENCE_S)
        cpu = campaign.cpu_percent(before, time.monotonic() - begin_s)
        campaign.until_done(count, _PATIENCE_S)
        while not campaign.ended:
            time.sleep(0.5)
        numbers, problems = campaign.numbers(), campaign.problems()
    counts, errors, losses = numbers["counts"], numbers["period_error"], numbers["losses"]
    duty = 100.0 * numbers["time"]["duty_cycle"]
    kept = 100.0 * counts["done"] * TRAJECTORY_S / numbers["time"]["elapsed_s"]
    lost = losses["lost"] + losses["dropped"]
    again = counts["attempts_rejected"] + counts["attempts_interrupted"]
    rows = [
        ["trajectories done", counts["done"]],
        ["attempts cut short or rejected", again],
        ["duty cycle, %", duty],
        ["the same, finished trajectories only, %", kept],
        ["20 Hz period error, p50, ms", errors["p50_ms"]],
        ["20 Hz period error, p99, ms", errors["p99_ms"]],
        ["20 Hz period error, max, ms", errors["max_ms"]],
        ["missed ticks", losses["missed_ticks"]],
        ["messages recorded", losses["messages"]],
        ["messages lost or dropped", lost],
        ["kB a trajectory on disk", sum(numbers["trajectories"]["bytes"]) / counts["done"] / 1e3],
        *([f"CPU of {name}, % of a core", share] for name, share in cpu.items()),
    ]
    return Result(
        f"A campaign in the Chaos Box, {count} trajectories of 20 s",
        ["what", "value"],
        rows,
        [
            Check("duty cycle, %", duty, 99.0, at_most=False),
            Check("20 Hz period error, p99, ms", errors["p99_ms"], 1.0),
            Check("missed ticks", losses["missed_ticks"], 0),
            Check("messages lost or dropped", lost, 0),
            Check("attempts cut short or rejected", again, 0),
            Check("disagreements of ledger and bags", len(problems), 0),
        ],
        [
            "110 soft balls, full load; virtual hand, bus, driver, recorder, replay and collect are processes of this "
            "machine, on its clock",
            "duty cycle: time in steps of trajectories over all time from the first word of the replay on",
            "period: begin of a tick to begin of the next, all ticks of the run",
            *problems[:3],
        ],
        {"cpu_percent": cpu, "period_error": errors, "reasons": numbers["reasons"]},
    )
