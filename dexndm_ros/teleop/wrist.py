# SPDX-License-Identifier: Apache-2.0
"""How the palm is turned in the world, for the policy: from the arm's pose, from an IMU on the hand, or as it is fixed.

World: z is up. A rotation "of A in B" takes A's axes to B's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from scipy.spatial.transform import Rotation

from dexndm_ros.policy.wrist import WristError, check_wrist

__all__ = ["Wrist", "WristConfig", "WristSource"]


class WristSource(StrEnum):
    """Who knows."""

    ARM = "arm"
    IMU = "imu"
    FIXED = "fixed"
    NONE = "none"


@dataclass(frozen=True)
class WristConfig:
    """Where the palm's orientation comes from.

    Attributes:
        source: who knows; none = somebody else tells it.
        base: rotation of the arm's base in the world; the identity for an arm that stands upright.
        imu_mount: rotation of the IMU in the palm frame, as it is screwed on.
        imu_stale_s: an IMU's message older than this is worth nothing.
        fixed: rotation of the palm in the world, for a hand that stands still.
    """

    source: WristSource = WristSource.ARM
    base: Rotation = field(default_factory=Rotation.identity)
    imu_mount: Rotation = field(default_factory=Rotation.identity)
    imu_stale_s: float = 0.2
    fixed: Rotation = field(default_factory=Rotation.identity)

    def __post_init__(self) -> None:
        """Refuse an age that nothing has."""
        if not 0.0 < self.imu_stale_s <= 1.0:
            raise ValueError(
                f"wrist.imu_stale_s must be above 0 and at most 1, got {self.imu_stale_s}"
            )


class Wrist:
    """The palm in the world, as far as its source tells.

    Args:
        config: which.
    """

    def __init__(self, config: WristConfig) -> None:
        self.config = config
        self._imu: tuple[Rotation, float] | None = None

    def saw_imu(self, xyzw: list[float], at_s: float, *, known: bool = True) -> None:
        """An IMU tells how it is turned in the world.

        Args:
            xyzw: rotation of the IMU in the world, unit quaternion.
            at_s: our monotonic time.
            known: its covariance does not say that it tells no orientation (``sensor_msgs/Imu``: -1 first).

        Raises:
            WristError: it tells none, or what it tells is no rotation.
        """
        if not known:
            raise WristError(
                "the IMU tells no orientation; take one that fuses, or run a filter such as imu_tools"
            )
        self._imu = (Rotation.from_quat(check_wrist(xyzw)), at_s)

    def palm(self, in_base: Rotation | None, now_s: float) -> Rotation | None:
        """The palm in the world; None = not known now.

        Args:
            in_base: the palm in the arm's base; None = not known.
            now_s: our monotonic time.
        """
        config = self.config
        if config.source is WristSource.FIXED:
            return config.fixed
        if config.source is WristSource.ARM:
            return config.base * in_base if in_base is not None else None
        imu = self._imu
        if config.source is WristSource.NONE or imu is None or now_s - imu[1] > config.imu_stale_s:
            return None
        return imu[0] * config.imu_mount.inv()
