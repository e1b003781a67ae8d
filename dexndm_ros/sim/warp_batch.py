# SPDX-License-Identifier: Apache-2.0
"""Many hands at once on a GPU: the same worlds as ``HandBatch``, stepped by ``mujoco_warp`` in float32.

The device keeps the physics; after each control step positions, velocities and sensors come back, so that what is
made of them is one code for both lanes.
"""

from __future__ import annotations

from collections.abc import Sequence

import mujoco_warp as mjw
import numpy as np
import warp as wp
from numpy.typing import NDArray

from dexndm_ros.sim.hands import Array, Hands, JointLoad, compile_worlds
from dexndm_ros.sim.scene import OBJECT_BODY
from dexndm_ros.sim.warp_model import WarpConfig, WarpError, overflow_error, put_worlds
from dexndm_ros.sim.worlds import World

__all__ = ["WarpHandBatch"]

wp.config.log_level = wp.LOG_WARNING  # else it prints a line for each of its fifty modules


class WarpHandBatch(Hands):
    """Hands whose physics runs on a CUDA device, or, slowly and for tests, on warp's CPU device.

    Args:
        worlds: the worlds; their objects of one kind, their servos without a gap.
        config: room for contacts and constraints.
        device: of warp: cuda, cuda:1, cpu.

    Raises:
        WarpError: worlds that cannot be stepped together, or no such device.
    """

    def __init__(
        self, worlds: Sequence[World], config: WarpConfig | None = None, device: str = "cuda"
    ) -> None:
        self.config = config or WarpConfig()
        wp.init()
        if device.startswith("cuda") and not wp.is_cuda_available():
            raise WarpError("warp finds no CUDA device here; use --device cpu, or --engine cpu")
        self.device = wp.get_device(device)
        models = compile_worlds(worlds)
        first = models[0]
        with wp.ScopedDevice(self.device):
            self._model = put_worlds(worlds, models)
            self._data = mjw.make_data(
                first, len(models), nconmax=self.config.nconmax, njmax=self.config.njmax
            )
            # Of its own from the beginning, since a captured graph keeps to the memory it was captured with.
            self._model.opt.gravity = wp.array(
                np.tile(first.opt.gravity, (len(models), 1)), dtype=wp.vec3
            )
        self._geom_body = first.geom_bodyid.copy()
        self._object_body = (
            first.body(OBJECT_BODY).id if worlds[0].object.kind != "none" else first.nbody
        )
        self._graph: wp.Graph | None = None
        self._pushed = False
        super().__init__(worlds, models)

    def _placed(self, rows: NDArray[np.intp], target: Array) -> None:
        warmstart = self._data.qacc_warmstart.numpy()
        warmstart[rows] = 0.0
        self._upload(warmstart)

    def _upload(self, warmstart: NDArray[np.float32]) -> None:
        state = self._state.astype(np.float32)
        self._data.time.assign(state[:, 0])
        self._data.qpos.assign(state[:, self._positions])
        self._data.qvel.assign(state[:, self._velocities])
        self._data.qacc_warmstart.assign(warmstart)

    def _gravity_turned(self, rows: NDArray[np.intp]) -> None:
        self._model.opt.gravity.assign(self._gravity.astype(np.float32))

    def step(self, target: Array, load: JointLoad | None = None, push: Array | None = None) -> None:
        """Hold joint targets for one control period; see `Hands.step`.

        Raises:
            WarpOverflowError: the simulator ran out of room and dropped contacts or constraints.
        """
        self._data.ctrl.assign(target.astype(np.float32))
        self._apply(None, push)
        for _ in range(self._substeps):
            if load is not None:
                self._apply(load(self.q, self.qd), push)
            self._physics_step()
            if load is not None:
                self._download()
                self._see_joints()
        self._download()
        self._sensors = self._data.sensordata.numpy().astype(np.float64)
        self._check_overflow()
        self._unpack()

    def _apply(self, torque: Array | None, push: Array | None) -> None:
        applied = self._applied(torque, push)
        if applied is not None:
            self._data.qfrc_applied.assign(applied.astype(np.float32))
        elif self._pushed:
            self._data.qfrc_applied.zero_()
        self._pushed = applied is not None

    def _physics_step(self) -> None:
        with wp.ScopedDevice(self.device):
            if self._graph is not None:
                wp.capture_launch(self._graph)
                return
            mjw.step(self._model, self._data)
            if (
                self.device.is_cuda
            ):  # all kernels are compiled by now; from here on one launch does a step
                with wp.ScopedCapture() as capture:
                    mjw.step(self._model, self._data)
                self._graph = capture.graph

    def _download(self) -> None:
        data = self._data
        self._state[:, 0] = data.time.numpy()
        self._state[:, self._positions] = data.qpos.numpy()
        self._state[:, self._velocities] = data.qvel.numpy()

    def _check_overflow(self) -> None:
        error = overflow_error(self._data.overflow.numpy(), self.config)
        if error is not None:
            self._data.overflow.zero_()
            raise error

    def memory(self) -> dict[str, Array]:
        """All that decides what the next steps do; see `Hands.memory`."""
        warmstart = self._data.qacc_warmstart.numpy().astype(np.float64)
        return super().memory() | {"warmstart": warmstart}

    def recall(self, memory: dict[str, Array]) -> None:
        """Go on from a `memory` of the same worlds, also one of ``HandBatch``."""
        super().recall(memory)
        self._upload(memory["warmstart"].astype(np.float32))

    def penetration(self) -> Array:
        """How deep the deepest contact of each object is, (N,) m.

        Raises:
            WarpOverflowError: more contacts than there is room for.
        """
        data = self._data
        with wp.ScopedDevice(self.device):
            mjw.kinematics(self._model, data)
            mjw.collision(self._model, data)
        count = int(data.nacon.numpy()[0])
        if max(count, int(data.ncollision.numpy()[0])) > data.naconmax:
            full = np.array([int(mjw.OverflowType.NARROWPHASE)], dtype=np.int32)
            raise overflow_error(full, self.config) or AssertionError
        contact = data.contact
        geoms, rows = contact.geom.numpy()[:count], contact.worldid.numpy()[:count]
        of_object = (self._geom_body[geoms] == self._object_body).any(axis=1)
        deepest = np.zeros(self.count)
        np.maximum.at(deepest, rows[of_object], -contact.dist.numpy()[:count][of_object])
        return deepest
