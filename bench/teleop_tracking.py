# SPDX-License-Identifier: Apache-2.0
"""Figures-of-eight at 0.2 m/s, from the hand to the virtual arm: gates, clutch, filter, limiter, inverse kinematics.

All parts are those of the nodes, in simulated time: frames at 90 Hz, ticks at 100 Hz, the arm's physics between them.
What wire and scheduler add is measured by ``teleop_latency``. The error is against where the hand is at that very
moment; beside it stands what is left when the delay is taken out, the error of the path.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.result import Check, Options, Result, quantiles
from bench.teleop_motion import FigureOfEight
from dexndm_ros.sim.virtual_arm import VirtualArm
from dexndm_ros.sim.worlds import ObjectConfig, World
from dexndm_ros.teleop.arm_drive import ArmDrive
from dexndm_ros.teleop.bridge import ArmSeen, Bridge
from dexndm_ros.teleop.clutch import State
from dexndm_ros.teleop.profiles import load_profile
from dexndm_ros.teleop.sample import Hand, Sample

FRAME_S = 1.0 / 90.0
HAND_M = np.array([0.4, -0.2, 1.1])
_GRIP_AFTER_S, _COME_S, _MOVE_AFTER_S = 0.5, 1.5, 2.5
_INTO_THE_BOX_M = np.array([0.15, 0.0, 0.0])  # the arm's home is near the box's wall
_SETTLED_S = 1.0
_PHASES_S = (0.0, 0.007)
FIGURES = {
    "24 cm, 0.2 m/s at the crossing": FigureOfEight(even=False),
    "36 cm, 0.2 m/s all along": FigureOfEight(wide_m=0.36),
    "24 cm, 0.2 m/s all along": FigureOfEight(),
}


@dataclasses.dataclass(frozen=True)
class Seen:
    """One tick: time of the motion; the hand's way, what the arm was told, where it is, each (3,), m; why it holds."""

    t: float
    hand_m: NDArray[np.float64]
    told_m: NDArray[np.float64]
    arm_m: NDArray[np.float64]
    reason: str


def session(seconds: float, motion: FigureOfEight, phase_s: float) -> Iterator[Seen]:
    """Draw for so long; displacements from where arm and hand began, once the motion has settled."""
    profile, bridge = load_profile("virtual"), Bridge()
    drive = ArmDrive(profile)
    arm = VirtualArm(dataclasses.replace(World(), object=ObjectConfig(kind="none")))
    period_s = 1.0 / profile.rate_hz
    steps = round(period_s / arm.model.opt.timestep)
    start_m = arm.palm.position_m + _INTO_THE_BOX_M
    sample: Sample | None = None
    seen, number = ArmSeen(), 0
    for tick in range(round((seconds + _MOVE_AFTER_S) / period_s)):
        now_s = phase_s + tick * period_s
        while (number + 1) * FRAME_S <= now_s:
            number += 1
            sample = _sample(number, motion)
        decision = bridge.tick(now_s, sample, seen)
        drive.saw_joints(arm.q_rad, now_s)
        drive.operator(engaged=decision.state is State.ENGAGED)
        if decision.target is not None:
            drive.target(decision.target, now_s)
        output = drive.tick(now_s)
        if output.points:
            arm.follow(output.points)
        seen = ArmSeen(output.measured, output.commanded, output.fault)
        t = now_s - _MOVE_AFTER_S
        if t >= _SETTLED_S and output.commanded is not None:
            told_m = output.commanded.position_m - start_m
            arm_m = arm.palm.position_m - start_m
            yield Seen(t, motion.at(t), told_m, arm_m, decision.reason)
        for _ in range(steps):
            arm.step()


def _sample(number: int, motion: FigureOfEight) -> Sample:
    at_s = number * FRAME_S
    come = min(max(at_s - _GRIP_AFTER_S, 0.0) / _COME_S, 1.0)
    into_m = _INTO_THE_BOX_M * (3.0 - 2.0 * come) * come**2
    place = HAND_M + into_m + motion.at(at_s - _MOVE_AFTER_S)
    squeeze = 1.0 if at_s > _GRIP_AFTER_S else 0.0
    right = Hand(tuple(place.tolist()), (0.0, 0.0, 0.0, 1.0), squeeze=squeeze)
    return Sample(number, at_s, at_s, "webxr", right=right, left=None)


def run(options: Options) -> Result:
    """Draw each figure in a few phases of frame against tick, and compare."""
    seconds = max(options.seconds, 8.0)
    rows: list[list[Any]] = []
    worst_mm, reasons = dict[str, float](), set[str]()
    for name, motion in FIGURES.items():
        told, arm = [], []
        for phase_s in _PHASES_S:
            seen = list(session(seconds, motion, phase_s))
            reasons |= {each.reason for each in seen if each.reason}
            t = np.array([each.t for each in seen])
            told.append((t, np.array([each.told_m for each in seen])))
            arm.append((t, np.array([each.arm_m for each in seen])))
        rows += [[f"{name}: told", *_row(told, motion)], [f"{name}: arm", *_row(arm, motion)]]
        worst_mm[name] = rows[-1][3]
    return Result(
        f"figure-of-eight, {seconds:g} s of it in {len(_PHASES_S)} phases of frame against tick",
        ["distance from where the hand is", "p50 mm", "p95 mm", "worst mm", "delay ms", "worst off the path mm"],
        rows,
        [Check(f"virtual arm, {name}: worst, mm", worst, 5.0) for name, worst in worst_mm.items()],
        [
            "off the path: what is left when the delay is taken out",
            "0.2 m/s all along a 3 cm corner is 1.3 m/s2; the limiter allows 2",
        ],
        {"reasons": sorted(reasons)},
    )  # fmt: skip


_Drawn = tuple[NDArray[np.float64], NDArray[np.float64]]


def _row(drawn: list[_Drawn], motion: FigureOfEight) -> list[float]:
    t, places = (np.concatenate(part) for part in zip(*drawn, strict=True))
    errors_mm = 1e3 * np.linalg.norm(places - motion.at(t), axis=1)
    return [*quantiles(errors_mm, 0.5, 0.95, 1.0), *_without_delay(t, places, motion)]


def _without_delay(
    t: NDArray[np.float64], places: NDArray[np.float64], motion: FigureOfEight
) -> tuple[float, float]:
    """The delay with which the path is repeated, ms, and the worst distance from it then, mm."""
    found = []
    for lag_ms in np.arange(0.0, 100.0, 0.5):
        rest = np.linalg.norm(places - motion.at(t - 1e-3 * lag_ms), axis=1)
        found.append((float(np.sqrt((rest**2).mean())), float(lag_ms), 1e3 * float(rest.max())))
    _, lag_ms, worst_mm = min(found)
    return lag_ms, worst_mm
