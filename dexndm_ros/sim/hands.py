# SPDX-License-Identifier: Apache-2.0
"""What all batches of hands have in common, whoever computes the physics: state, palm frame, servo torques."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import mujoco
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from dexndm_ros.hand.description import FINGERS
from dexndm_ros.hand.joints import JOINT_NAMES
from dexndm_ros.sim.hand_model import xyzw
from dexndm_ros.sim.scene import OBJECT_JOINT, build_model, pieces_of
from dexndm_ros.sim.worlds import World

__all__ = ["Array", "Hands", "JointLoad", "compile_worlds"]

Array = NDArray[np.float64]
JointLoad = Callable[[Array, Array], Array]
"""Torques on the joints (N, 16) N·m from angles (N, 16) rad and velocities (N, 16) rad/s."""


def compile_worlds(worlds: Sequence[World]) -> list[mujoco.MjModel]:
    """A model for each world, all with as many geoms; worlds that are equal share one."""
    most = max(pieces_of(world) for world in worlds)
    compiled = {world: build_model(world, pieces=most) for world in dict.fromkeys(worlds)}
    return [compiled[world] for world in worlds]


class Hands(ABC):
    """N worlds with a hand and an object, advanced together one control period at a time.

    Attributes:
        count: number of worlds, N.
        worlds: the worlds.
        control_period_s: what one `step` lasts.
        kp: position gains of the servos, (N, 16) N·m/rad.
        kd: damping gains, (N, 16) N·m·s/rad.
        torque_limit: of the servos, (N, 16) N·m.
        palm_rotation: palm frame's orientation in the world, N rotations.
        q: joint angles, (N, 16) rad.
        qd: joint velocities, (N, 16) rad/s.
        object_position: object centre, (N, 3) m, palm frame.
        object_rotation: object orientation in the palm frame, N rotations.
        tip_force: net contact force of each fingertip link on the object, (N, 4) N.
        tip_position: fingertips, (N, 4, 3) m, palm frame.
        up: against gravity, (N, 3), palm frame.

    Worlds without an object are taken too, but not beside worlds with one; those of the object and the tips are then
    all zero (and no rotation).

    Args:
        worlds: the worlds.
        models: compiled, one for each.
    """

    threads = 1
    """Of a CPU, that compute the physics."""

    def __init__(self, worlds: Sequence[World], models: Sequence[mujoco.MjModel]) -> None:
        self.worlds = list(worlds)
        self.count = len(self.worlds)
        model = models[0]
        self._substeps = self.worlds[0].preset.substeps
        self.control_period_s = self._substeps * model.opt.timestep
        self._layout(model)
        # Rows of MuJoCo's full physics state: time, positions, velocities.
        full = mujoco.mjtState.mjSTATE_FULLPHYSICS
        self._state = np.zeros((self.count, mujoco.mj_stateSize(model, full)))
        self._rest = np.zeros(self._state.shape[1])
        self._rest[1 : 1 + model.nq] = model.qpos0
        self._sensors = np.zeros((self.count, model.nsensordata))
        self._broken = np.zeros(self.count, dtype=bool)
        self.palm_rotation = Rotation.from_quat(np.array([w.wrist_xyzw() for w in self.worlds]))
        self._palm_inverse = self.palm_rotation.inv()
        self._palm_position = model.body("palm").pos.copy()
        self.kp = np.array([m.actuator_gainprm[:, 0] for m in models])
        self.kd = np.array([-m.actuator_biasprm[:, 2] for m in models])
        self.torque_limit = np.array([m.actuator_forcerange[:, 1] for m in models])
        self._down = model.opt.gravity.copy()
        self._gravity = np.tile(self._down, (self.count, 1))
        self.up = self._palm_inverse.apply([0.0, 0.0, 1.0])
        self._unpack()

    def _layout(self, model: mujoco.MjModel) -> None:
        nq = model.nq
        self._q_slots = 1 + np.array([model.joint(n).qposadr[0] for n in JOINT_NAMES])
        self._dofs = np.array([model.joint(n).dofadr[0] for n in JOINT_NAMES])
        self._v_slots = 1 + nq + self._dofs
        self._positions = slice(1, 1 + nq)
        self._velocities = slice(1 + nq, 1 + nq + model.nv)
        self._has_object = self.worlds[0].object.kind != "none"
        if not self._has_object:
            return
        free = model.joint(OBJECT_JOINT)
        self._object_q = 1 + free.qposadr[0]
        self._object_dof = free.dofadr[0]
        self._force_slots = np.array(
            [model.sensor(f"{f}_tip_force").adr[0] + np.arange(3) for f in FINGERS]
        )
        self._tip_slots = np.array(
            [model.sensor(f"{f}_tip_position").adr[0] + np.arange(3) for f in FINGERS]
        )

    def set_state(
        self,
        rows: NDArray[np.intp],
        q: Array,
        position: Array | None = None,
        rotation_xyzw: Array | None = None,
        target: Array | None = None,
        velocity: Array | None = None,
    ) -> None:
        """Place hand and object, the object at rest.

        Args:
            rows: which worlds, (n,).
            q: joint angles, (n, 16).
            position: object centre, (n, 3) m, palm frame; not used in worlds without object.
            rotation_xyzw: object orientation, (n, 4), palm frame; likewise.
            target: what the servos have been holding, (n, 16) rad; ``q`` unless given. It matters where
                commands are late or joints have play.
            velocity: of the joints, (n, 16) rad/s; at rest unless given.
        """
        state = self._state
        state[rows, :] = self._rest
        state[np.ix_(rows, self._q_slots)] = q
        if velocity is not None:
            state[np.ix_(rows, self._v_slots)] = velocity
        if self._has_object:
            if position is None or rotation_xyzw is None:
                raise ValueError("a world with an object needs the object's position and rotation")
            palm = self.palm_rotation[rows]
            state[rows, self._object_q : self._object_q + 3] = (
                palm.apply(position) + self._palm_position
            )
            world = (palm * Rotation.from_quat(rotation_xyzw)).as_quat()
            state[rows, self._object_q + 3 : self._object_q + 7] = np.roll(world, 1, axis=-1)
        self._sensors[rows] = 0.0
        self._broken[rows] = False
        self._placed(rows, q if target is None else target)
        self._unpack()

    @abstractmethod
    def _placed(self, rows: NDArray[np.intp], target: Array) -> None:
        """The state of rows (n,) is new; their servos have been holding targets (n, 16) rad."""

    def turn(self, rows: NDArray[np.intp], wrists_xyzw: Array) -> None:
        """Turn hands another way: what turns is gravity, so nothing that is seen in the palm frame jumps.

        Args:
            rows: which worlds, (n,).
            wrists_xyzw: orientation of the palm in the world, (n, 4).
        """
        down = Rotation.from_quat(wrists_xyzw).inv().apply(self._down)
        self.up[rows] = -down / np.linalg.norm(self._down)
        self._gravity[rows] = self.palm_rotation[rows].apply(down)
        self._gravity_turned(rows)

    @abstractmethod
    def _gravity_turned(self, rows: NDArray[np.intp]) -> None:
        """The gravity of rows (n,) is new."""

    @abstractmethod
    def step(self, target: Array, load: JointLoad | None = None, push: Array | None = None) -> None:
        """Hold joint targets for one control period.

        Args:
            target: (N, 16) rad.
            load: what else turns the joints, asked before every physics step; None = nothing.
            push: force on the object's centre, (N, 3) N, world frame; None = none.
        """

    @abstractmethod
    def penetration(self) -> Array:
        """How deep the deepest contact of each object is, (N,) m."""

    def memory(self) -> dict[str, Array]:
        """All that decides what the next steps do, copied; rows (N, ...) by name."""
        return {"state": self._state.copy(), "gravity": self._gravity.copy()}

    def recall(self, memory: dict[str, Array]) -> None:
        """Go on from a `memory` of the same worlds."""
        self._state[:] = memory["state"]
        if not np.array_equal(self._gravity, memory["gravity"]):
            self._gravity[:] = memory["gravity"]
            self.up = self._palm_inverse.apply(-self._gravity / np.linalg.norm(self._down))
            self._gravity_turned(np.arange(self.count))
        self._broken[:] = False
        self._unpack()

    def torque(self, target: Array) -> Array:
        """Servo torques (N, 16) N·m that the present state and a target give.

        With a gap it is the target that has got through to the servos.
        """
        wanted = self.kp * (target - self.q) - self.kd * self.qd
        return np.clip(wanted, -self.torque_limit, self.torque_limit)

    def finite(self) -> NDArray[np.bool_]:
        """Which worlds' physics still holds, (N,): no number is NaN or beyond what MuJoCo takes for real."""
        # A comparison with NaN is false.
        within = (np.abs(self._state) < mujoco.mjMAXVAL).all(axis=1)
        return np.asarray(within & ~self._broken)

    def _applied(self, torque: Array | None, push: Array | None) -> Array | None:
        """Generalised forces (N, nv) of joint torques (N, 16) and a push on the object (N, 3), both or neither."""
        if torque is None and push is None:
            return None
        applied = np.zeros((self.count, self._velocities.stop - self._velocities.start))
        if torque is not None:
            applied[:, self._dofs] = torque
        if push is not None:  # the first three of a free joint are the world's axes
            applied[:, self._object_dof : self._object_dof + 3] = push
        return applied

    def _see_joints(self) -> None:
        self.q = self._state[:, self._q_slots]
        self.qd = self._state[:, self._v_slots]

    def _unpack(self) -> None:
        self._see_joints()
        if not self._has_object:
            fingers = len(FINGERS)
            self.object_position = np.zeros((self.count, 3))
            self.object_rotation = Rotation.identity(self.count)
            self.tip_force = np.zeros((self.count, fingers))
            self.tip_position = np.zeros((self.count, fingers, 3))
            return
        state = self._state
        a = self._object_q
        self.object_position = self._palm_inverse.apply(state[:, a : a + 3] - self._palm_position)
        quat = xyzw(state[:, a + 3 : a + 7])
        # Before the first set_state the quaternion is all zero, and where the physics broke it may be NaN.
        quat = np.where(np.abs(quat).sum(axis=1, keepdims=True) > 0, quat, [0.0, 0.0, 0.0, 1.0])
        self.object_rotation = self._palm_inverse * Rotation.from_quat(quat)
        sensors = self._sensors
        self.tip_force = np.linalg.norm(sensors[:, self._force_slots], axis=-1)
        tips = sensors[:, self._tip_slots] - self._palm_position
        self.tip_position = np.stack(
            [self._palm_inverse.apply(tips[:, k]) for k in range(len(FINGERS))], axis=1
        )
