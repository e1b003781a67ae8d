# SPDX-License-Identifier: Apache-2.0
"""Servo units to SI and back: ticks, register gains, milliampere. The only place that converts them.

The simulator, the virtual servos and the driver all call these functions, so that the hand behind the
bus and the hand in the training environment are the same hand.

Position gain: the X330 position loop turns P/128 mA per encoder tick (e-manual, X330 "Position PID
Gain"), with 4096 ticks a turn and the motor's stall torque over stall current: 800 -> 2.11 N·m/rad.

Damping gain: the unit of the D register is not documented in SI. Taken per tick of the velocity register
it would give 0.27 N·m·s/rad at D = 200; identification on the real hand at D = 200 gave a mean of
0.114 N·m·s/rad, motor damping included (paper, section C, Table 16), so that measurement is the scale here.
System identification refines both per joint.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dexndm_ros.hand.joints import JOINT_COUNT, SIDE_JOINTS

__all__ = [
    "CENTRE_TICK",
    "CURRENT_UNIT_A",
    "DAMPING_NMS_RAD_PER_D_UNIT",
    "SIDE_GAIN_SCALE",
    "TICKS_PER_TURN",
    "VELOCITY_UNIT_RAD_S",
    "XC330_M288",
    "XL330_M288",
    "MotorModel",
    "ServoGains",
    "motor_by_model_number",
    "per_joint_gains",
    "rad_from_ticks",
    "servo_gains",
    "ticks_from_rad",
]

TICKS_PER_TURN = 4096
CENTRE_TICK = 2048
"""Tick of the flat open hand (motor angle pi)."""
VELOCITY_UNIT_RAD_S = 0.229 * 2.0 * math.pi / 60.0
"""Present Velocity (128): 0.229 rpm."""
CURRENT_UNIT_A = 0.001
"""Present and Goal Current on X330: 1 mA (not the 1.34 mA of other X motors)."""
SIDE_GAIN_SCALE = 0.75
"""LEAP_Hand_API's factor on P and D of the abduction joints 0, 4, 8."""
DAMPING_NMS_RAD_PER_D_UNIT = 0.114 / 200.0
"""N·m·s/rad per unit of the Position D Gain register (paper, Table 16: mean 0.114 at D = 200)."""

_RAD_PER_TICK = 2.0 * math.pi / TICKS_PER_TURN
_MA_PER_TICK_PER_P_UNIT = 1.0 / 128.0


@dataclass(frozen=True)
class MotorModel:
    """What differs between the motors that LEAP hands are built with.

    Attributes:
        name: ROBOTIS name.
        model_number: register 0.
        stall_torque_nm: at 5 V.
        stall_current_a: at 5 V.
        no_load_speed_rad_s: at 5 V.
        current_limit_ma: factory value and maximum of Current Limit (38).
    """

    name: str
    model_number: int
    stall_torque_nm: float
    stall_current_a: float
    no_load_speed_rad_s: float
    current_limit_ma: int

    @property
    def nm_per_a(self) -> float:
        """Output torque per ampere of supply current, N·m/A (stall point)."""
        return self.stall_torque_nm / self.stall_current_a


XC330_M288 = MotorModel("XC330-M288-T", 1240, 0.93, 1.80, 8.48, 2352)
XL330_M288 = MotorModel("XL330-M288-T", 1200, 0.52, 1.47, 10.79, 1750)


def motor_by_model_number(number: int) -> MotorModel | None:
    """The motor with this model number, or None when it is none that a LEAP hand uses."""
    return {m.model_number: m for m in (XC330_M288, XL330_M288)}.get(number)


def ticks_from_rad(position_rad: ArrayLike) -> NDArray[np.int64]:
    """Joint angles (rad, 0 = flat open) to goal-position ticks, rounded to the nearest."""
    angle = np.asarray(position_rad, dtype=np.float64)
    return np.rint(angle / _RAD_PER_TICK).astype(np.int64) + CENTRE_TICK


def rad_from_ticks(ticks: ArrayLike) -> NDArray[np.float64]:
    """Present-position ticks (signed) to joint angles, rad, 0 = flat open."""
    return (np.asarray(ticks, dtype=np.float64) - CENTRE_TICK) * _RAD_PER_TICK


@dataclass(frozen=True)
class ServoGains:
    """Register gains in SI; each array has the shape of the registers given.

    Attributes:
        kp_nm_rad: position gain, N·m/rad.
        kd_nms_rad: damping gain, N·m·s/rad.
        torque_limit_nm: torque at the goal current, N·m.
    """

    kp_nm_rad: NDArray[np.float64]
    kd_nms_rad: NDArray[np.float64]
    torque_limit_nm: NDArray[np.float64]


def servo_gains(
    p_gain: ArrayLike,
    d_gain: ArrayLike,
    current_limit_ma: ArrayLike,
    motor: MotorModel = XC330_M288,
) -> ServoGains:
    """Convert register gains to SI.

    Args:
        p_gain: Position P Gain register (84).
        d_gain: Position D Gain register (80).
        current_limit_ma: Goal Current (102), mA.
        motor: gives the torque per ampere.
    """
    ma_per_rad = np.asarray(p_gain, dtype=np.float64) * _MA_PER_TICK_PER_P_UNIT / _RAD_PER_TICK
    return ServoGains(
        kp_nm_rad=ma_per_rad * CURRENT_UNIT_A * motor.nm_per_a,
        kd_nms_rad=np.asarray(d_gain, dtype=np.float64) * DAMPING_NMS_RAD_PER_D_UNIT,
        torque_limit_nm=np.asarray(current_limit_ma, dtype=np.float64)
        * CURRENT_UNIT_A
        * motor.nm_per_a,
    )


def per_joint_gains(gain: float) -> NDArray[np.int64]:
    """A register gain for each of the 16 motors: the side joints get 0.75 of it, rounded."""
    gains = np.full(JOINT_COUNT, gain, dtype=np.float64)
    gains[list(SIDE_JOINTS)] *= SIDE_GAIN_SCALE
    return np.rint(gains).astype(np.int64)
