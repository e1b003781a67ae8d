# SPDX-License-Identifier: Apache-2.0
"""The one-euro filter for a pose: still hands are smoothed, moving ones hardly delayed.

Casiez, Roussel and Vogel, "1 € Filter", CHI 2012. The time step is that of the capture times, so that what the way
to us adds in jitter does not get in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from dexndm_ros.teleop.pose import Pose

__all__ = ["OneEuroConfig", "OneEuroPose"]


@dataclass(frozen=True)
class OneEuroConfig:
    """How much is smoothed: cutoff = min_cutoff_hz + beta * speed.

    Attributes:
        min_cutoff_hz: cutoff of a hand that stands still; lower = calmer.
        beta_per_m: how much the cutoff grows with the hand's speed, Hz per m/s; higher = less delay.
        beta_per_rad: likewise with its turning, Hz per rad/s.
        speed_cutoff_hz: cutoff of the speed itself.
    """

    min_cutoff_hz: float = 2.0
    beta_per_m: float = 60.0
    beta_per_rad: float = 10.0
    speed_cutoff_hz: float = 3.0

    def __post_init__(self) -> None:
        """Refuse numbers under which nothing would be filtered, or everything stopped."""
        for name in ("min_cutoff_hz", "speed_cutoff_hz"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"filter {name} must be finite and > 0, got {getattr(self, name)}")
        for name in ("beta_per_m", "beta_per_rad"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(
                    f"filter {name} must be finite and >= 0, got {getattr(self, name)}"
                )


class OneEuroPose:
    """Filters one stream of poses; the first comes out as it went in."""

    def __init__(self, config: OneEuroConfig | None = None) -> None:
        self.config = config or OneEuroConfig()
        self.reset()

    def reset(self) -> None:
        """Forget: the next pose is the first."""
        self._raw: Pose | None = None
        self._out: Pose | None = None
        self._captured_s = 0.0
        self._velocity_m_s: NDArray[np.float64] = np.zeros(3)
        self._turning_rad_s: NDArray[np.float64] = np.zeros(3)

    def step(self, captured_s: float, pose: Pose) -> Pose:
        """The filtered pose at a capture time; a time that is not later changes nothing."""
        if self._raw is None or self._out is None:
            self._raw = self._out = pose
            self._captured_s = captured_s
            return pose
        dt_s = captured_s - self._captured_s
        if dt_s <= 0.0:
            return self._out
        raw, out, config = self._raw, self._out, self.config
        moved_m_s = (pose.position_m - raw.position_m) / dt_s
        turned_rad_s = (raw.rotation.inv() * pose.rotation).as_rotvec() / dt_s
        share = _share(config.speed_cutoff_hz, dt_s)
        self._velocity_m_s = self._velocity_m_s + share * (moved_m_s - self._velocity_m_s)
        self._turning_rad_s = self._turning_rad_s + share * (turned_rad_s - self._turning_rad_s)
        speed_m_s, rate_rad_s = math.hypot(*self._velocity_m_s), math.hypot(*self._turning_rad_s)
        a = _share(config.min_cutoff_hz + config.beta_per_m * speed_m_s, dt_s)
        b = _share(config.min_cutoff_hz + config.beta_per_rad * rate_rad_s, dt_s)
        left = (out.rotation.inv() * pose.rotation).as_rotvec()
        self._out = Pose(
            out.position_m + a * (pose.position_m - out.position_m),
            out.rotation * Rotation.from_rotvec(b * left),
        )
        self._raw = pose
        self._captured_s = captured_s
        return self._out


def _share(cutoff_hz: float, dt_s: float) -> float:
    """How much of the new value a first-order low-pass takes in one step, 0..1."""
    return 1.0 / (1.0 + 1.0 / (2.0 * math.pi * cutoff_hz * dt_s))
