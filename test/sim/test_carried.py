# SPDX-License-Identifier: Apache-2.0
"""A hand on a moving arm: the object waits on its stand, is taken, and comes along. Simulated time, no threads."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dexndm_ros.hand.joints import CANONICAL_POSE_RAD
from dexndm_ros.sim.carried import CarriedPlant
from dexndm_ros.sim.handover import Handover, HandoverConfig, ObjectPhase
from dexndm_ros.sim.virtual_arm import VirtualArm
from dexndm_ros.sim.worlds import GRASP_CENTRE_M, World
from dexndm_ros.teleop.bulb import READY_RAD
from dexndm_ros.teleop.chain import PALM_ON_FLANGE, ArmChain
from dexndm_ros.teleop.franka import RobotMode
from dexndm_ros.teleop.ik import ArmIk, IkConfig
from dexndm_ros.teleop.limiter import LimiterConfig, PoseLimiter
from dexndm_ros.teleop.pose import Pose
from dexndm_ros.teleop.trajectory import JointPoint, joint_trajectory

AWAY_M = (0.0, 0.0, -0.05)
OPEN = np.zeros(16)
FIRM = CANONICAL_POSE_RAD + np.where(CANONICAL_POSE_RAD > 0.3, 0.12, 0.0)


class Scene:
    """Arm, hand and object; the arm goes where it is told as arm_bridge moves it."""

    def __init__(self, away_m=AWAY_M) -> None:
        world, q = World(), np.array(READY_RAD)
        self.arm = VirtualArm(world, q)
        self.plant = CarriedPlant(self.arm, world.gap)
        gains = world.servo.gains()
        self.plant.set_servo(gains.kp_nm_rad, gains.kd_nms_rad, gains.torque_limit_nm, np.zeros(16))
        self.handover = Handover(self.arm.model, self.arm.data, HandoverConfig(away_m=away_m))
        self.start = self.target = self.arm.palm
        self._limiter = PoseLimiter(LimiterConfig(), self.start)
        self._ik = ArmIk(IkConfig(rest_rad=READY_RAD), ArmChain(PALM_ON_FLANGE), self.arm.q_rad)
        self._goal = OPEN

    @property
    def object_m(self) -> np.ndarray:
        return self.handover.raw_pose()[:3]

    def run(self, seconds: float, goal=None, by_m=(0.0, 0.0, 0.0)) -> None:
        first, last = self._goal, self._goal if goal is None else goal
        here, steps = self.target, round(seconds / self.plant.dt_s)
        for k in range(steps):
            part = (k + 1) / steps
            self._goal = first + (last - first) * part
            self.target = Pose(here.position_m + part * np.array(by_m), here.rotation)
            if k % 2 == 0:
                told = self._ik.step(self._limiter.step(self.target, self.arm.palm))
                self.plant.follow(joint_trajectory(told.q_rad, told.v_rad_s, 0.05, 5.0))
            self.plant.set_goal(self._goal)
            self.plant.step()
            self.handover.after_step(self._goal)


def test_the_object_waits_on_its_stand_while_the_arm_moves() -> None:
    scene = Scene()
    scene.run(0.2)
    assert scene.handover.phase is ObjectPhase.HELD
    stand_m = scene.object_m
    wanted = scene.start.position_m + scene.start.rotation.apply(GRASP_CENTRE_M) + AWAY_M
    np.testing.assert_allclose(stand_m, wanted, atol=0.01)
    scene.run(1.0, by_m=(0.0, 0.1, 0.0))
    np.testing.assert_allclose(scene.object_m, stand_m, atol=1e-6)
    position, _ = scene.handover.pose()
    expected = scene.arm.palm.rotation.inv().apply(stand_m - scene.arm.palm.position_m)
    np.testing.assert_allclose(position, expected, atol=1e-6)


def test_a_hand_that_was_brought_to_it_takes_it_and_carries_it_along() -> None:
    scene = Scene()
    scene.run(1.0, by_m=AWAY_M)
    scene.run(0.3)
    np.testing.assert_allclose(scene.handover.pose()[0], GRASP_CENTRE_M, atol=0.01)
    scene.run(1.5, goal=FIRM)
    scene.run(1.0)
    assert scene.handover.phase is ObjectPhase.FREE
    held, before_m = scene.handover.pose()[0], scene.object_m
    scene.run(1.2, by_m=(0.0, 0.05, 0.10))
    scene.run(0.3)
    assert scene.handover.phase is ObjectPhase.FREE
    np.testing.assert_allclose(scene.object_m - before_m, (0.0, 0.05, 0.10), atol=0.02)
    assert np.linalg.norm(scene.handover.pose()[0] - held) < 0.02


def test_handed_over_anew_it_stands_where_the_hand_is_then() -> None:
    scene = Scene()
    scene.run(1.0, by_m=(0.0, 0.05, 0.02))
    scene.run(0.3)
    scene.handover.reset(np.random.default_rng(3))
    scene.run(0.2)
    assert scene.handover.phase is ObjectPhase.HELD
    palm = scene.arm.palm
    wanted = palm.position_m + palm.rotation.apply(GRASP_CENTRE_M) + AWAY_M
    np.testing.assert_allclose(scene.object_m, wanted, atol=0.008)


def test_gravity_comes_to_the_fingers_as_the_wrist_turns() -> None:
    """The same servos sag to the other side when the arm turns the palm over."""
    scene = Scene()
    torque = []
    for turn in (0.0, 1.0):
        q = np.array(READY_RAD)
        q[6] += turn
        scene.plant.follow([JointPoint(q, np.zeros(7), 1.5)])
        for _ in range(round(2.5 / scene.plant.dt_s)):
            scene.plant.set_goal(OPEN)
            scene.plant.step()
            scene.handover.after_step(OPEN)
        down = scene.arm.palm.rotation.inv().apply([0.0, 0.0, -1.0])
        torque.append((down, scene.plant.torque_nm))
    (down, flat), (turned_down, turned) = torque
    assert np.arccos(down @ turned_down) == pytest.approx(1.0, abs=0.05)
    assert np.abs(flat - turned).max() > 0.2 * np.abs(flat).max()


def test_orders_are_taken_in_the_next_step_and_wrong_ones_refused_at_once() -> None:
    scene = Scene()
    with pytest.raises(ValueError, match="at rest"):
        scene.plant.follow([JointPoint(np.array(READY_RAD), np.ones(7), 0.1)])
    scene.plant.follow([JointPoint(np.array(READY_RAD) + 1.0, np.zeros(7), 0.05)])
    assert scene.plant.moment.mode is RobotMode.IDLE
    for _ in range(200):
        scene.plant.step()
    assert scene.plant.moment.mode is RobotMode.REFLEX
    assert scene.plant.moment.errors
    scene.plant.recover()
    scene.plant.step()
    assert scene.plant.moment.mode is RobotMode.IDLE
    turned = Rotation.from_quat(scene.arm.palm.xyzw)
    assert (turned.inv() * scene.start.rotation).magnitude() > 0.05, "it stopped where it was"
