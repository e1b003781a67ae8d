# SPDX-License-Identifier: Apache-2.0
"""An arm at the leash's end that gains nothing is stuck; one that comes, however slowly, is not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dexndm_ros.teleop.arm_watch import PATIENCE_S, ArmWatch
from dexndm_ros.teleop.limiter import LimiterConfig
from dexndm_ros.teleop.pose import Pose

LIMITS = LimiterConfig(leash_m=0.08, leash_rad=math.radians(15.0))
END = [(0.08, 0.0), (0.0, 15.0)]
PERIODS = range(round(3 * PATIENCE_S / 0.01))


def at(y_m: float = 0.0, degrees: float = 0.0) -> Pose:
    return Pose(np.array([0.5, y_m, 0.4]), Rotation.from_euler("z", math.radians(degrees)))


def faults(told, measured) -> list[bool]:
    """One for each period of 10 ms; told and measured as functions of the time."""
    watch = ArmWatch(LIMITS)
    return [bool(watch.check(told(k * 0.01), measured(k * 0.01), k * 0.01)) for k in PERIODS]


@pytest.mark.parametrize(("y_m", "degrees"), END)
def test_one_that_stands_is_stuck_after_a_while(y_m, degrees) -> None:
    found = faults(lambda _: at(y_m, degrees), lambda _: at())
    assert found.index(True) * 0.01 == pytest.approx(PATIENCE_S, abs=0.03)
    assert all(found[found.index(True) :])


@pytest.mark.parametrize(("y_m", "degrees"), END)
def test_one_that_trembles_or_is_pushed_back_is_stuck_too(y_m, degrees) -> None:
    def tremble(now_s: float) -> Pose:
        return at(0.003 * math.sin(40.0 * now_s), 0.5 * math.sin(40.0 * now_s))

    def back(now_s: float) -> Pose:
        return at(-y_m * now_s, -degrees * now_s)

    assert any(faults(lambda now_s: tremble(now_s) * at(y_m, degrees), tremble))
    assert any(faults(lambda now_s: at(y_m - y_m * now_s, degrees - degrees * now_s), back))


@pytest.mark.parametrize(("y_m", "degrees"), END)
def test_one_that_comes_is_not(y_m, degrees) -> None:
    """At the leash's end all the time, with a quarter of its length a second."""
    found = faults(
        lambda now_s: at(y_m * (1.0 + now_s / 4.0), degrees * (1.0 + now_s / 4.0)),
        lambda now_s: at(y_m * now_s / 4.0, degrees * now_s / 4.0),
    )
    assert not any(found)


@pytest.mark.parametrize(("y_m", "degrees"), [(0.05, 0.0), (0.0, 9.0)])
def test_one_that_yields_on_half_the_leash_is_not(y_m, degrees) -> None:
    assert not any(faults(lambda _: at(y_m, degrees), lambda _: at()))


def test_after_a_reset_its_patience_begins_anew() -> None:
    watch = ArmWatch(LIMITS)
    for k in range(100):
        if k % 40 == 0:
            watch.reset()
        assert not watch.check(at(0.08), at(), k * 0.01)
