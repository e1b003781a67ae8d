# SPDX-License-Identifier: Apache-2.0
import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dexndm_ros.teleop.arm_watch import ArmWatch
from dexndm_ros.teleop.pose import Pose

HERE = Pose(np.array([0.5, 0.0, 0.4]), Rotation.identity())


def away(by_m: float = 0.0, degrees: float = 0.0) -> Pose:
    return Pose(
        HERE.position_m + np.array([0.0, by_m, 0.0]),
        Rotation.from_euler("z", math.radians(degrees)),
    )


@pytest.mark.parametrize(
    ("by_m", "degrees", "wrong"), [(0.099, 19.0, False), (0.101, 0.0, True), (0.0, 21.0, True)]
)
def test_an_arm_that_stays_behind_is_a_fault_after_a_while(by_m, degrees, wrong) -> None:
    watch = ArmWatch()
    told = [bool(watch.check(away(by_m, degrees), HERE, k * 0.1)) for k in range(6)]
    assert told == [False] * 6 if not wrong else told[:3] == [False] * 3 and all(told[4:])


def test_one_that_catches_up_in_between_is_none() -> None:
    watch = ArmWatch()
    for k in range(20):
        assert not watch.check(away(0.2 if k % 3 else 0.0), HERE, k * 0.1)


def test_without_a_command_there_is_nothing_to_follow() -> None:
    watch = ArmWatch()
    watch.check(away(0.2), HERE, 0.0)
    assert not watch.check(None, HERE, 1.0)
    assert not watch.check(away(0.2), HERE, 2.0)
