# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from hypothesis import given
from scipy.spatial.transform import Rotation

from dexndm_ros.teleop.head_guard import HeadGuard, HeadGuardConfig
from dexndm_ros.teleop.pose import Pose
from support.operator import FRAME_S, Operator, controller, rotations, vectors

RIGHT = Pose(np.array([0.4, -0.2, -0.3]), Rotation.from_euler("x", 0.3))
LEFT = Pose(np.array([0.35, 0.2, -0.25]), Rotation.from_euler("y", -0.2))


def told(right, left, seconds=0.67) -> bool:
    """Whether it ever tells; ``right(t)`` and ``left(t)`` are poses relative to the headset."""
    guard, operator, found = HeadGuard(), Operator(source="oculus_reader"), False
    for k in range(round(seconds / FRAME_S)):
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


@pytest.mark.parametrize(
    "motion",
    [head((0, 0, 1), 0.02), head((1, 0, 0), 0.1), head((0, 0, 1), 0.0, (0.01, 0.0, 0.0))],
)
def test_a_headset_that_moves_slowly_is_told_too(motion) -> None:
    """1 and 6 degrees a second, and one centimetre a second: far from the short window's limits."""
    assert told(lambda t: motion(t) * RIGHT, lambda t: motion(t) * LEFT, seconds=9.0)


def test_a_headset_that_turns_is_told_although_the_right_hand_moves_on() -> None:
    motion = head((0, 0, 1), 0.5)

    def carried(t):
        return Pose(RIGHT.position_m + np.array([0.3, 0.1, 0.0]) * t, RIGHT.rotation)

    assert told(lambda t: motion(t) * carried(t), lambda t: motion(t) * LEFT)


def test_hands_that_work_for_a_while_are_never_taken_for_a_headset() -> None:
    """The right one draws a circle and turns about, the left one rests, trembles and turns its own way."""

    def right(t):
        turn = Rotation.from_rotvec([0.3 * np.sin(t), 0.0, 0.4 * np.sin(0.7 * t)])
        way = np.array([0.1 * np.cos(t), 0.1 * np.sin(t), 0.02 * np.sin(3 * t)])
        return Pose(RIGHT.position_m + way, turn * RIGHT.rotation)

    def left(t):
        turn = Rotation.from_rotvec([0.01 * np.sin(40 * t), 0.5 * np.sin(0.5 * t), 0.0])
        return Pose(LEFT.position_m, turn * LEFT.rotation)

    assert not told(right, left, seconds=12.0)


def test_once_it_rests_again_nothing_is_told_any_more() -> None:
    """The longest window does not hold the arm for ten seconds."""
    guard, operator, motion = HeadGuard(), Operator(source="oculus_reader"), head((0, 0, 1), 0.5)
    told_s = []
    for k in range(180):
        t = min(k * FRAME_S, 0.5)
        operator.right, operator.left = controller(motion(t) * RIGHT), controller(motion(t) * LEFT)
        if guard.moved(operator.frame()):
            told_s.append(k * FRAME_S)
    assert 0.2 < told_s[0] < 0.5 < told_s[-1] < 0.85


def test_a_gap_in_which_a_hand_is_not_seen_hides_no_motion() -> None:
    guard, operator = HeadGuard(), Operator(source="oculus_reader")
    operator.right, operator.left = controller(RIGHT), controller(LEFT)
    guard.moved(operator.frame())
    assert not guard.moved(operator.frame(right=None))
    turned = head((0, 0, 1), 0.5)(1.0)
    operator.right, operator.left = controller(turned * RIGHT), controller(turned * LEFT)
    assert guard.moved(operator.frame())


@pytest.mark.parametrize("windows_s", [(), (0.0,), (0.3, float("inf"))])
def test_a_guard_that_would_never_tell_is_refused(windows_s) -> None:
    with pytest.raises(ValueError, match="windows_s"):
        HeadGuardConfig(windows_s=windows_s)
