# SPDX-License-Identifier: Apache-2.0
"""The virtual hand: a MuJoCo world behind sixteen servos on a pty, in real time, with an object in it."""

from __future__ import annotations

import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from dexndm_ros.policy.wrist import check_axis
from dexndm_ros.sim.box import BallView, prepare
from dexndm_ros.sim.carried import CarriedPlant
from dexndm_ros.sim.faults import ALL_MOTORS
from dexndm_ros.sim.handover import Handover, HandoverConfig, ObjectPhase
from dexndm_ros.sim.plant import MujocoPlant
from dexndm_ros.sim.progress import Progress, RotationTracker
from dexndm_ros.sim.rig import RigConfig, ServoRig
from dexndm_ros.sim.scene import build_model
from dexndm_ros.sim.startable import Startable
from dexndm_ros.sim.virtual_arm import VirtualArm
from dexndm_ros.sim.worlds import World

__all__ = ["HandSnapshot", "VirtualHand"]

Vector = NDArray[np.float64]
_LOOK_S = 0.05
"""Rotation is measured at the control rate, as training and evaluation do."""
_NO_OBJECT = np.zeros(14)
_SWITCH_INTERVAL_S = 1e-4


@dataclass(frozen=True)
class HandSnapshot:
    """The hand and its object at one moment of simulated time.

    Attributes:
        time_s: simulated time since start.
        position_rad: joint angles, shape (16,), motor order.
        velocity_rad_s: shape (16,).
        goal_rad: goals of the motors, shape (16,).
        torque_on: shape (16,).
        object_position_m: object centre in the palm frame, shape (3,); None in a world without object.
        object_xyzw: its orientation in the palm frame, shape (4,); None likewise.
        phase: what is being done with the object; None likewise.
        progress: rotation of the episode.
        ball_position_m: centres of the balls in the palm frame, shape (count, 3); (0, 3) in a world without balls.
    """

    time_s: float
    position_rad: Vector
    velocity_rad_s: Vector
    goal_rad: Vector
    torque_on: NDArray[np.bool_]
    object_position_m: Vector | None
    object_xyzw: Vector | None
    phase: ObjectPhase | None
    progress: Progress
    ball_position_m: Vector


class _Moment(NamedTuple):
    """What the physics thread leaves behind for `VirtualHand.snapshot`."""

    time_s: float
    position_rad: Vector
    velocity_rad_s: Vector
    object_and_palm: Vector
    phase: ObjectPhase | None
    progress: Progress
    balls_m: Vector


class VirtualHand(Startable):
    """A world in real time whose only way in is a serial port (and the operator who hands it the object).

    Args:
        world: the world, or its file or name.
        link: path for the serial port; None = only the pty's own name, see `port`.
        seed: of the object's places, of where balls fall and of random faults.
        config: servos and wire; the motor model is the world's unless given.
        handover: how the object is handed over.
        arm: carries the hand, in a model of the same world; None = the palm is fixed in the world.

    Raises:
        WorldError: the world cannot be used.
        PortLinkError: the link cannot be made.

    Attributes:
        carried: where the arm takes its orders; None without one.
    """

    def __init__(
        self,
        world: World | str | Path = "nominal",
        link: str | Path | None = None,
        seed: int = 0,
        config: RigConfig | None = None,
        handover: HandoverConfig | None = None,
        arm: VirtualArm | None = None,
    ) -> None:
        self.world = world if isinstance(world, World) else World.load(world)
        servo = self.world.servo
        config = config or RigConfig(model_number=servo.motor_model.model_number, fault_seed=seed)
        self.model = arm.model if arm is not None else build_model(self.world)
        data = arm.data if arm is not None else mujoco.MjData(self.model)
        mujoco.mj_forward(self.model, data)
        prepare(self.model, data, self.world.box, seed)
        self._balls = BallView(self.model, data)
        self.carried = CarriedPlant(arm, self.world.gap) if arm is not None else None
        plant = self.carried or MujocoPlant(self.model, data, self.world.gap)
        has_object = self.world.object.kind != "none"
        self._handover = Handover(self.model, data, handover) if has_object else None
        self._rng = np.random.default_rng(seed)
        self._tracker = RotationTracker()
        self._data = data
        self._lock = threading.Lock()
        self._reset_seed: int | None = None
        self._reset_wanted = self._handover is not None
        self._was_free = False
        self._steps_a_look = max(1, round(_LOOK_S / plant.dt_s))
        self._steps_to_look = self._steps_a_look
        self.rig = ServoRig(plant, link, config, servo.true_gains, self._after_step)
        self._moment = self._note()

    @property
    def port(self) -> str:
        """What to open as the serial port."""
        return self.rig.port

    @property
    def running(self) -> bool:
        """Physics and bus are at work; False before `start`, after `close`, and when one has crashed."""
        return self.rig.running

    def start(self) -> None:
        """Start physics and bus.

        The interpreter's switch interval is lowered: bus and physics share it, and 5 ms is ten packets.
        """
        sys.setswitchinterval(min(sys.getswitchinterval(), _SWITCH_INTERVAL_S))
        self.rig.start()

    def close(self) -> None:
        """Stop, hang up the port and remove its link. May be called twice."""
        self.rig.close()

    def inject(
        self,
        fault: str,
        motor: int = ALL_MOTORS,
        probability: float = 1.0,
        duration_s: float = 0.0,
    ) -> str:
        """Put a fault in force, see `dexndm_ros.sim.faults`; returns what was done.

        Raises:
            FaultError: unknown fault, motor, probability or duration.
        """
        return self.rig.inject(fault, motor, probability, duration_s)

    def reset(self, seed: int | None = None) -> None:
        """Take the object out and hand it over anew; the hand itself is not touched.

        Args:
            seed: of the object's next place; None = the next of the series.
        """
        with self._lock:
            self._reset_seed = seed
            self._reset_wanted = self._handover is not None

    def set_axis(self, axis: ArrayLike) -> None:
        """Count rotation about this axis, palm frame, unit or zero.

        Raises:
            AxisError: neither a unit vector nor zero.
        """
        checked = check_axis(np.asarray(axis, dtype=np.float64))
        with self._lock:
            self._tracker.set_axis(checked)

    def progress(self) -> Progress:
        """Rotation of the present (or last) episode."""
        return self._tracker.progress

    def snapshot(self) -> HandSnapshot:
        """Everything a viewer needs, of the last physics step."""
        moment, bank = self._moment, self.rig.bank
        position: Vector | None = None
        rotation: Vector | None = None
        if self._handover is not None:
            position, turned = self._handover.in_palm(moment.object_and_palm)
            rotation = turned.as_quat()
        return HandSnapshot(
            time_s=moment.time_s,
            position_rad=moment.position_rad,
            velocity_rad_s=moment.velocity_rad_s,
            goal_rad=bank.goal_rad(),
            torque_on=bank.torque_on,
            object_position_m=position,
            object_xyzw=rotation,
            phase=moment.phase,
            progress=moment.progress,
            ball_position_m=self._balls.in_palm(moment.balls_m),
        )

    # --- physics thread ---

    def _after_step(self) -> None:
        handover = self._handover
        with self._lock:
            if handover is not None:
                self._handle_object(handover)
            self._moment = self._note()

    def _handle_object(self, handover: Handover) -> None:
        if self._reset_wanted:
            self._reset_wanted = False
            if self._reset_seed is not None:
                self._rng = np.random.default_rng(self._reset_seed)
            handover.reset(self._rng)
            self._tracker.end()
        handover.after_step(self.rig.bank.goal_rad())
        free = handover.phase is ObjectPhase.FREE
        if free and not self._was_free:
            self._tracker.begin(*handover.pose())
            self._steps_to_look = self._steps_a_look
        elif free:
            self._steps_to_look -= 1
            if self._steps_to_look == 0:
                self._steps_to_look = self._steps_a_look
                elapsed_s = self._steps_a_look * self.rig.plant.dt_s
                self._tracker.look(*handover.pose(), elapsed_s)
        self._was_free = free

    def _note(self) -> _Moment:
        """What `snapshot` needs of this step, as copies; the rest can wait until somebody asks."""
        plant, handover = self.rig.plant, self._handover
        return _Moment(
            float(self._data.time),
            plant.position_rad,
            plant.velocity_rad_s,
            _NO_OBJECT if handover is None else handover.raw_pose(),
            None if handover is None else handover.phase,
            self._tracker.progress,
            self._balls.world_m(),
        )
