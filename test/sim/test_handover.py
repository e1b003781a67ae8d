# SPDX-License-Identifier: Apache-2.0
"""The object is handed over without moving the hand and without overlap. Simulated time, no threads."""

import mujoco
import numpy as np
import pytest

from dexndm_ros.hand.joints import CANONICAL_POSE_RAD, JOINT_NAMES
from dexndm_ros.sim.handover import Handover, HandoverConfig, ObjectPhase
from dexndm_ros.sim.plant import MujocoPlant
from dexndm_ros.sim.scene import build_model
from dexndm_ros.sim.worlds import GRASP_CENTRE_M, World


class Scene:
    def __init__(self, wrist="palm_up", config=None):
        world = World(wrist=wrist)
        self.model = build_model(world)
        self.data = mujoco.MjData(self.model)
        self.plant = MujocoPlant(self.model, self.data)
        gains = world.servo.gains()
        self.plant.set_servo(gains.kp_nm_rad, gains.kd_nms_rad, gains.torque_limit_nm, np.zeros(16))
        self.handover = Handover(self.model, self.data, config)
        self.joints = [self.model.joint(n).qposadr[0] for n in JOINT_NAMES]

    def start_at(self, pose):
        self.data.qpos[self.joints] = pose

    def run(self, goal, seconds, from_goal=None):
        """Move the goal linearly; the phases passed through."""
        phases = []
        steps = round(seconds / self.plant.dt_s)
        for k in range(steps):
            now = goal if from_goal is None else from_goal + (goal - from_goal) * (k + 1) / steps
            self.plant.set_goal(now)
            self.plant.step()
            self.handover.after_step(now)
            if not phases or phases[-1] is not self.handover.phase:
                phases.append(self.handover.phase)
        return phases


@pytest.mark.parametrize("wrist", ["palm_up", "palm_down"])
def test_an_open_hand_is_given_the_object_takes_it_and_keeps_it(wrist):
    scene = Scene(wrist)
    opened = np.zeros(16)
    assert scene.run(opened, 0.5) == [ObjectPhase.WAITING, ObjectPhase.HELD]
    place, _ = scene.handover.pose()
    assert np.abs(place - GRASP_CENTRE_M).max() <= 0.004
    assert ObjectPhase.FREE not in scene.run(CANONICAL_POSE_RAD, 1.5, from_goal=opened)
    np.testing.assert_allclose(scene.handover.pose()[0], place, atol=1e-12)
    assert scene.run(CANONICAL_POSE_RAD, 0.7)[-1] is ObjectPhase.FREE
    if wrist == "palm_up":
        assert scene.run(CANONICAL_POSE_RAD, 2.0) == [ObjectPhase.FREE]
        assert np.linalg.norm(scene.handover.pose()[0] - place) < 0.03


def test_it_waits_while_a_finger_stands_in_its_place():
    scene = Scene()
    curled = np.full(16, 0.0)
    curled[[1, 5, 9]] = 1.5
    scene.start_at(curled)
    assert scene.run(curled, 0.5) == [ObjectPhase.WAITING]
    assert not scene.data.contact.geom[: scene.data.ncon].size or all(
        scene.model.geom("object").id not in pair for pair in scene.data.contact.geom
    )
    assert scene.run(np.zeros(16), 1.0)[-1] is ObjectPhase.HELD


def test_nobody_lets_go_into_an_open_hand():
    scene = Scene()
    assert scene.run(np.zeros(16), 6.0)[-1] is ObjectPhase.HELD


def test_a_hand_that_never_stands_still_gets_it_after_a_while():
    scene = Scene(config=HandoverConfig(patience_s=1.0))
    scene.run(np.zeros(16), 0.2)
    scene.run(CANONICAL_POSE_RAD, 1.0, from_goal=np.zeros(16))
    phase = ObjectPhase.HELD
    for k in range(60):
        (*_, phase) = scene.run(CANONICAL_POSE_RAD + 0.01 * (k % 2), 0.05)
    assert phase is ObjectPhase.FREE


def test_a_lost_object_is_taken_away_and_does_not_touch_the_hand():
    scene = Scene("palm_down")
    scene.run(np.zeros(16), 0.2)
    scene.run(CANONICAL_POSE_RAD, 1.0, from_goal=np.zeros(16))
    scene.run(CANONICAL_POSE_RAD, 0.7)
    assert scene.run(np.zeros(16), 2.0)[-1] is ObjectPhase.GONE
    assert np.isfinite(scene.data.qpos).all()
    scene.run(CANONICAL_POSE_RAD, 1.0)
    assert scene.handover.phase is ObjectPhase.GONE


def test_places_follow_the_seed():
    def places(seed):
        scene = Scene()
        out = []
        rng = np.random.default_rng(seed)
        for _ in range(3):
            scene.handover.reset(rng)
            scene.run(np.zeros(16), 0.2)
            assert scene.handover.phase is ObjectPhase.HELD
            out.append(
                np.concatenate([scene.handover.pose()[0], scene.handover.pose()[1].as_quat()])
            )
        return np.array(out)

    np.testing.assert_array_equal(places(1), places(1))
    assert (places(1) != places(2)).any(axis=1).all()
    assert len({tuple(p) for p in places(3)}) == 3


def test_the_model_is_left_as_it_was():
    scene = Scene()
    before = build_model(World())
    scene.run(np.zeros(16), 0.3)
    scene.run(CANONICAL_POSE_RAD, 1.0, from_goal=np.zeros(16))
    assert scene.run(CANONICAL_POSE_RAD, 0.7)[-1] is ObjectPhase.FREE
    for name in ("dof_armature", "geom_contype", "geom_conaffinity", "body_mass"):
        np.testing.assert_array_equal(getattr(scene.model, name), getattr(before, name))
