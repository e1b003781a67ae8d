# SPDX-License-Identifier: Apache-2.0
"""Loads on the joints of a free hand: drawn the same again, within their limit, and felt by the physics."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from dexndm_ros.hand.joints import CANONICAL_POSE_RAD
from dexndm_ros.sim.batch import HandBatch
from dexndm_ros.sim.load import HandLoad, LoadConfig, LoadError, LoadSchedule, draw_load
from dexndm_ros.sim.worlds import ObjectConfig, World

FREE = World(object=ObjectConfig(kind="none"), physics="fast")
TARGETS = np.linspace(CANONICAL_POSE_RAD, CANONICAL_POSE_RAD + 0.3, 400)


def settled(load, world: World = FREE, steps: int = 20) -> np.ndarray:
    """Angles of two hands that were told the same for a second, the second one alone loaded."""
    batch = HandBatch([world, world], 1)
    target = np.tile(CANONICAL_POSE_RAD, (2, 1))
    batch.set_state(np.arange(2), target)
    for _ in range(steps):
        batch.step(target, load)
    return batch.q


def test_the_same_seed_draws_the_same_load_and_another_one_does_not() -> None:
    one, same, other = (draw_load(LoadConfig(), seed, TARGETS, 0.05) for seed in (7, 7, 2**62 + 7))
    np.testing.assert_array_equal(one.torque_nm, same.torque_nm)
    np.testing.assert_array_equal(one.stiffness_nm_rad, same.stiffness_nm_rad)
    assert not np.array_equal(one.torque_nm, other.torque_nm)
    changes = (np.diff(one.torque_nm, axis=0) != 0).mean()
    assert changes == pytest.approx(0.05, abs=0.01)  # once a second, at 20 Hz
    assert (one.wall_rad >= TARGETS.min(axis=0)).all()
    assert (one.wall_rad <= TARGETS.max(axis=0)).all()


def test_half_a_load_is_the_same_load_at_half_the_strength() -> None:
    full = draw_load(LoadConfig(), 3, TARGETS, 0.05)
    half = draw_load(LoadConfig(scale=0.5), 3, TARGETS, 0.05)
    np.testing.assert_allclose(half.torque_nm, full.torque_nm / 2)
    np.testing.assert_allclose(half.stiffness_nm_rad, full.stiffness_nm_rad / 2)
    assert LoadConfig(scale=0.0).none
    assert not LoadConfig().none


def test_a_torque_bends_a_servo_by_torque_over_gain_on_its_own_joint_only() -> None:
    def load(q: np.ndarray, qd: np.ndarray) -> np.ndarray:
        torque = np.zeros_like(q)
        torque[1, 5] = 0.1
        return torque

    q = settled(load)
    shift = q[1] - q[0]
    gain = FREE.servo.gains().kp_nm_rad[5]
    assert shift[5] == pytest.approx(0.1 / gain, rel=0.1)
    np.testing.assert_allclose(np.delete(shift, 5), 0.0, atol=2e-3)


def test_a_hand_with_a_gap_feels_it_too() -> None:
    gap = dataclasses.replace(FREE.gap, load_gain=0.5, delay_s=0.012, torque_loss=0.2)
    world = dataclasses.replace(FREE, gap=gap)
    q = settled(lambda q, qd: np.array([[0.0], [0.1]]) * np.eye(16)[5], world)
    assert q[1, 5] - q[0, 5] > 0.1 / FREE.servo.gains().kp_nm_rad[5]


def test_a_spring_holds_back_one_way_and_never_pulls() -> None:
    ones = np.ones((1, 16))
    held_up = LoadSchedule(0 * ones, 0.5 * ones, 2.0 * ones, 0.2)
    held_down = LoadSchedule(0 * ones, 0.5 * ones, -2.0 * ones, 0.2)
    torque = HandLoad([held_up, held_down]).at(0)
    np.testing.assert_allclose(torque(0.45 * np.ones((2, 16)), 0)[:, 0], [0.0, 0.1])
    np.testing.assert_allclose(torque(0.55 * np.ones((2, 16)), 0)[:, 0], [-0.1, 0.0])
    np.testing.assert_allclose(torque(2.0 * np.ones((2, 16)), 0)[:, 0], [-0.2, 0.0])


@pytest.mark.parametrize(
    ("key", "value"), [("scale", -0.1), ("spring_share", 1.5), ("change_s", 0)]
)
def test_what_is_no_load_is_refused_with_its_key(key: str, value: float) -> None:
    with pytest.raises(LoadError, match=rf"load\.{key} must be from"):
        LoadConfig(**{key: value})
