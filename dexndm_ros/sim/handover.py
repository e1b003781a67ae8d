# SPDX-License-Identifier: Apache-2.0
"""Putting the object into the virtual hand, as a person would who stands beside it.

The hand moves only by its motors. After a reset the object waits beside the hand, where nothing touches
it, until its place between the fingers is free. Then it is held there, immovable as between an operator's
fingers, until the hand has taken hold and stands still, and is let go.

Where an arm carries the hand, the object hangs in a holder, away from the hand, and the arm has to bring the hand to
it; the holder lets go as the operator would.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import mujoco
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from dexndm_ros.sim.hand_model import FINGERTIP_SENSORS, wxyz, xyzw
from dexndm_ros.sim.scene import OBJECT_BODY, OBJECT_JOINT
from dexndm_ros.sim.worlds import GRASP_CENTRE_M

__all__ = ["Handover", "HandoverConfig", "ObjectPhase"]

Vector = NDArray[np.float64]

_IMMOVABLE = 1e3
"""Added inertia of the held object, kg and kg·m²: contacts stay as soft as with the free object."""
_WAITING_PLACE_M = np.array([-0.005, 0.22, -0.125])
_PALM_BODY = "palm"


class ObjectPhase(Enum):
    """Where the object is."""

    WAITING = "waiting beside the hand"
    HELD = "held in place by the operator"
    FREE = "in the hand alone"
    GONE = "fallen"


@dataclass(frozen=True)
class HandoverConfig:
    """When the operator puts the object in place and lets go.

    Attributes:
        offset_m: largest distance of the place from the grasp centre along each palm axis.
        fingertips: fingertips that must press before it is let go.
        press_n: force that counts as pressing.
        steady_s: how long the joint goals must have stood still.
        patience_s: pressed for so long it is let go although the goals still move.
        goal_tolerance_rad: change of a goal that counts as motion.
        gone_m: distance from its place in the hand at which a falling object is taken away.
        away_m: where its place is, from the hand's grasp centre at the reset, along the world's axes; not zero where an
            arm is to bring the hand to it.
    """

    offset_m: float = 0.004
    fingertips: int = 2
    press_n: float = 0.05
    steady_s: float = 0.5
    patience_s: float = 4.0
    goal_tolerance_rad: float = 2e-3
    gone_m: float = 0.3
    away_m: tuple[float, float, float] = (0.0, 0.0, 0.0)


class Handover:
    """Handles the object of one world; called by the physics thread after each step.

    Args:
        model: a world with the object.
        data: its state.
        config: habits.
    """

    def __init__(
        self, model: mujoco.MjModel, data: mujoco.MjData, config: HandoverConfig | None = None
    ) -> None:
        self._model, self._data = model, data
        self._scratch = mujoco.MjData(model)
        self._config = config or HandoverConfig()
        joint = model.joint(OBJECT_JOINT)
        self._qpos = slice(joint.qposadr[0], joint.qposadr[0] + 7)
        self._qvel = slice(joint.dofadr[0], joint.dofadr[0] + 6)
        self._body = model.body(OBJECT_BODY).id
        geoms = np.flatnonzero(model.geom_bodyid == self._body)
        self._geoms = geoms[(model.geom_contype[geoms] | model.geom_conaffinity[geoms]) != 0]
        self._bits = (
            model.geom_contype[self._geoms].copy(),
            model.geom_conaffinity[self._geoms].copy(),
        )
        self._sensors = [int(model.sensor(name).adr[0]) for name in FINGERTIP_SENSORS]
        mujoco.mj_kinematics(model, data)
        self._palm = model.body(_PALM_BODY).id
        self._start_palm = self._palm_pose()
        self._place = np.zeros(7)
        self._taken_at = np.zeros(3)
        self._waiting_place = self._world_pose(_WAITING_PLACE_M, Rotation.identity())
        self._goal = np.zeros(0)
        self._steady_s = self._pressed_s = self._since_check_s = 0.0
        self.phase = ObjectPhase.WAITING
        self.reset(np.random.default_rng(0))

    def reset(self, rng: np.random.Generator) -> None:
        """Take the object out and choose its next place: any yaw, a few millimetres off the centre.

        It is chosen from where the palm is now: an arm need not come back to a place that somebody has measured.
        """
        self._start_palm = self._palm_pose()
        limit = self._config.offset_m
        position = GRASP_CENTRE_M + rng.uniform(-limit, limit, 3)
        yaw = Rotation.from_rotvec([0.0, 0.0, rng.uniform(-np.pi, np.pi)])
        self._place = self._world_pose(position, yaw)
        self._place[:3] += self._config.away_m
        self._take_away(ObjectPhase.WAITING)

    def pose(self) -> tuple[Vector, Rotation]:
        """Object centre (m) and orientation in the palm frame."""
        return self.in_palm(self.raw_pose())

    def raw_pose(self) -> Vector:
        """Object and palm in the world now, a copy for `in_palm` in another thread; shape (14,)."""
        return np.concatenate([self._data.qpos[self._qpos], self._palm_pose()])

    def in_palm(self, poses: Vector) -> tuple[Vector, Rotation]:
        """The object's pose in the palm frame.

        Args:
            poses: position and quaternion (w x y z) of the object, then of the palm, shape (14,).
        """
        inverse = Rotation.from_quat(xyzw(poses[10:])).inv()
        rotation = Rotation.from_quat(xyzw(poses[3:7]))
        return inverse.apply(poses[:3] - poses[7:10]), inverse * rotation

    def after_step(self, goal_rad: Vector) -> None:
        """Do what is due after a physics step.

        Args:
            goal_rad: the motors' goals, shape (16,).
        """
        dt_s = self._model.opt.timestep
        match self.phase:
            case ObjectPhase.WAITING:
                self._since_check_s += dt_s
                if self._since_check_s >= 0.05:
                    self._since_check_s = 0.0
                    if self._place_is_free():
                        self._hold()
            case ObjectPhase.HELD:
                self._fix(self._place)
                if self._taken(goal_rad, dt_s):
                    self._let_go()
            case ObjectPhase.FREE:
                away = np.linalg.norm(self._position_in_palm() - self._taken_at)
                if not away <= self._config.gone_m:
                    self._take_away(ObjectPhase.GONE)
            case ObjectPhase.GONE:
                pass
        if self.phase in (ObjectPhase.WAITING, ObjectPhase.GONE):
            self._fix(self._waiting_place)

    # --- steps of the procedure ---

    def _take_away(self, phase: ObjectPhase) -> None:
        self.phase = phase
        self._touchable(False)
        self._model.dof_armature[self._qvel] = 0.0
        self._since_check_s = 0.0
        self._fix(self._waiting_place)

    def _hold(self) -> None:
        self.phase = ObjectPhase.HELD
        self._touchable(True)
        self._model.dof_armature[self._qvel] = _IMMOVABLE
        self._steady_s = self._pressed_s = 0.0
        self._goal = np.zeros(0)
        self._fix(self._place)

    def _let_go(self) -> None:
        self.phase = ObjectPhase.FREE
        self._model.dof_armature[self._qvel] = 0.0
        self._fix(self._place)
        self._taken_at = self._position_in_palm()

    def _taken(self, goal_rad: Vector, dt_s: float) -> bool:
        """Whether enough fingertips press and the hand stands still (or has pressed for long)."""
        config = self._config
        moved = self._goal.shape != goal_rad.shape or (
            np.abs(goal_rad - self._goal).max() > config.goal_tolerance_rad
        )
        if moved:
            self._goal = goal_rad.copy()
        self._steady_s = 0.0 if moved else self._steady_s + dt_s
        force = [np.linalg.norm(self._data.sensordata[at : at + 3]) for at in self._sensors]
        pressing = sum(f > config.press_n for f in force) >= config.fingertips
        self._pressed_s = self._pressed_s + dt_s if pressing else 0.0
        steady = pressing and self._steady_s >= config.steady_s
        return steady or self._pressed_s >= config.patience_s

    def _place_is_free(self) -> bool:
        """Whether the object would overlap nothing in its place."""
        self._touchable(True)
        scratch = self._scratch
        scratch.qpos[:] = self._data.qpos
        scratch.qpos[self._qpos] = self._place
        mujoco.mj_kinematics(self._model, scratch)
        mujoco.mj_collision(self._model, scratch)
        touching = np.isin(scratch.contact.geom[: scratch.ncon], self._geoms).any(axis=1)
        overlaps = bool((touching & (scratch.contact.dist[: scratch.ncon] < 0.0)).any())
        self._touchable(False)
        return not overlaps

    # --- state of the model ---

    def _touchable(self, on: bool) -> None:
        contype, conaffinity = self._bits
        self._model.geom_contype[self._geoms] = contype if on else 0
        self._model.geom_conaffinity[self._geoms] = conaffinity if on else 0

    def _fix(self, pose: Vector) -> None:
        self._data.qpos[self._qpos] = pose
        self._data.qvel[self._qvel] = 0.0

    def _world_pose(self, position: Vector, rotation: Rotation) -> Vector:
        """A pose in the palm frame at the reset, as the free joint's position and quaternion (w x y z)."""
        palm = Rotation.from_quat(xyzw(self._start_palm[3:]))
        world = self._start_palm[:3] + palm.apply(position)
        return np.concatenate([world, wxyz((palm * rotation).as_quat())])

    def _palm_pose(self) -> Vector:
        """Position and quaternion (w x y z) of the palm, shape (7,)."""
        return np.concatenate([self._data.xpos[self._palm], self._data.xquat[self._palm]])

    def _position_in_palm(self) -> Vector:
        away = self._data.qpos[self._qpos][:3] - self._data.xpos[self._palm]
        place: Vector = self._data.xmat[self._palm].reshape(3, 3).T @ away
        return place
