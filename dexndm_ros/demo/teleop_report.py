# SPDX-License-Identifier: Apache-2.0
"""The report of ``dexndm teleop``, as JSON: what arm and hand did for the operator, and what stopped them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dexndm_ros.demo.errors import DemoError
from dexndm_ros.demo.report import plain_numbers, write_json

__all__ = ["TeleopReport", "Tracking"]

_MOVED_M = 0.01
_TURNED_RAD = 0.2


@dataclass(frozen=True)
class Tracking:
    """How far the measured pose was from the commanded one of the same period; None = nothing was measured."""

    p50: float | None
    p95: float | None
    max: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> Tracking:
        """Of all periods in which the arm followed."""
        if not len(values):
            return cls(None, None, None)
        p50, p95, most = np.percentile(np.asarray(values, dtype=np.float64), [50.0, 95.0, 100.0])
        return cls(float(p50), float(p95), float(most))


@dataclass(frozen=True)
class TeleopReport:
    """What was done; the fields are the keys of the JSON file, in this order.

    Attributes:
        seconds: from the operator's first sample to the end.
        engaged_s: of it, the arm followed the right hand.
        stops: how often something other than the operator's grip stopped it while it followed.
        faults: times that the arm's side told a fault.
        reasons: every reason why the arm did not follow, with the seconds it was told.
        moved_m: way of the palm.
        tracking_mm: distance of measured from commanded position while the arm followed, mm.
        tracking_deg: turn of measured from commanded orientation, degrees.
        rotation_rad: turned by the object about each axis that was commanded, rad, along it; axes in the palm frame.
        off_axis_rad: turned by it perpendicular to them.
        fell: the object left the hand.
        operator_ms: capture to publish in quest_bridge, percentiles 50 and 95 of its last window; None = none told.
        rejected: samples that were refused.
        policy: policy file.
        operator: recorded session, or the source of a live one.
        world: world of the virtual hand.
    """

    seconds: float
    engaged_s: float
    stops: int
    faults: int
    reasons: Mapping[str, float]
    moved_m: float
    tracking_mm: Tracking
    tracking_deg: Tracking
    rotation_rad: Mapping[str, float]
    off_axis_rad: float
    fell: bool
    operator_ms: Mapping[str, float | None]
    rejected: int
    policy: str
    operator: str
    world: str

    @property
    def problem(self) -> str:
        """Why this was no teleoperation, in words; empty = it was."""
        told = max(self.reasons, key=lambda reason: self.reasons[reason], default="")
        words = f" (told longest: {told})" if told else ""
        if self.moved_m < _MOVED_M:
            return f"the arm never moved{words}"
        if sum(abs(angle) for angle in self.rotation_rad.values()) < _TURNED_RAD:
            return f"the hand never turned the object{words}"
        return ""

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it: finite numbers, or null."""
        data: dict[str, Any] = plain_numbers(asdict(self))
        return data

    def write(self, path: Path) -> None:
        """Write the JSON file, whole or not at all.

        Raises:
            DemoError: the file cannot be written.
        """
        write_json(path, self.to_dict())

    def summary(self) -> str:
        """The report for a person, four lines."""
        turned = ", ".join(
            f"{angle:.2f} rad about {axis}" for axis, angle in self.rotation_rad.items()
        )
        fate = ", the object fell" if self.fell else ""
        mm, age = self.tracking_mm, self.operator_ms
        return (
            f"the arm followed for {self.engaged_s:.1f} of {self.seconds:.1f} s, over {self.moved_m:.2f} m; "
            f"behind by p95 {_text(mm.p95)} mm, at most {_text(mm.max)} mm\n"
            f"turned {turned or 'nothing'}{fate}\n"
            f"operator's samples published after p50 {_text(age['p50'])}, p95 {_text(age['p95'])} ms; "
            f"{self.rejected} refused\n"
            f"stopped {self.stops} times by something else than the grip, {self.faults} faults of the arm's side"
        )

    def check(self) -> None:
        """Refuse to call it done when nothing was.

        Raises:
            DemoError: the arm never moved, or the hand never turned the object.
        """
        if self.problem:
            raise DemoError(self.problem)


def _text(value: float | None) -> str:
    return "?" if value is None else f"{value:.1f}"
