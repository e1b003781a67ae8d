# SPDX-License-Identifier: Apache-2.0
"""The demo's report: what it did and how its loops kept time, as JSON.

``tick_period_ms`` is the time between the beginnings of consecutive ticks of the policy, from the stamps
that the policy node puts into PolicyStep. ``obs_to_command_ms`` runs from the HandState stamp (midpoint
of the bus read) of the newest state in the observation to the moment the HandCommand computed from it
has come through DDS into a callback of another process: a subscription like the driver's, in the demo.
Only ticks in which the policy ran are counted, not those of the start sequence.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np

from dexndm_ros.demo.errors import DemoError

__all__ = ["DemoReport", "Spread", "plain_numbers", "write_json"]


@dataclass(frozen=True)
class Spread:
    """Median, 99th percentile and maximum, ms; None = nothing was measured."""

    p50: float | None
    p99: float | None
    max: float | None

    @classmethod
    def of(cls, values_ms: Sequence[float]) -> Spread:
        """The spread of some values; NaN among them is left out."""
        array = np.asarray(values_ms, dtype=np.float64)
        array = array[np.isfinite(array)]
        if not array.size:
            return cls(None, None, None)
        p50, p99 = np.percentile(array, [50.0, 99.0])
        return cls(float(p50), float(p99), float(array.max()))


@dataclass(frozen=True)
class DemoReport:
    """What a demo did; the fields are the keys of the JSON file, in this order.

    Attributes:
        seconds: how long the object was held while the policy ran, s (a real hand: how long it ran).
        rotation_rad: turned about the commanded axis in that time; None = a real hand, nobody knows.
        off_axis_rad: turned perpendicular to it; None likewise.
        fell: the object left the hand at least once; None likewise.
        ticks: ticks in which the policy ran.
        missed_ticks: control slots skipped meanwhile.
        tick_period_ms: begin of a tick to begin of the next.
        obs_to_command_ms: joints read to command received, see the module.
        bus_hz: bus cycles a second.
        lost_reads: cycles in which a motor did not answer, summed over the motors.
        policy: policy file.
        world: world of the virtual hand, or the port of the real one.
    """

    seconds: float
    rotation_rad: float | None
    off_axis_rad: float | None
    fell: bool | None
    ticks: int
    missed_ticks: int
    tick_period_ms: Spread
    obs_to_command_ms: Spread
    bus_hz: float | None
    lost_reads: int
    policy: str
    world: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it: finite numbers, or null."""
        data: dict[str, Any] = plain_numbers(asdict(self))
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read back what ``to_dict`` made."""
        values = {item.name: data[item.name] for item in fields(cls)}
        for name in ("tick_period_ms", "obs_to_command_ms"):
            values[name] = Spread(**values[name])
        return cls(**values)

    def write(self, path: Path) -> None:
        """Write the JSON file, whole or not at all.

        Raises:
            DemoError: the file cannot be written.
        """
        write_json(path, self.to_dict())

    def summary(self) -> str:
        """The report for a person, three lines."""
        turned = "?"
        if self.rotation_rad is not None:
            turned = f"{self.rotation_rad:.2f} rad ({self.rotation_rad / math.tau:.2f} turns)"
        fate = {True: ", the object fell", False: "", None: ""}[self.fell]
        tick, delay = self.tick_period_ms, self.obs_to_command_ms
        return (
            f"turned {turned} in {self.seconds:.1f} s{fate}\n"
            f"{self.ticks} ticks, {self.missed_ticks} missed; period {_text(tick)} ms; "
            f"observation to command {_text(delay)} ms\n"
            f"bus {_number(self.bus_hz)} Hz, {self.lost_reads} reads lost"
        )


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:.1f}"


def _text(spread: Spread) -> str:
    parts = [f"{name} {_number(getattr(spread, name))}" for name in ("p50", "p99", "max")]
    return ", ".join(parts)


def plain_numbers(value: Any) -> Any:
    """As JSON has it: finite numbers with six digits after the point, or null."""
    if isinstance(value, dict):
        return {key: plain_numbers(item) for key, item in value.items()}
    if isinstance(value, bool) or not isinstance(value, float):
        return value
    return round(value, 6) if math.isfinite(value) else None


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write a report, whole or not at all.

    Raises:
        DemoError: the file cannot be written.
    """
    text = json.dumps(data, indent=2, allow_nan=False) + "\n"
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise DemoError(f"the report cannot be written to {path}: {error.strerror}") from error
