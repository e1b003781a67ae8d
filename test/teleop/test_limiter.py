# SPDX-License-Identifier: Apache-2.0
"""The limiter under targets of any kind: what it promises holds at every step."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from dexndm_ros.teleop.limiter import LimiterConfig, PoseLimiter
from dexndm_ros.teleop.pose import Pose

CONFIG = LimiterConfig()
CENTRE = np.array([0.5, 0.0, 0.45])
NUMBERS = st.one_of(st.floats(-0.3, 1.2), st.floats(allow_nan=True, allow_infinity=True))
TURNS = st.tuples(*[st.floats(-math.pi, math.pi)] * 3).map(np.array)
STARTS = st.tuples(st.floats(0.25, 0.75), st.floats(-0.45, 0.45), st.floats(0.1, 0.8)).map(np.array)


@st.composite
def hostile_runs(draw):
    """Where it starts, and what the operator and the arm do: holds, jumps, streaks, nonsense."""
    start = draw(STARTS)
    episodes = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["hold", "point", "streak", "lost"]),
                st.integers(1, 40),
                st.tuples(NUMBERS, NUMBERS, NUMBERS).map(np.array),
                TURNS,
                st.sampled_from(["follows", "stuck", "elsewhere"]),
            ),
            min_size=1,
            max_size=8,
        )
    )
    return start, episodes


def run(limiter, episodes):
    """Step through the episodes; yields what came out."""
    stuck = limiter.pose
    for kind, count, point, turn, arm in episodes:
        for k in range(count):
            goal = point + (k * 0.02 if kind == "streak" else 0.0)
            target = None if kind == "hold" else Pose(goal, Rotation.from_rotvec(turn))
            measured = {
                "follows": limiter.pose,
                "stuck": stuck,
                "elsewhere": Pose(CENTRE, Rotation.identity()),
            }[arm]
            yield limiter.step(target, None if kind == "lost" else measured)


@settings(max_examples=50, deadline=None)
@given(hostile_runs())
def test_it_stays_in_the_box_below_the_speeds_and_below_the_accelerations(case) -> None:
    start, episodes = case
    limiter = PoseLimiter(CONFIG, Pose(start, Rotation.identity()))
    before, velocity, turn, dt = limiter.pose, np.zeros(3), np.zeros(3), CONFIG.period_s
    for told in run(limiter, episodes):
        moved, turned = before.offset(told.pose)
        assert np.isfinite(told.pose.position_m).all()
        assert (told.pose.position_m >= np.array(CONFIG.box_lower_m) - 1e-9).all()
        assert (told.pose.position_m <= np.array(CONFIG.box_upper_m) + 1e-9).all()
        assert np.linalg.norm(moved) / dt <= CONFIG.speed_m_s + 1e-9
        assert np.linalg.norm(turned) / dt <= CONFIG.turn_rad_s + 1e-6
        # the pose's own differences, not what the limiter says of itself
        assert np.linalg.norm(moved / dt - velocity) <= CONFIG.stop_m_s2 * dt + 1e-9
        assert np.linalg.norm(turned / dt - turn) <= CONFIG.turn_acceleration_rad_s2 * dt + 1e-5
        before, velocity, turn = told.pose, moved / dt, turned / dt


@settings(max_examples=15, deadline=None)
@given(hostile_runs())
def test_while_it_follows_the_gentler_acceleration_holds_too(case) -> None:
    start, episodes = case
    following = [e for e in episodes if e[0] in ("point", "streak") and np.isfinite(e[2]).all()]
    limiter = PoseLimiter(CONFIG, Pose(start, Rotation.identity()))
    velocity = np.zeros(3)
    for told in run(limiter, following):
        change = np.linalg.norm(told.velocity_m_s - velocity)
        assert change <= CONFIG.acceleration_m_s2 * CONFIG.period_s + 1e-9
        velocity = told.velocity_m_s


@settings(max_examples=15, deadline=None)
@given(st.tuples(*[st.floats(-1, 2)] * 3).map(np.array), STARTS)
def test_outside_the_box_it_never_goes_further_out(start, goal) -> None:
    limiter = PoseLimiter(CONFIG, Pose(start, Rotation.identity()))

    def outside(p):
        return np.maximum(np.array(CONFIG.box_lower_m) - p, p - np.array(CONFIG.box_upper_m)).clip(
            0
        )

    worst = outside(start)
    for _ in range(200):
        told = limiter.step(Pose(goal, Rotation.identity()), limiter.pose)
        now = outside(told.pose.position_m)
        assert (now <= worst + 1e-12).all()
        worst = now


@settings(max_examples=15, deadline=None)
@given(STARTS, st.tuples(*[st.floats(-0.04, 0.04)] * 3).map(np.array), TURNS)
def test_it_arrives_at_a_still_target_and_does_not_overshoot(start, away, turn) -> None:
    limiter = PoseLimiter(CONFIG, Pose(start, Rotation.identity()))
    goal = Pose(
        np.clip(start + away, CONFIG.box_lower_m, CONFIG.box_upper_m),
        Rotation.from_rotvec(turn * 0.05),
    )
    distance, angle = (np.linalg.norm(part) for part in limiter.pose.offset(goal))
    for _ in range(200):
        told = limiter.step(goal, limiter.pose)
        left, left_turn = (np.linalg.norm(part) for part in told.pose.offset(goal))
        assert left <= distance + 1e-9
        assert left_turn <= angle + 1e-7
        distance, angle = left, left_turn
    assert distance < 1e-4
    assert angle < 1e-3


# A box whose corners are reached along its diagonals, all three walls at once.
CUBE = LimiterConfig(
    box_lower_m=tuple((CENTRE - 0.2).tolist()), box_upper_m=tuple((CENTRE + 0.2).tolist())
)
GLIDES = (
    st.tuples(*[st.floats(-1, 1)] * 3).map(np.array).filter(lambda d: np.linalg.norm(d) > 0.1)
    | st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3).map(np.array)  # into a corner
).map(lambda d: d / np.linalg.norm(d))


@settings(max_examples=15, deadline=None)
@given(GLIDES)
def test_a_hand_that_glides_out_of_the_box_leaves_the_arm_at_the_wall(direction) -> None:
    limiter = PoseLimiter(CUBE, Pose(CENTRE, Rotation.identity()))
    before, velocity = CENTRE, np.zeros(3)
    for k in range(200):
        goal = CENTRE + direction * 0.24 * max(0.0, k * CONFIG.period_s - 0.1)
        told = limiter.step(Pose(goal, Rotation.identity()), limiter.pose)
        here = told.pose.position_m
        assert (here >= np.array(CUBE.box_lower_m) - 1e-9).all()
        assert (here <= np.array(CUBE.box_upper_m) + 1e-9).all()
        now = (here - before) / CONFIG.period_s
        assert np.linalg.norm(now - velocity) <= CONFIG.acceleration_m_s2 * CONFIG.period_s + 1e-9
        before, velocity = here, now
    assert "box" in told.limits


@settings(max_examples=20, deadline=None)
@given(GLIDES, st.floats(0.05, 0.24), st.tuples(*[st.floats(-2, 2)] * 3).map(np.array))
def test_a_held_arm_does_not_wind_up(direction, speed_m_s, turning) -> None:
    stuck = Pose(CENTRE, Rotation.identity())
    limiter = PoseLimiter(CONFIG, stuck)
    for k in range(200):
        along = k * CONFIG.period_s
        goal = Pose(
            CENTRE + direction * speed_m_s * along, Rotation.from_rotvec(turning * along / 2)
        )
        told = limiter.step(goal, stuck)
        away, turn = stuck.offset(told.pose)
        assert np.linalg.norm(away) <= CONFIG.leash_m + 1e-4
        assert np.linalg.norm(turn) <= CONFIG.leash_rad + math.radians(3)
    if speed_m_s > 0.1:
        assert "leash" in told.limits


@pytest.mark.parametrize("measured", [None, Pose(np.full(3, np.nan), Rotation.identity())])
def test_without_a_measured_pose_it_stops_and_stays(measured) -> None:
    limiter = PoseLimiter(CONFIG, Pose(CENTRE, Rotation.identity()))
    goal = Pose(CENTRE + np.array([0.0, 0.05, 0.0]), Rotation.identity())
    for _ in range(20):
        limiter.step(goal, limiter.pose)
    speed = np.linalg.norm(limiter.step(goal, limiter.pose).velocity_m_s)
    assert speed > 0.1
    steps = math.ceil(speed / (CONFIG.stop_m_s2 * CONFIG.period_s))
    for _ in range(steps):
        told = limiter.step(goal, measured)
    assert limiter.at_rest
    np.testing.assert_array_equal(
        limiter.step(goal, measured).pose.position_m, told.pose.position_m
    )


def test_a_target_that_glides_is_followed_without_lag_also_when_it_comes_at_90_hz() -> None:
    limiter = PoseLimiter(CONFIG, Pose(CENTRE, Rotation.identity()))
    worst = 0.0
    for k in range(200):
        seen_s = math.floor(k * CONFIG.period_s * 90) / 90  # the newest frame of the headset
        glided_m = 0.2 * (seen_s - 0.4 * (1 - math.exp(-seen_s / 0.4)))
        goal = CENTRE + np.array([0.0, glided_m, 0.0])
        told = limiter.step(Pose(goal, Rotation.identity()), limiter.pose)
        worst = max(worst, float(np.linalg.norm(told.pose.position_m - goal)))
    assert worst < 0.005


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"box_lower_m": (0.8, 0, 0)}, "box"),
        ({"box_lower_m": (math.nan, 0, 0)}, "box"),
        ({"speed_m_s": 0.7}, "0.6"),
        ({"speed_m_s": 0.0}, "speed_m_s"),
        ({"leash_m": math.inf}, "leash_m"),
        ({"stop_m_s2": 1.0}, "stop_m_s2"),
    ],
)
def test_limits_that_limit_nothing_are_refused(change, word) -> None:
    with pytest.raises(ValueError, match=word):
        LimiterConfig(**change)
