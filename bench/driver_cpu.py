# SPDX-License-Identifier: Apache-2.0
"""What the driver costs at 100 Hz, publishing to a subscriber, beside a stock SDK loop without ROS.

``python -m bench.driver_cpu PORT SECONDS`` is that loop: read, convert, write, 100 times a second.
"""

from __future__ import annotations

import subprocess
import sys
import time

from bench.bus_programs import StockSdk, goal
from bench.live_system import Listener, cpu_s, running
from bench.paced_bus import ROOT, PacedBus
from bench.result import Check, Options, Result
from dexndm_ros.nodes._demo_events import StateSeen

_RATE_HZ = 100.0


class _States(Listener):
    def __init__(self) -> None:
        self.count = 0

    def on_state(self, state: StateSeen) -> None:
        """A hand/state arrived."""
        self.count += 1


def run(options: Options) -> Result:
    """Measure one after the other on the same virtual bus."""
    with PacedBus(options.seed) as bus:
        driver, states_hz = _driver(bus.port, options.seconds)
        plain, plain_hz = _stock(bus.port, options.seconds, fast=False)
        fast, fast_hz = _stock(bus.port, options.seconds, fast=True)
    rows = [
        ["leap_hand_driver (guard, health, ROS 2)", 100 * driver, states_hz, driver / plain],
        ["stock SDK loop, sync read (no ROS)", 100 * plain, plain_hz, 1.0],
        ["stock SDK loop, fast sync read (no ROS)", 100 * fast, fast_hz, fast / plain],
    ]
    return Result(
        "CPU of one process at 100 Hz",
        ["process", "% of a core", "cycles a second", "ratio to the stock loop"],
        rows,
        [Check("driver at 100 Hz, share of one core", driver, 0.2)],
        ["user and system time of all threads, from /proc; torque on, holding; one subscriber"],
        {"seconds": options.seconds, "rate_hz": _RATE_HZ},
    )


def _driver(port: str, seconds: float) -> tuple[float, float]:
    """(share of a core, states a second) of the driver node."""
    sink = _States()
    arguments = {"sim": "false", "port": port, "rate": f"{_RATE_HZ:g}"}
    with running("leap_hand", arguments, sink) as live:
        live.until(lambda: sink.count > 20, "the first hand/state")
        live.trigger("hand/enable")
        pid = live.processes.pids["leap_hand_driver"]
        begin, used, count = time.monotonic(), cpu_s(pid), sink.count
        live.until(lambda: time.monotonic() - begin >= seconds, "the end", seconds + 60.0)
        span = time.monotonic() - begin
        return (cpu_s(pid) - used) / span, (sink.count - count) / span


def _stock(port: str, seconds: float, fast: bool) -> tuple[float, float]:
    words = [sys.executable, "-m", "bench.driver_cpu", port, str(seconds), str(int(fast))]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    share, rate = done.stdout.split()
    return float(share), float(rate)


def _loop(port: str, seconds: float, fast: bool) -> None:
    program = StockSdk(port, fast)
    program.open()
    begin = time.monotonic()
    used = time.process_time()
    slot = fresh = 0
    while (now := time.monotonic()) - begin < seconds:
        wait = begin + slot / _RATE_HZ - now
        if wait > 0:
            time.sleep(wait)
        fresh += bool(program.cycle(goal(slot)).all())
        slot = max(slot + 1, int((time.monotonic() - begin) * _RATE_HZ))
    span = time.monotonic() - begin
    print((time.process_time() - used) / span, fresh / span)
    program.close()


if __name__ == "__main__":
    _loop(sys.argv[1], float(sys.argv[2]), sys.argv[3] == "1")
