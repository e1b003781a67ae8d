# SPDX-License-Identifier: Apache-2.0
"""Many hands at once: a batch of MuJoCo models stepped by threads in ``mujoco.rollout``.

Everything the outside sees is in motor order and in the palm frame; quaternions are x y z w.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import mujoco
import numpy as np
from mujoco import rollout
from numpy.typing import NDArray

from dexndm_ros.hand.joints import JOINT_COUNT
from dexndm_ros.sim.gap import ServoGap
from dexndm_ros.sim.hands import Array, Hands, JointLoad, compile_worlds
from dexndm_ros.sim.scene import OBJECT_BODY
from dexndm_ros.sim.worlds import World

__all__ = ["HandBatch", "JointLoad"]


class HandBatch(Hands):
    """Hands whose physics is MuJoCo's own, in float64, on the threads of a CPU.

    Args:
        worlds: the worlds.
        threads: that compute the physics.
    """

    def __init__(self, worlds: Sequence[World], threads: int = 2) -> None:
        self.models = compile_worlds(worlds)
        super().__init__(worlds, self.models)
        # Motors that each warm up in their own way need a model of their own.
        self._warming = [k for k, w in enumerate(self.worlds) if np.any(w.gap.torque_loss)]
        for k in self._warming:
            self.models[k] = copy.copy(self.models[k])
        self._turned = False
        model = self.models[0]
        self.threads = threads
        self._rollout = rollout.Rollout(nthread=threads)
        self._data = [mujoco.MjData(model) for _ in range(threads)]
        self._warmstart = np.zeros((self.count, model.nv))
        self._buffers = {
            steps: (
                np.zeros((self.count, steps, self._state.shape[1])),
                np.zeros((self.count, steps, model.nsensordata)),
            )
            for steps in (1, self._substeps)
        }
        self._gap = ServoGap([w.gap for w in self.worlds], model.opt.timestep, self.q)

    def _placed(self, rows: NDArray[np.intp], target: Array) -> None:
        self._warmstart[rows] = 0.0
        self._gap.reset(rows, target)

    def _gravity_turned(self, rows: NDArray[np.intp]) -> None:
        if not self._turned:  # from now on each row has a model of its own
            self._turned = True
            self.models = [copy.copy(model) for model in self.models]
        for row in rows:
            self.models[row].opt.gravity[:] = self._gravity[row]

    def copy_states(self, rows: NDArray[np.intp], source: HandBatch, of: NDArray[np.intp]) -> None:
        """Go on from where hands of another batch stand: motion, contacts, gravity, what their servos remember.

        Physics preset and parameters of the worlds may differ. With the same ones, what follows is the same to the
        last bit.

        Args:
            rows: which worlds of this batch, (n,).
            source: the other batch.
            of: its worlds, one for each row, (n,); one may serve many rows.

        Raises:
            ValueError: an object in one of the two only, or palms that are mounted another way.
        """
        if self._has_object != source._has_object:
            raise ValueError("states of worlds with an object do not fit worlds without one")
        apart = (self.palm_rotation[rows] * source.palm_rotation[of].inv()).magnitude()
        if apart.max(initial=0.0) > 1e-6:
            raise ValueError("states can only be copied between worlds with the same wrist")
        self._state[rows] = source._state[of]
        self._warmstart[rows] = source._warmstart[of]
        self._sensors[rows] = source._sensors[of]
        self._gap.copy_memory(rows, source._gap, of)
        if self._turned or source._turned:
            self.up[rows] = source.up[of]
            self._gravity[rows] = source._gravity[of]
            self._gravity_turned(rows)
        self._broken[rows] = source._broken[of]
        self._unpack()

    def step(self, target: Array, load: JointLoad | None = None, push: Array | None = None) -> None:
        """Hold joint targets for one control period; see `Hands.step`."""
        self._broken[:] = False
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
        # Where a number went bad, MuJoCo has put its initial state in place of the world's, and stopped the clock.
        self._broken |= np.abs(last[:, 0] - self._state[:, 0] - steps * step_s) > 0.5 * step_s
        # rollout starts its solver cold: hand it the acceleration of the last substep.
        self._warmstart = (last[:, self._velocities] - before[:, self._velocities]) / step_s
        self._state = last.copy()

    def memory(self) -> dict[str, Array]:
        """All that decides what the next steps do; see `Hands.memory`."""
        gap = {f"gap_{name}": rows for name, rows in self._gap.memory().items()}
        return super().memory() | {"warmstart": self._warmstart.copy()} | gap

    def recall(self, memory: dict[str, Array]) -> None:
        """Go on from a `memory` of the same worlds."""
        self._warmstart = memory["warmstart"].copy()
        self._gap.recall({name.removeprefix("gap_"): rows for name, rows in memory.items()})
        super().recall(memory)

    def torque(self, target: Array) -> Array:
        """Servo torques (N, 16) N·m; see `Hands.torque`."""
        if self._gap.any:
            return self._gap.torque(self.q, self.qd, self.kp, self.kd, self.torque_limit)
        return super().torque(target)

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
