# SPDX-License-Identifier: Apache-2.0
"""The worlds of the Chaos Box: what loads the motors, how far that can be told, how fast and how safely it runs."""

from __future__ import annotations

import time

import mujoco
import numpy as np
from numpy.typing import NDArray

from bench.result import Check, Options, Result
from dexndm_ros.hand.control_table import REGISTERS
from dexndm_ros.hand.joints import JOINT_COUNT, LOWER_RAD, UPPER_RAD
from dexndm_ros.hand.units import per_joint_gains, ticks_from_rad
from dexndm_ros.policy.wrist import WRISTS
from dexndm_ros.replay.library import TrajectoryLibrary
from dexndm_ros.sim.box import BallView, prepare
from dexndm_ros.sim.faults import FaultBoard
from dexndm_ros.sim.motors import MotorBank
from dexndm_ros.sim.plant import MujocoPlant
from dexndm_ros.sim.scene import build_model
from dexndm_ros.sim.servo import Servo
from dexndm_ros.sim.worlds import World

__all__ = ["Replayer", "recorded", "run", "slow_spread_a"]

Array = NDArray[np.float64]
WORLDS = ("free_hand", "chaos_box_half", "chaos_box", "tied_ball")
_TRAJECTORY_S = 20.0
_RAMP_RAD_S = 3.0
_TICK_S = 0.05
_BLOCK_S = 1.0


class Replayer:
    """A world behind emulated motors, without bus and threads: as fast as it goes, the same every time.

    Args:
        world: the world.
        seed: of where balls fall.
    """

    def __init__(self, world: World, seed: int = 0) -> None:
        self.model = build_model(world)
        self.data = mujoco.MjData(self.model)
        mujoco.mj_forward(self.model, self.data)
        prepare(self.model, self.data, world.box, seed)
        self.balls = BallView(self.model, self.data)
        self.plant = MujocoPlant(self.model, self.data)
        self.steps_a_tick = world.preset.substeps
        servos = [Servo(k, world.servo.motor_model.model_number) for k in range(JOINT_COUNT)]
        faults = FaultBoard(lambda: float(self.data.time), seed)
        self.bank = MotorBank(
            servos, self.plant, faults, world.servo.motor_model, world.servo.true_gains
        )
        self._write("operating_mode", np.full(JOINT_COUNT, 5))
        self._write("position_p_gain", per_joint_gains(world.servo.p_gain))
        self._write("position_d_gain", per_joint_gains(world.servo.d_gain))
        self._write("goal_current", np.full(JOINT_COUNT, world.servo.current_limit_ma))
        self._write("torque_enable", np.ones(JOINT_COUNT))

    def _write(self, name: str, values: NDArray) -> None:
        register = REGISTERS[name]
        for servo, value in zip(self.bank.servos, values, strict=True):
            data = int(value).to_bytes(register.size, "little", signed=value < 0)
            error = servo.write(register.address, data)
            assert not error, f"{name} of motor {servo.motor_id}: {error}"

    def hold(self, target_rad: Array) -> tuple[Array, Array]:
        """One tick of 50 ms: currents (steps, 16) A as the motors report them, and angles (steps, 16) rad."""
        self._write("goal_position", ticks_from_rad(target_rad))
        current, position = [], []
        for _ in range(self.steps_a_tick):
            self.bank.step(float(self.data.time))
            current.append([servo.get("present_current") for servo in self.bank.servos])
            position.append(self.plant.position_rad.copy())
        return 1e-3 * np.array(current), np.array(position)

    def replay(self, targets_rad: Array) -> tuple[Array, Array, Array]:
        """Ramp to the first target, then replay: currents, angles and targets of the replay, (T, 16) each."""
        start = self.plant.position_rad.copy()
        way = targets_rad[0] - start
        ticks = int(np.ceil(np.abs(way).max() / (_RAMP_RAD_S * _TICK_S))) + 1
        for share in np.linspace(0.0, 1.0, ticks):
            self.hold(start + share * way)
        done = [self.hold(target) for target in targets_rad]
        currents, positions = (np.concatenate(part) for part in zip(*done, strict=True))
        return currents, positions, np.repeat(targets_rad, self.steps_a_tick, axis=0)


def slow_spread_a(current_a: Array, rate_hz: float) -> float:
    """How much the load on the motors wanders: spread over time of one-second means, mean over the motors.

    Following 20 Hz targets costs a current that is the same in the air; a second's mean hides it and keeps
    what balls do.

    Args:
        current_a: (T, 16) A, evenly sampled, a few seconds at least.
        rate_hz: samples a second.
    """
    block = round(_BLOCK_S * rate_hz)
    whole = current_a[: len(current_a) // block * block]
    means = whole.reshape(-1, block, current_a.shape[1]).mean(axis=1)
    return float(means.std(axis=0).mean())


def recorded(wrist: str, count: int, seed: int = 0) -> list[Array]:
    """Clean targets (400, 16) of shipped rollouts; another wrist's where that wrist has none."""
    with TrajectoryLibrary.open("cylinder_z") as library:
        source = wrist if wrist in library.wrists else "palm_up"
        ids = np.random.default_rng(seed).choice(library.ids(source), count)
        return [library.trajectory(int(k)).targets_rad for k in ids]


def run(options: Options) -> Result:
    """Replay the same trajectories, with the paper's noise, in every world and wrist."""
    count = max(1, round(options.minutes * 60.0 / _TRAJECTORY_S))
    rows, slow, spread, checks = [], {}, {}, []
    slowest, hottest, lost = np.inf, 0.0, 0
    for name in WORLDS:
        for wrist in WRISTS:
            row = _measure(World.load(name).with_wrist(wrist), recorded(wrist, count), options.seed)
            rows.append([name, wrist, *row[:-1]])
            _, spread[name, wrist], slow[name, wrist], _, heat, factor, escaped = row
            slowest, hottest, lost = min(slowest, factor), max(hottest, heat), lost + escaped
    checks.append(Check("slowest world, times real time", slowest, 4.0, at_most=False))
    checks.append(Check("hottest motor, °C", hottest, 58.0))
    checks.append(Check("balls that left the box or are not finite", float(lost), 0.0))
    for name in ("chaos_box_half", "chaos_box"):
        for what, value in (("spread", spread), ("slow spread", slow)):
            ratio = min(value[name, w] / value["free_hand", w] for w in WRISTS)
            limit = 1.2 if what == "slow spread" else 1.0
            checks.append(
                Check(f"{name}: {what} over the free hand's, least of six", ratio, limit, False)
            )
    return Result(
        f"Load of the motors, {count} trajectories of 20 s a world and wrist",
        ["world", "wrist", "mean |A|", "spread A", "slow spread A", "error rad", "hottest °C", "x real"],
        rows,
        checks,
        [
            "spread: standard deviation over time, mean of the motors; slow spread: that of one-second means",
            "x real: simulated over processor time of physics and motors, one thread; without bus, driver and ROS",
        ],
    )  # fmt: skip


def _measure(world: World, trajectories: list[Array], seed: int) -> list[float]:
    replayer = Replayer(world, seed)
    rng = np.random.default_rng(seed)
    numbers = []
    began_s, before_s = time.process_time(), replayer.data.time
    for clean in trajectories:
        noise = rng.normal(0.0, 0.01, clean.shape) * (rng.random(clean.shape) < 0.5)
        current, position, target = replayer.replay(np.clip(clean + noise, LOWER_RAD, UPPER_RAD))
        rate_hz = replayer.steps_a_tick / _TICK_S
        numbers.append(
            [
                np.abs(current).mean(),
                current.std(axis=0).mean(),
                slow_spread_a(current, rate_hz),
                np.sqrt(np.mean((target - position) ** 2)),
            ]
        )
    cpu_s = time.process_time() - began_s
    heat = max(servo.get("present_temperature") for servo in replayer.bank.servos)
    factor = (replayer.data.time - before_s) / cpu_s
    return [*np.mean(numbers, axis=0), float(heat), factor, _outside(replayer, world)]


def _outside(replayer: Replayer, world: World) -> int:
    """Balls that are not where a box of this world could hold them."""
    balls = replayer.balls.world_m()
    if world.box.kind != "balls":
        return 0
    walls = replayer.model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE
    floor, centre = replayer.model.geom_pos[walls, 2].min(), replayer.model.geom_pos[walls].mean(0)
    inside = np.abs(balls[:, :2] - centre[:2]).max(axis=1) < world.box.width_m / 2.0
    inside &= balls[:, 2] > floor
    return int((~inside).sum())
