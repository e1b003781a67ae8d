# SPDX-License-Identifier: Apache-2.0
"""From the hand to what the arm is told: how closely, and for how long."""

from __future__ import annotations

import gc
import math
import sys
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dexndm_ros.teleop.bridge import ArmSeen, Bridge
from dexndm_ros.teleop.frames import distance_m
from dexndm_ros.teleop.limiter import LimiterConfig, PoseLimiter
from dexndm_ros.teleop.pose import Pose
from support.operator import FRAME_S, Operator, controller

HOME = Pose(np.array([0.5, 0.0, 0.4]), Rotation.from_euler("x", math.pi))
HAND_M = np.array([0.4, -0.2, 1.1])
PERIOD_S = LimiterConfig().period_s


def figure_of_eight(seconds: float) -> np.ndarray:
    """24 cm wide, 12 cm deep, 0.2 m/s where it crosses itself; in the first second it gathers speed."""
    wide_m, deep_m = 0.12, 0.06
    pace = 0.2 / math.hypot(wide_m, 2.0 * deep_m)
    t = seconds - 0.5 if seconds > 1.0 else max(0.0, seconds) ** 2 / 2.0
    return np.array([deep_m * math.sin(2 * pace * t), wide_m * math.sin(pace * t), 0.0])


def session(
    motion: Callable[[float], np.ndarray], seconds: float, phase_s: float
) -> Iterator[tuple[float, Pose]]:
    """Times since the motion began and what the arm was told; the grip is pressed half a second before."""
    operator, bridge, limiter = Operator(), Bridge(), PoseLimiter(LimiterConfig(), HOME)
    begin_s, sample = operator.now_s + 1.0, None
    for k in range(round((seconds + 1.0) / PERIOD_S)):
        now_s = begin_s - 1.0 + phase_s + k * PERIOD_S
        while operator.now_s + FRAME_S <= now_s:
            t = operator.now_s + FRAME_S - begin_s
            pose = Pose(HAND_M + motion(t), Rotation.identity())
            operator.right = controller(pose, squeeze=1.0 if t > -0.5 else 0.0)
            sample = operator.frame()
        decision = bridge.tick(now_s, sample, ArmSeen(limiter.pose, limiter.pose))
        yield now_s - begin_s, limiter.step(decision.target, limiter.pose).pose


@pytest.mark.parametrize("phase_s", [0.0, 0.004, 0.009])
def test_a_figure_of_eight_comes_out_within_5_mm(phase_s: float) -> None:
    """At 0.2 m/s, against where the hand is at that very moment: filter, frames and limits cost no more."""
    worst_m = 0.0
    for t, told in session(figure_of_eight, 12.0, phase_s):
        ideal = Pose(HOME.position_m + figure_of_eight(t), HOME.rotation)
        worst_m = max(worst_m, distance_m(told, ideal))
    assert worst_m < 0.005


def grown_blocks(seconds: float) -> int:
    """How many more blocks of memory a session keeps at its end than 5 s after its beginning."""
    begun = grown = 0
    for t, _ in session(figure_of_eight, seconds, 0.0):
        if (t >= 5.0 and not begun) or t >= seconds - 1.5 * PERIOD_S:
            gc.collect()
            grown = sys.getallocatedblocks() - begun
            begun = begun or grown
    return grown


def test_a_session_does_not_grow() -> None:
    """One thing kept at each of 2000 ticks would be 2000 blocks; libraries fill their caches."""
    assert grown_blocks(25.0) < 1000


@pytest.mark.soak
def test_two_hours_do_not_grow() -> None:
    assert grown_blocks(2 * 3600.0) < 1000
