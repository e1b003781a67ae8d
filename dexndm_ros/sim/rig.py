# SPDX-License-Identifier: Apache-2.0
"""Sixteen emulated servos on a pty, turning a plant at the pace of real time or a multiple of it.

The virtual hand adds a world to it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dexndm_ros.hand.joints import JOINT_COUNT
from dexndm_ros.hand.units import TICKS_PER_TURN, MotorModel, ServoGains, motor_by_model_number
from dexndm_ros.sim.faults import ALL_MOTORS, Fault, FaultBoard
from dexndm_ros.sim.instructions import InstructionHandler
from dexndm_ros.sim.motors import MotorBank, MotorBankConfig
from dexndm_ros.sim.plant import Plant
from dexndm_ros.sim.servo import Servo
from dexndm_ros.sim.servo_bus import ServoBus
from dexndm_ros.sim.startable import Startable
from dexndm_ros.sim.timing import Pace, be_prompt, sleep_until

__all__ = ["SPEEDS", "RigConfig", "ServoRig"]

SPEEDS = (0.01, 100.0)
"""Slowest and fastest that the world may run, simulated seconds in a real one."""


@dataclass(frozen=True)
class RigConfig:
    """How the servos come out of the box, and the wire they hang on.

    Attributes:
        model_number: 1240 (XC330-M288) or 1200 (XL330-M288).
        other_models: motors of another model, number by motor; they turn with the same torque.
        baud: bits per second of the wire; also each motor's baud rate register.
        return_delay_us: Return Delay Time, 0..508 in steps of 2 (factory: 500; LEAP hands are set to 0).
        boot_s: what a reboot takes.
        horn_offset_rad: angle by which each horn is mounted wrongly, by motor.
        fault_seed: of the draws for lost and corrupted replies.
        motors: surroundings of the motors.
        speed: simulated seconds in a real one. Motion, heat and overload are the world's and go that much
            faster; the wire, the bus watchdogs, reboots and the duration of faults keep real time, for
            what they guard against is a program that hangs, and programs live in real time.
    """

    model_number: int = 1240
    other_models: Mapping[int, int] = field(default_factory=dict)
    baud: int = 4_000_000
    return_delay_us: int = 0
    boot_s: float = 0.1
    horn_offset_rad: Mapping[int, float] = field(default_factory=dict)
    fault_seed: int = 0
    motors: MotorBankConfig = field(default_factory=MotorBankConfig)
    speed: float = 1.0

    def __post_init__(self) -> None:
        """Refuse a speed at which nothing would work."""
        low, high = SPEEDS
        if not low <= self.speed <= high:
            raise ValueError(f"speed is {self.speed!r}; allowed: {low:g} to {high:g}")

    @property
    def motor_model(self) -> MotorModel:
        """The motors' constants.

        Raises:
            ValueError: a model number that no LEAP hand has.
        """
        motor = motor_by_model_number(self.model_number)
        if motor is None:
            raise ValueError(f"model_number {self.model_number} is none of 1240, 1200")
        return motor


class ServoRig(Startable):
    """Servos, bus and plant with their two threads.

    Args:
        plant: what the motors turn.
        link: path of the serial port; None = the pty's own name.
        config: servos and wire.
        true_gains: how these motors deviate from nominal gains.
        after_step: called in the physics thread after each step.
    """

    def __init__(
        self,
        plant: Plant,
        link: str | Path | None = None,
        config: RigConfig | None = None,
        true_gains: Callable[[ServoGains], ServoGains] = lambda gains: gains,
        after_step: Callable[[], None] = lambda: None,
    ) -> None:
        config = config or RigConfig()
        self.plant = plant
        self.faults = FaultBoard(time.monotonic, config.fault_seed)
        servos = [
            Servo(k, config.other_models.get(k, config.model_number), config.baud, config.boot_s)
            for k in range(JOINT_COUNT)
        ]
        for servo in servos:
            servo.set("return_delay_time", config.return_delay_us // 2)
        horn = np.zeros(JOINT_COUNT, dtype=np.int64)
        for k, angle in config.horn_offset_rad.items():
            horn[k] = round(angle * TICKS_PER_TURN / (2.0 * np.pi))
        self.bank = MotorBank(
            servos, plant, self.faults, config.motor_model, true_gains, horn, config.motors
        )
        self.bus = ServoBus(InstructionHandler(self.bank, self.faults), config.baud, link)
        self._after_step = after_step
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="physics", daemon=True)
        self._speed = config.speed
        self._pace = Pace(plant.dt_s, config.speed, time.monotonic())

    @property
    def time_s(self) -> float:
        """Simulated time since the start; it slows down where the physics cannot keep up."""
        return self._pace.time_s(time.monotonic())

    @property
    def slipped_s(self) -> float:
        """Real time that the physics could not keep up with."""
        return self._pace.slipped_s

    @property
    def port(self) -> str:
        """What to open as the serial port."""
        return self.bus.path

    @property
    def running(self) -> bool:
        """Both threads are at work; False before `start`, after `close`, and when one has crashed."""
        return self._thread.is_alive() and self.bus.running

    def start(self) -> None:
        """Start physics and bus."""
        self._thread.start()
        self.bus.start()

    def inject(
        self,
        fault: str,
        motor: int = ALL_MOTORS,
        probability: float = 1.0,
        duration_s: float = 0.0,
    ) -> str:
        """Put a fault in force; see `dexndm_ros.sim.faults`.

        Returns:
            what was done, as a sentence.

        Raises:
            FaultError: unknown fault, motor, probability or duration.
        """
        return self.faults.inject(Fault(fault, motor, probability, duration_s))

    def close(self) -> None:
        """Stop both threads, hang up the port and remove its link. May be called twice."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self.bus.close()

    def _run(self) -> None:
        be_prompt()
        self._pace = pace = Pace(self.plant.dt_s, self._speed, time.monotonic())
        while not self._stop.is_set():
            self.bank.step(time.monotonic())
            self._after_step()
            sleep_until(pace.stepped(time.monotonic()), self._stop.is_set)
