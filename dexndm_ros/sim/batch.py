# SPDX-License-Identifier: Apache-2.0
"""Many hands at once: a batch of MuJoCo models stepped by threads in ``mujoco.rollout``.

Everything the outside sees is in motor order and in the palm frame; quaternions are x y z w.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import mujoco
import numpy as np
from mujoco import rollout
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from dexndm_ros.hand.description import FINGERS
from dexndm_ros.hand.joints import JOINT_COUNT, JOINT_NAMES
from dexndm_ros.sim.gap import ServoGap
from dexndm_ros.sim.hand_model import xyzw
from dexndm_ros.sim.scene import OBJECT_BODY, OBJECT_JOINT, build_model, pieces_of
from dexndm_ros.sim.worlds import World

__all__ = ["HandBatch", "JointLoad"]

Array = NDArray[np.float64]
JointLoad = Callable[[Array, Array], Array]
"""Torques on the joints (N, 16) N·m from angles (N, 16) rad and velocities (N, 16) rad/s."""


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
        up: against gravity, (N, 3), palm frame.

    Worlds without an object are taken too, but not beside worlds with one; those of the object and the tips are then
    all zero (and no rotation).
    """

    def __init__(self, worlds: Sequence[World], threads: int = 2) -> None:
        self.worlds = list(worlds)
        self.count = len(self.worlds)
        # Worlds that are equal share a compiled model, but for motors that each warm up in their own way.
        most = max(pieces_of(world) for world in self.worlds)
        compiled = {world: build_model(world, pieces=most) for world in dict.fromkeys(self.worlds)}
        self.models = [compiled[world] for world in self.worlds]
        self._warming = [k for k, w in enumerate(self.worlds) if np.any(w.gap.torque_loss)]
        for k in self._warming:
            self.models[k] = copy.copy(self.models[k])
        model = self.models[0]
        self._substeps = self.worlds[0].preset.substeps
        self.control_period_s = self._substeps * model.opt.timestep
        self._rollout = rollout.Rollout(nthread=threads)
        self._data = [mujoco.MjData(model) for _ in range(threads)]
        self._layout(model)
        full = mujoco.mjtState.mjSTATE_FULLPHYSICS
        self._state = np.zeros((self.count, mujoco.mj_stateSize(model, full)))
        self._rest = np.zeros(self._state.shape[1])
        self._rest[1 : 1 + model.nq] = model.qpos0
        self._warmstart = np.zeros((self.count, model.nv))
        self._buffers = {
            steps: (
                np.zeros((self.count, steps, self._state.shape[1])),
                np.zeros((self.count, steps, model.nsensordata)),
            )
            for steps in (1, self._substeps)
        }
        self._sensors = np.zeros((self.count, model.nsensordata))
        wrists = np.array([w.wrist_xyzw() for w in self.worlds])
        self.palm_rotation = Rotation.from_quat(wrists)
        self._palm_inverse = self.palm_rotation.inv()
        self._palm_position = model.body("palm").pos.copy()
        self.kp = np.array([m.actuator_gainprm[:, 0] for m in self.models])
        self.kd = np.array([-m.actuator_biasprm[:, 2] for m in self.models])
        self.torque_limit = np.array([m.actuator_forcerange[:, 1] for m in self.models])
        self._gravity: Array | None = None  # of the world, once hands have been turned
        self.up = self.palm_rotation.inv().apply([0.0, 0.0, 1.0])
        self._unpack()
        self._gap = ServoGap([w.gap for w in self.worlds], model.opt.timestep, self.q)

    def _layout(self, model: mujoco.MjModel) -> None:
        nq = model.nq
        self._q_slots = 1 + np.array([model.joint(n).qposadr[0] for n in JOINT_NAMES])
        self._dofs = np.array([model.joint(n).dofadr[0] for n in JOINT_NAMES])
        self._v_slots = 1 + nq + self._dofs
        self._velocities = slice(1 + nq, 1 + nq + model.nv)
        self._has_object = self.worlds[0].object.kind != "none"
        if not self._has_object:
            return
        free = model.joint(OBJECT_JOINT)
        self._object_q = 1 + free.qposadr[0]
        self._object_dof = free.dofadr[0]
        self._object_v = 1 + nq + self._object_dof
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
        self._warmstart[rows] = 0.0
        self._sensors[rows] = 0.0
        self._gap.reset(rows, q if target is None else target)
        self._unpack()

    def turn(self, rows: NDArray[np.intp], wrists_xyzw: Array) -> None:
        """Turn hands another way: what turns is gravity, so nothing that is seen in the palm frame jumps.

        Args:
            rows: which worlds, (n,).
            wrists_xyzw: orientation of the palm in the world, (n, 4).
        """
        if self._gravity is None:  # from now on each row has a model of its own
            self._gravity = self.models[0].opt.gravity.copy()
            self.models = [copy.copy(model) for model in self.models]
        down = Rotation.from_quat(wrists_xyzw).inv().apply(self._gravity)
        self.up[rows] = -down / np.linalg.norm(self._gravity)
        for row, gravity in zip(rows, self.palm_rotation[rows].apply(down), strict=True):
            self.models[row].opt.gravity[:] = gravity

    def step(self, target: Array, load: JointLoad | None = None, push: Array | None = None) -> None:
        """Hold joint targets for one control period.

        Args:
            target: (N, 16) rad.
            load: what else turns the joints, asked before every physics step; None = nothing.
            push: force on the object's centre, (N, 3) N, world frame; None = none.
        """
        if self._gap.any:
            control = self._gap.commands(target, self._substeps)
        else:
            control = np.broadcast_to(target[:, None, :], (self.count, self._substeps, JOINT_COUNT))
        if self._gap.bends_torque or load is not None:
            for k in range(self._substeps):
                command = control[:, k]
                if self._gap.bends_torque:
                    command = self._soften(command)
                turn = None if load is None else load(self.q, self.qd)
                self._advance(command[:, None], self._applied(turn, push))
                self._see_joints()
        else:
            self._advance(control, self._applied(None, push))
        self._unpack()

    def _soften(self, target: Array) -> Array:
        """Controls for the next physics step; limits of warm motors go into their models."""
        limit = self._gap.limit(self.torque_limit)
        if self._warming:
            ranges = np.stack([-limit, limit], axis=2)
            for k in self._warming:
                self.models[k].actuator_forcerange[:] = ranges[k]
        return self._gap.control(target, self.q, self.qd, self.kp, self.kd, self.torque_limit)

    def _applied(self, torque: Array | None, push: Array | None) -> Array | None:
        """Generalised forces of joint torques (N, 16) and a push on the object (N, 3), both or neither."""
        if torque is None and push is None:
            return None
        applied = np.zeros_like(self._warmstart)
        if torque is not None:
            applied[:, self._dofs] = torque
        if push is not None:  # the first three of a free joint are the world's axes
            applied[:, self._object_dof : self._object_dof + 3] = push
        return applied

    def _advance(self, control: Array, applied: Array | None = None) -> None:
        """Physics steps under given controls, (N, steps, 16), and generalised forces, (N, nv)."""
        steps = control.shape[1]
        states, sensors = self._buffers[steps]
        given = mujoco.mjtState.mjSTATE_CTRL.value
        if applied is not None:
            given |= mujoco.mjtState.mjSTATE_QFRC_APPLIED.value
            forces = np.broadcast_to(applied[:, None], (self.count, steps, applied.shape[1]))
            control = np.concatenate([control, forces], axis=2)
        self._rollout.rollout(
            self.models,
            self._data,
            self._state,
            np.ascontiguousarray(control),
            control_spec=given,
            nstep=steps,
            initial_warmstart=self._warmstart,
            state=states,
            sensordata=sensors,
        )
        self._sensors = sensors[:, -1]
        last = states[:, -1]
        before = states[:, -2] if steps > 1 else self._state
        step_s = self.control_period_s / self._substeps
        # rollout starts its solver cold: hand it the acceleration of the last substep.
        self._warmstart = (last[:, self._velocities] - before[:, self._velocities]) / step_s
        self._state = last.copy()

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
        # Before the first set_state the quaternion is all zero.
        quat = np.where(np.abs(quat).sum(axis=1, keepdims=True) > 0, quat, [0.0, 0.0, 0.0, 1.0])
        self.object_rotation = self._palm_inverse * Rotation.from_quat(quat)
        sensors = self._sensors
        self.tip_force = np.linalg.norm(sensors[:, self._force_slots], axis=-1)
        tips = sensors[:, self._tip_slots] - self._palm_position
        self.tip_position = np.stack(
            [self._palm_inverse.apply(tips[:, k]) for k in range(len(FINGERS))], axis=1
        )

    def torque(self, target: Array) -> Array:
        """Servo torques (N, 16) N·m that the present state and a target give.

        With a gap it is the target that has got through to the servos.
        """
        if self._gap.any:
            return self._gap.torque(self.q, self.qd, self.kp, self.kd, self.torque_limit)
        wanted = self.kp * (target - self.q) - self.kd * self.qd
        return np.clip(wanted, -self.torque_limit, self.torque_limit)

    def penetration(self) -> Array:
        """How deep the deepest contact of each object is, (N,) m."""
        deepest = np.zeros(self.count)
        full = mujoco.mjtState.mjSTATE_FULLPHYSICS
        for row, (model, state) in enumerate(zip(self.models, self._state, strict=True)):
            data, body = self._data[0], model.body(OBJECT_BODY).id
            mujoco.mj_setState(model, data, state, full)
            mujoco.mj_kinematics(model, data)
            mujoco.mj_collision(model, data)
            contact = data.contact
            of_object = (model.geom_bodyid[contact.geom] == body).any(axis=-1)
            deepest[row] = -min(0.0, contact.dist[of_object].min(initial=0.0))
        return deepest

    def finite(self) -> NDArray[np.bool_]:
        """Which worlds still hold finite numbers, (N,)."""
        return np.asarray(np.isfinite(self._state).all(axis=1))
