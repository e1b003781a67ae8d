# SPDX-License-Identifier: Apache-2.0
"""Many hands at once: a batch of MuJoCo models stepped by threads in ``mujoco.rollout``.

Everything the outside sees is in motor order and in the palm frame; quaternions are x y z w.
"""

from __future__ import annotations

from collections.abc import Sequence

import mujoco
import numpy as np
from mujoco import rollout
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from dexndm_ros.hand.description import FINGERS
from dexndm_ros.hand.joints import JOINT_COUNT, JOINT_NAMES
from dexndm_ros.sim.hand_model import xyzw
from dexndm_ros.sim.scene import OBJECT_JOINT, build_model
from dexndm_ros.sim.worlds import World

__all__ = ["HandBatch"]

Array = NDArray[np.float64]


class HandBatch:
    """N worlds with a hand and an object, advanced together one control period at a time.

    Attributes:
        count: number of worlds, N.
        worlds: the worlds.
        q: joint angles, (N, 16) rad.
        qd: joint velocities, (N, 16) rad/s.
        object_position: object centre, (N, 3) m, palm frame.
        object_rotation: object orientation in the palm frame, N rotations.
        tip_force: net contact force of each fingertip link on the object, (N, 4) N.
        tip_position: fingertips, (N, 4, 3) m, palm frame.
    """

    def __init__(self, worlds: Sequence[World], threads: int = 2) -> None:
        self.worlds = list(worlds)
        self.count = len(self.worlds)
        # Worlds that are equal share a compiled model.
        compiled = {world: build_model(world) for world in dict.fromkeys(self.worlds)}
        self.models = [compiled[world] for world in self.worlds]
        model = self.models[0]
        self._substeps = self.worlds[0].preset.substeps
        self.control_period_s = self._substeps * model.opt.timestep
        self._rollout = rollout.Rollout(nthread=threads)
        self._data = [mujoco.MjData(model) for _ in range(threads)]
        self._layout(model)
        full = mujoco.mjtState.mjSTATE_FULLPHYSICS
        self._state = np.zeros((self.count, mujoco.mj_stateSize(model, full)))
        self._warmstart = np.zeros((self.count, model.nv))
        self._states_out = np.zeros((self.count, self._substeps, self._state.shape[1]))
        self._sensors_out = np.zeros((self.count, self._substeps, model.nsensordata))
        wrists = np.array([w.wrist_xyzw() for w in self.worlds])
        self.palm_rotation = Rotation.from_quat(wrists)
        self._palm_inverse = self.palm_rotation.inv()
        self._palm_position = model.body("palm").pos.copy()
        self.kp = np.array([m.actuator_gainprm[:, 0] for m in self.models])
        self.kd = np.array([-m.actuator_biasprm[:, 2] for m in self.models])
        self.torque_limit = np.array([m.actuator_forcerange[:, 1] for m in self.models])
        self._unpack()

    def _layout(self, model: mujoco.MjModel) -> None:
        nq = model.nq
        self._q_slots = 1 + np.array([model.joint(n).qposadr[0] for n in JOINT_NAMES])
        self._v_slots = 1 + nq + np.array([model.joint(n).dofadr[0] for n in JOINT_NAMES])
        free = model.joint(OBJECT_JOINT)
        self._object_q = 1 + free.qposadr[0]
        self._object_v = 1 + nq + free.dofadr[0]
        self._velocities = slice(1 + nq, 1 + nq + model.nv)
        self._force_slots = np.array(
            [model.sensor(f"{f}_tip_force").adr[0] + np.arange(3) for f in FINGERS]
        )
        self._tip_slots = np.array(
            [model.sensor(f"{f}_tip_position").adr[0] + np.arange(3) for f in FINGERS]
        )

    def set_state(
        self, rows: NDArray[np.intp], q: Array, position: Array, rotation_xyzw: Array
    ) -> None:
        """Place hand and object at rest.

        Args:
            rows: which worlds, (n,).
            q: joint angles, (n, 16).
            position: object centre, (n, 3) m, palm frame.
            rotation_xyzw: object orientation, (n, 4), palm frame.
        """
        state = self._state
        state[rows, :] = 0.0
        state[np.ix_(rows, self._q_slots)] = q
        palm = self.palm_rotation[rows]
        state[rows, self._object_q : self._object_q + 3] = (
            palm.apply(position) + self._palm_position
        )
        world = (palm * Rotation.from_quat(rotation_xyzw)).as_quat()
        state[rows, self._object_q + 3 : self._object_q + 7] = np.roll(world, 1, axis=-1)
        self._warmstart[rows] = 0.0
        self._sensors_out[rows, -1] = 0.0
        self._unpack()

    def step(self, target: Array) -> None:
        """Hold joint targets (N, 16) rad for one control period."""
        control = np.broadcast_to(target[:, None, :], (self.count, self._substeps, JOINT_COUNT))
        self._rollout.rollout(
            self.models,
            self._data,
            self._state,
            np.ascontiguousarray(control),
            nstep=self._substeps,
            initial_warmstart=self._warmstart,
            state=self._states_out,
            sensordata=self._sensors_out,
        )
        last = self._states_out[:, -1]
        before = self._states_out[:, -2] if self._substeps > 1 else self._state
        step_s = self.control_period_s / self._substeps
        # rollout starts its solver cold: hand it the acceleration of the last substep.
        self._warmstart = (last[:, self._velocities] - before[:, self._velocities]) / step_s
        self._state = last.copy()
        self._unpack()

    def _unpack(self) -> None:
        state = self._state
        self.q = state[:, self._q_slots]
        self.qd = state[:, self._v_slots]
        a = self._object_q
        self.object_position = self._palm_inverse.apply(state[:, a : a + 3] - self._palm_position)
        quat = xyzw(state[:, a + 3 : a + 7])
        # Before the first set_state the quaternion is all zero.
        quat = np.where(np.abs(quat).sum(axis=1, keepdims=True) > 0, quat, [0.0, 0.0, 0.0, 1.0])
        self.object_rotation = self._palm_inverse * Rotation.from_quat(quat)
        sensors = self._sensors_out[:, -1]
        self.tip_force = np.linalg.norm(sensors[:, self._force_slots], axis=-1)
        tips = sensors[:, self._tip_slots] - self._palm_position
        self.tip_position = np.stack(
            [self._palm_inverse.apply(tips[:, k]) for k in range(len(FINGERS))], axis=1
        )

    def torque(self, target: Array) -> Array:
        """Servo torques (N, 16) N·m that the present state and a target give."""
        wanted = self.kp * (target - self.q) - self.kd * self.qd
        return np.clip(wanted, -self.torque_limit, self.torque_limit)

    def finite(self) -> NDArray[np.bool_]:
        """Which worlds still hold finite numbers, (N,)."""
        return np.asarray(np.isfinite(self._state).all(axis=1))
