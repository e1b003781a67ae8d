# SPDX-License-Identifier: Apache-2.0
"""Many candidate hands through many clips at once: open loop, free hand, whole clips in one call of ``mujoco.rollout``.

The models are those of ``build_model``, with a candidate's numbers written into copies; a test holds them to
``HandBatch`` in the world that ``with_values`` makes of the same numbers. Each joint may have a delay of its own:
fingers that touch nothing do not feel each other, and a finger's joints hardly do, so that one rollout tries a
candidate of each.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Sequence

import mujoco
import numpy as np
from mujoco import rollout
from numpy.typing import NDArray

from dexndm_ros.hand.description import LINKS
from dexndm_ros.hand.joints import JOINT_COUNT, JOINT_NAMES
from dexndm_ros.sim.box import BoxConfig
from dexndm_ros.sim.scene import build_model
from dexndm_ros.sim.worlds import ObjectConfig, World
from dexndm_ros.training.sysid.clips import Clip
from dexndm_ros.training.sysid.errors import SysidError
from dexndm_ros.training.sysid.parameters import Values, nominal_values

__all__ = ["FreeHands", "free_world"]

Array = NDArray[np.float64]
_CHUNK_BYTES = 48 * 2**20
"""Of the states that one call of rollout writes."""


def free_world(world: World, physics: str = "") -> World:
    """The world with nothing in or about the hand.

    Args:
        world: any.
        physics: another preset; "" = the world's.
    """
    return dataclasses.replace(
        world,
        object=ObjectConfig(kind="none"),
        box=BoxConfig(),
        physics=physics or world.physics,
    )


class FreeHands:
    """Simulates clips with candidate values.

    Args:
        world: base world; what is no candidate's number is its.
        clips: to simulate.
        physics: preset; "" = the world's.
        contacts: fingers can touch each other. Without, it is two to four times faster.
        threads: physics threads.

    Raises:
        SysidError: a base world whose springs soften or whose motors tire: these are not simulated here.
    """

    def __init__(
        self,
        world: World,
        clips: Sequence[Clip],
        physics: str = "",
        contacts: bool = False,
        threads: int = 2,
    ) -> None:
        if world.gap.bends_torque:
            raise SysidError(
                f"world {world.name}: gap.load_gain and gap.torque_loss must be 0 in the world that an "
                f"identification starts from"
            )
        self.clips = list(clips)
        self.world = free_world(world, physics)
        self._nominal = nominal_values(self.world)
        servo = dataclasses.replace(world.servo, kp_scale=1.0, kd_scale=1.0, torque_scale=1.0)
        self._gains = servo.gains()
        self._substeps = self.world.preset.substeps
        self._wrists = list(dict.fromkeys(clip.wrist for clip in clips))
        no_masses = dataclasses.replace(
            self.world.gap, link_mass_scale=(1.0,) * len(self.world.gap.link_mass_scale)
        )
        bare = dataclasses.replace(self.world, gap=no_masses)
        self._bases = [build_model(bare.with_wrist(wrist)) for wrist in self._wrists]
        model = self._bases[0]
        palm = model.body("palm").id
        for base in self._bases:
            if not contacts:
                base.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_CONTACT)
            base.body_mass[palm] *= self.world.gap.link_mass_scale[0]
            base.body_inertia[palm] *= self.world.gap.link_mass_scale[0]
        self._data = [mujoco.MjData(model) for _ in range(threads)]
        self._scratch = mujoco.MjData(model)
        self._rollout = rollout.Rollout(nthread=threads)
        self._q = 1 + np.array([model.joint(n).qposadr[0] for n in JOINT_NAMES])
        self._v = 1 + model.nq + np.array([model.joint(n).dofadr[0] for n in JOINT_NAMES])
        self._dofs = np.array([model.joint(n).dofadr[0] for n in JOINT_NAMES])
        self._links = np.array([model.body(name).id for name in list(LINKS)[1:]])
        self._size = mujoco.mj_stateSize(model, mujoco.mjtState.mjSTATE_FULLPHYSICS)

    def errors(self, values: Values, pairs: NDArray[np.intp], skip: int) -> Array:
        """Mean squared distance between simulated and measured angles, rad².

        Args:
            values: candidates, (K, 16).
            pairs: candidate and clip to simulate, (R, 2).
            skip: steps at the begin of a clip that do not count.

        Returns:
            (R, 16); infinite where the simulation was not finite.
        """
        found = np.empty((len(pairs), JOINT_COUNT))

        def take(row: int, q: Array, clip: Clip) -> None:
            found[row] = np.mean((q[skip:] - clip.q[skip + 1 :]) ** 2, axis=0)

        self._each(values, pairs, take)
        return np.where(np.isfinite(found), found, np.inf)

    def residuals(self, values: Values, clips: Sequence[int], skip: int) -> Array:
        """Simulated less measured angles of all clips, one after the other, (K, steps, 16) rad.

        Args:
            values: candidates, (K, 16).
            clips: to simulate.
            skip: steps at the begin of a clip that do not count.
        """
        count = len(next(iter(values.values())))
        pairs = np.array([(k, clip) for k in range(count) for clip in clips], dtype=np.intp)
        found: list[Array] = [np.empty(0)] * len(pairs)

        def take(row: int, q: Array, clip: Clip) -> None:
            found[row] = q[skip:] - clip.q[skip + 1 :]

        self._each(values, pairs, take)
        rows = [found[k * len(clips) : (k + 1) * len(clips)] for k in range(count)]
        return np.stack([np.concatenate(row) for row in rows])

    def angles(self, values: Values, clip: int) -> Array:
        """Angles after each step of one clip, (T, 16) rad, of one candidate.

        Args:
            values: of it, (16,).
            clip: which.
        """
        found: list[Array] = []
        one = {name: np.asarray(value)[None] for name, value in values.items()}
        self._each(one, np.array([[0, clip]]), lambda _, q, __: found.append(q.copy()))
        return found[0]

    def _each(
        self,
        values: Values,
        pairs: NDArray[np.intp],
        take: Callable[[int, Array, Clip], None],
    ) -> None:
        every = self._nominal | dict(values)
        models: dict[tuple[int, int], mujoco.MjModel] = {}
        # Rows of one call have one length.
        order = sorted(range(len(pairs)), key=lambda row: len(self.clips[pairs[row, 1]]))
        begin = 0
        while begin < len(order):
            steps = len(self.clips[pairs[order[begin], 1]])
            most = max(1, _CHUNK_BYTES // (steps * self._substeps * self._size * 8))
            rows = [
                row
                for row in order[begin : begin + most]
                if len(self.clips[pairs[row, 1]]) == steps
            ]
            begin += len(rows)
            told = [(row, int(pairs[row, 0]), int(pairs[row, 1])) for row in rows]
            for _, k, c in told:
                key = (k, self._wrists.index(self.clips[c].wrist))
                if key not in models:
                    models[key] = self._model(every, k, key[1])
            self._run(every, told, models, take)

    def _run(
        self,
        every: Values,
        rows: list[tuple[int, int, int]],
        models: dict[tuple[int, int], mujoco.MjModel],
        take: Callable[[int, Array, Clip], None],
    ) -> None:
        state = np.zeros((len(rows), self._size))
        for place, (_, _, c) in enumerate(rows):
            state[place, self._q] = self.clips[c].q[0]
            state[place, self._v] = self.clips[c].qd
        states, _ = self._rollout.rollout(
            [models[k, self._wrists.index(self.clips[c].wrist)] for _, k, c in rows],
            self._data,
            state,
            self._controls(every, rows),
        )
        after = states[:, self._substeps - 1 :: self._substeps, self._q]
        for place, (row, _, c) in enumerate(rows):
            take(row, after[place], self.clips[c])

    def _model(self, every: Values, k: int, wrist: int) -> mujoco.MjModel:
        model = copy.copy(self._bases[wrist])

        def of(name: str) -> Array:
            value = every[name]
            return value[k] if value.ndim == 2 else value

        kp, kd = self._gains.kp_nm_rad * of("kp"), self._gains.kd_nms_rad * of("kd")
        limit = self._gains.torque_limit_nm * of("torque")
        model.actuator_gainprm[:, 0] = kp
        model.actuator_biasprm[:, 1] = -kp
        model.actuator_biasprm[:, 2] = -kd
        model.actuator_forcerange = np.stack([-limit, limit], axis=1)
        model.dof_frictionloss[self._dofs] = np.add(
            self.world.hand.friction_loss_nm, of("friction")
        )
        model.dof_armature[self._dofs] = of("armature")
        model.body_mass[self._links] *= of("mass")
        model.body_inertia[self._links] *= of("mass")[:, None]
        mujoco.mj_setConst(model, self._scratch)
        return model

    def _controls(self, every: Values, rows: list[tuple[int, int, int]]) -> Array:
        """Targets in force in each physics step, (R, T substeps, 16), as ``ServoGap`` has them."""

        def of(name: str) -> Array:
            value = every[name]
            return value[[k for _, k, _ in rows]] if value.ndim == 2 else value[None]

        target = np.stack([self.clips[c].action for _, _, c in rows])
        held = np.stack([self.clips[c].held for _, _, c in rows])
        half = of("backlash") / 2.0
        played, at = np.empty_like(target), held
        for step in range(target.shape[1]):
            at = np.clip(at, target[:, step] - half, target[:, step] + half)
            played[:, step] = at
        late = np.broadcast_to(of("delay") / self.world.preset.time_step_s, held.shape)
        whole = np.floor(late + 1e-9).astype(np.intp)
        part = np.maximum(late - whole, 0.0)
        pad = int(whole.max()) + 1
        asked = np.repeat(played, self._substeps, axis=1)
        line = np.concatenate([np.repeat(held[:, None], pad, axis=1), asked], axis=1)
        slot = pad + np.arange(asked.shape[1])[None, :, None] - whole[:, None]
        now = np.take_along_axis(line, slot, axis=1)
        before = np.take_along_axis(line, slot - 1, axis=1)
        control: Array = now + part[:, None] * (before - now) + of("offset")[:, None]
        return control
