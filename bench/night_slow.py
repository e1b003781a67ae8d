# SPDX-License-Identifier: Apache-2.0
"""The slow topics of a night's bag: health, status, wrist and diagnostics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.cdr_rows import Layout, message
from bench.night_clock import Clock, wall_ns
from bench.night_faults import Stream
from dexndm_ros.hand.joints import JOINT_NAMES
from dexndm_ros.replay.ledger_rows import Claim

__all__ = ["slow_streams"]

_SECOND_NS = 1_000_000_000
_RUNNING = 1


def slow_streams(
    types: Mapping[str, str],
    campaign: str,
    claim: Claim,
    wrist: Sequence[float],
    total: int,
    first_ns: int,
    last_ns: int,
    boot_ns: int,
    clock: Clock,
) -> list[Stream]:
    """Messages once a second, and the latched wrist at the begin.

    Args:
        types: of the topics.
        campaign: its name.
        claim: the row that is replayed.
        wrist: quaternion xyzw.
        total: rows of the plan.
        first_ns: begin of the bag, monotonic.
        last_ns: its end.
        boot_ns: begin of the night, monotonic.
        clock: the system clock.
    """
    at_ns = np.arange(first_ns + _SECOND_NS // 7, last_ns, _SECOND_NS)
    if not len(at_ns):
        at_ns = np.array([first_ns])
    hours = (at_ns - boot_ns) / 3.6e12
    warm = 28.0 + 16.0 * (1.0 - np.exp(-hours / 0.4))
    temperature = np.rint(warm[:, None] + 1.5 * np.sin(np.arange(16)))
    health = {
        "voltage": np.full(16, 5.0), "responding": np.ones(16, bool), "bus_hz": 200.0,
        "cycle_ms_p50": 1.61, "cycle_ms_max": 2.9,
    }  # fmt: skip
    status = {
        "campaign": campaign, "state": _RUNNING, "done": claim.entry, "total": total,
        "trajectory": claim.trajectory, "entry": claim.entry, "attempt": claim.attempt, "duty_cycle": 0.99,
        "directory": "campaigns/night",
    }  # fmt: skip
    since_s = (at_ns - first_ns) / 1e9
    x, y, z, w = wrist
    latched = {"header": {"frame_id": "world"}, "quaternion": {"x": x, "y": y, "z": z, "w": w}}
    return [
        _stream(types, "/hand/health", health, at_ns, clock, temperature=temperature),
        _stream(types, "/replay/status", status, at_ns + 3_000_000, clock,
                step=np.minimum(399, since_s * 20).astype(int), eta_s=(total - claim.entry) * 20.4 - since_s),
        _stream(types, "/diagnostics", {"status": _diagnostics()}, at_ns + 4_000_000, clock),
        _wrist(types, latched, boot_ns, first_ns, clock),
    ]  # fmt: skip


def _wrist(
    types: Mapping[str, str],
    example: Mapping[str, Any],
    published_ns: int,
    log_ns: int,
    clock: Clock,
) -> Stream:
    stream = _stream(types, "/wrist/orientation", example, np.array([published_ns]), clock)
    stream.log_ns[:] = log_ns  # the recorder puts the latched message at the begin of every bag
    stream.sequence[:] = 1
    return stream


def _stream(
    types: Mapping[str, str], topic: str, example: Mapping[str, Any], at_ns: NDArray[np.int64], clock: Clock,
    **columns: Any,
) -> Stream:  # fmt: skip
    stamp_ns = wall_ns(clock, at_ns)
    columns |= {"header__stamp__sec": stamp_ns // 10**9, "header__stamp__nanosec": stamp_ns % 10**9}
    layout = Layout(types[topic], message(types[topic], **example))
    sequence = 1 + at_ns // _SECOND_NS - at_ns[0] // _SECOND_NS
    rows = layout.rows(len(at_ns), **columns)
    return Stream(topic, rows, at_ns + 500_000, at_ns + 100_000, sequence)


def _diagnostics() -> list[Any]:
    """As many as the driver publishes."""
    kind, pair = "diagnostic_msgs/msg/DiagnosticStatus", "diagnostic_msgs/msg/KeyValue"

    def status(name: str, text: str, **values: str) -> Any:
        pairs = [message(pair, key=key, value=value) for key, value in values.items()]
        return message(
            kind,
            name=f"leap_hand_driver: {name}",
            message=text,
            hardware_id="/dev/ttyUSB0",
            values=pairs,
        )

    motors = [
        status(f"motor {k} {name}", "ok", temperature="40", voltage="5", hardware_error="none", lost_reads="0")
        for k, name in enumerate(JOINT_NAMES)
    ]  # fmt: skip
    bus = status(
        "bus", "200 Hz", rate="200.0", cycle_p50="1.615", missed_cycles="0", lost_reads="0"
    )
    return [bus, status("guard", "ACTIVE", mode="ACTIVE", rejected="0"), *motors]
