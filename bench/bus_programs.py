# SPDX-License-Identifier: Apache-2.0
"""Programs that drive sixteen motors: ours, and the stock SDK's as its examples and LEAP_Hand_API use it.

Each does the same work in a cycle: read current, velocity and position of 16 motors, convert them to SI,
convert 16 goals to ticks and write them. ``cycle`` returns which motors' values are fresh.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import numpy as np
from dynamixel_sdk import (
    COMM_SUCCESS,
    GroupSyncRead,
    GroupSyncWrite,
    PacketHandler,
    PortHandler,
)
from numpy.typing import NDArray

from dexndm_ros.hand.bus import BusConfig, DynamixelBus

__all__ = ["PROGRAMS", "Program", "goal"]

Vector = NDArray[np.float64]
Mask = NDArray[np.bool_]

_BAUD = 4_000_000
_IDS = range(16)
_GOAL, _WINDOW, _LENGTH = 116, 126, 10
_NONE, _ALL = np.zeros(16, dtype=bool), np.ones(16, dtype=bool)


class Program(Protocol):
    """A bus client."""

    def open(self) -> None:
        """Open the port."""

    def close(self) -> None:
        """Close the port."""

    def cycle(self, goal_rad: Vector) -> Mask:
        """Read all, write all; which motors' values are fresh, (16,)."""


class OurBus:
    """``hand/bus.py``."""

    def __init__(self, port: str) -> None:
        self._bus = DynamixelBus(BusConfig(port))

    def open(self) -> None:
        """Open the port."""
        self._bus.open()

    def close(self) -> None:
        """Close the port."""
        self._bus.close()

    def cycle(self, goal_rad: Vector) -> Mask:
        """Read all, write all."""
        reading = self._bus.read_state()
        self._bus.write_goal_positions(goal_rad)
        return reading.valid


class StockSdk:
    """dynamixel-sdk's group classes, unchanged; a failed group read leaves the program with old values."""

    def __init__(self, port: str, fast: bool) -> None:
        self._port = PortHandler(port)
        packets = PacketHandler(2.0)
        self._read = GroupSyncRead(self._port, packets, _WINDOW, _LENGTH)
        self._write = GroupSyncWrite(self._port, packets, _GOAL, 4)
        for motor_id in _IDS:
            self._read.addParam(motor_id)
            self._write.addParam(motor_id, bytes(4))
        self._transact = self._read.fastSyncRead if fast else self._read.txRxPacket
        self.position_rad = np.zeros(16)
        self.velocity_rad_s = np.zeros(16)
        self.current_a = np.zeros(16)

    def open(self) -> None:
        """Open the port."""
        if not (self._port.openPort() and self._port.setBaudRate(_BAUD)):
            raise RuntimeError("the stock SDK cannot open the port")

    def close(self) -> None:
        """Close the port."""
        self._port.closePort()

    def cycle(self, goal_rad: Vector) -> Mask:
        """Read all, write all."""
        good = self._transact() == COMM_SUCCESS
        if good:
            for motor_id in _IDS:
                self._take(motor_id)
        for motor_id in _IDS:
            tick = round(goal_rad[motor_id] * 2048 / math.pi) + 2048
            self._write.changeParam(motor_id, tick.to_bytes(4, "little", signed=True))
        self._write.txPacket()
        return _ALL if good else _NONE

    def _take(self, motor_id: int) -> None:
        current = _signed(self._read.getData(motor_id, 126, 2), 2)
        velocity = _signed(self._read.getData(motor_id, 128, 4), 4)
        position = _signed(self._read.getData(motor_id, 132, 4), 4)
        self.current_a[motor_id] = current * 1e-3
        self.velocity_rad_s[motor_id] = velocity * 0.0239808
        self.position_rad[motor_id] = (position - 2048) * math.pi / 2048


def _signed(value: int, size: int) -> int:
    return value - (1 << 8 * size) if value >> (8 * size - 1) else value


PROGRAMS: dict[str, Callable[[str], Program]] = {
    "ours": OurBus,
    "stock SDK, fast sync read": lambda port: StockSdk(port, fast=True),
    "stock SDK, sync read": lambda port: StockSdk(port, fast=False),
}


def goal(cycle: int) -> Vector:
    """A slow wave through all joints, rad."""
    return 0.3 + 0.1 * np.sin(0.02 * cycle + np.arange(16))
