# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from hypothesis import given
from scipy.spatial.transform import Rotation

from dexndm_ros.teleop.head_guard import HeadGuard
from dexndm_ros.teleop.pose import Pose
from support.operator import FRAME_S, Operator, controller, rotations, vectors

RIGHT = Pose(np.array([0.4, -0.2, -0.3]), Rotation.from_euler("x", 0.3))
LEFT = Pose(np.array([0.35, 0.2, -0.25]), Rotation.from_euler("y", -0.2))


def told(right, left) -> bool:
    """Whether it ever tells; ``right(t)`` and ``left(t)`` are poses relative to the headset."""
    guard, operator, found = HeadGuard(), Operator(source="oculus_reader"), False
    for k in range(60):
        t = k * FRAME_S
        operator.right, operator.left = controller(right(t)), controller(left(t))
        found = guard.moved(operator.frame()) or found
    return found


def head(axis, rate_rad_s=0.0, velocity_m_s=(0.0, 0.0, 0.0)):
    """The way the headset moves: what is still in the room then seems to move the other way."""

    def moved(t):
        turn = Rotation.from_rotvec(np.array(axis) * rate_rad_s * t)
        return Pose(np.array(velocity_m_s) * t, turn).inverse()

    return moved


@pytest.mark.parametrize(
    "motion",
    [
        head((0, 0, 1), 0.5),
        head((0, 1, 0), 0.5),
        head((1, 0, 0)),
        head((0, 0, 1), 0.0, (0.3, 0, 0)),
    ],
)
def test_a_headset_that_turns_or_walks_is_told(motion) -> None:
    still = motion(1.0).position_m.any() or motion(1.0).rotation.magnitude() > 0
    assert told(lambda t: motion(t) * RIGHT, lambda t: motion(t) * LEFT) == bool(still)


def test_hands_that_move_are_not() -> None:
    def along(pose, velocity_m_s):
        return lambda t: Pose(pose.position_m + np.array(velocity_m_s) * t, pose.rotation)

    assert not told(along(RIGHT, (0.3, 0, 0)), along(LEFT, (0, 0, 0)))
    assert not told(along(RIGHT, (0.3, 0, 0)), along(LEFT, (0.0, 0.3, 0)))
    assert not told(along(RIGHT, (0.3, 0, 0)), along(LEFT, (-0.3, 0, 0)))


@given(rotations(), vectors(1.0))
def test_it_does_not_matter_where_the_hands_are(turn, place) -> None:
    base, motion = Pose(place, turn), head((0, 0, 1), 0.6)
    assert told(lambda t: motion(t) * base * RIGHT, lambda t: motion(t) * base * LEFT)


def test_a_hand_that_is_lost_starts_it_anew() -> None:
    guard, operator = HeadGuard(), Operator(source="oculus_reader")
    operator.right, operator.left = controller(RIGHT), controller(LEFT)
    guard.moved(operator.frame())
    guard.moved(operator.frame(right=None))
    turned = head((0, 0, 1), 0.5)(1.0)
    operator.right, operator.left = controller(turned * RIGHT), controller(turned * LEFT)
    assert not guard.moved(operator.frame())
