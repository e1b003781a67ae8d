# SPDX-License-Identifier: Apache-2.0
"""What a bus is told (`BusConfig`) and what a cycle brings (`BusReading`)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.hand.wire import MAX_ID

__all__ = ["BusConfig", "BusReading"]


@dataclass(frozen=True)
class BusConfig:
    """One bus of motors.

    Attributes:
        port: serial device.
        baud: bits per second.
        motor_ids: motors on it, in the order of all vectors.
        reply_timeout_s: patience for a reply beyond its wire time and the adapter's latency.
        gap_s: silence in the middle of a reply that ends it, beyond the adapter's latency.
        retries: how often what was lost is asked for again, within the same cycle.
        drop_after: cycles of silence after which a motor is asked only now and then.
        probe_period_s: how often a silent motor is asked again.
    """

    port: str
    baud: int = 4_000_000
    motor_ids: tuple[int, ...] = tuple(range(16))
    reply_timeout_s: float = 0.004
    gap_s: float = 0.002
    retries: int = 3
    drop_after: int = 3
    probe_period_s: float = 0.25

    def __post_init__(self) -> None:
        """Refuse what no bus can be."""
        ids = self.motor_ids
        if not ids or len(set(ids)) != len(ids) or not all(0 <= k <= MAX_ID for k in ids):
            raise ValueError(f"motor_ids must be different numbers in 0..{MAX_ID}, got {ids}")
        for name in ("reply_timeout_s", "gap_s", "probe_period_s"):
            if not 0 < getattr(self, name) < 10:
                raise ValueError(f"{name} must be in (0, 10) s, got {getattr(self, name)}")
        if self.retries < 0 or self.drop_after < 1:
            raise ValueError(
                f"retries must be >= 0 and drop_after >= 1, got {self.retries} and {self.drop_after}"
            )


@dataclass(frozen=True, slots=True)
class BusReading:
    """State of the motors from one bus cycle; vectors in the order of ``BusConfig.motor_ids``.

    Attributes:
        stamp_ns: system time, the middle of the read.
        monotonic_ns: the same moment on the monotonic clock.
        position_rad: joint angles, 0 = flat open; NaN where not valid.
        velocity_rad_s: joint velocities; NaN where not valid.
        current_a: motor supply currents; NaN where not valid.
        valid: which motors answered in this cycle, verified by CRC.
        alert: which motors raise the alert bit: a hardware error waits in register 70.
        retries: requests that it took beyond the first.
    """

    stamp_ns: int
    monotonic_ns: int
    position_rad: NDArray[np.float64]
    velocity_rad_s: NDArray[np.float64]
    current_a: NDArray[np.float64]
    valid: NDArray[np.bool_]
    alert: NDArray[np.bool_]
    retries: int

    @property
    def complete(self) -> bool:
        """Every motor answered."""
        return bool(self.valid.all())
