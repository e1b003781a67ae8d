# SPDX-License-Identifier: Apache-2.0
"""The hand's motors on a moving arm: one physics for both, so that the hand feels every move of the wrist."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.sim.gap import GapConfig
from dexndm_ros.sim.plant import MujocoPlant
from dexndm_ros.sim.virtual_arm import VirtualArm, check_trajectory
from dexndm_ros.teleop.franka import RobotMode
from dexndm_ros.teleop.trajectory import JointPoint

__all__ = ["ArmMoment", "CarriedPlant"]


@dataclass(frozen=True, eq=False)
class ArmMoment:
    """The arm after one physics step.

    Attributes:
        q_rad: joint angles, shape (7,).
        v_rad_s: joint velocities, shape (7,).
        mode: of the robot.
        errors: names of the errors that are set.
    """

    q_rad: NDArray[np.float64]
    v_rad_s: NDArray[np.float64]
    mode: RobotMode
    errors: tuple[str, ...]


class CarriedPlant(MujocoPlant):
    """Sixteen joints of a hand that an arm carries. Orders to the arm may come from any thread.

    Args:
        arm: with the hand in its model; whoever steps the plant steps the arm.
        gap: what the hand's servos do beyond gains.

    Attributes:
        moment: the arm after the last step.
    """

    def __init__(self, arm: VirtualArm, gap: GapConfig | None = None) -> None:
        super().__init__(arm.model, arm.data, gap)
        self._arm = arm
        self._orders: deque[Callable[[], None]] = deque()
        self.moment = self._note()

    def follow(self, points: Sequence[JointPoint]) -> None:
        """Give the arm a trajectory, from the next step on.

        Raises:
            ValueError: it ends in motion, or its times do not grow.
        """
        check_trajectory(points)
        self._orders.append(partial(self._arm.follow, points))

    def recover(self) -> None:
        """A person's decision: an arm that stopped itself holds where it is and listens again."""
        self._orders.append(self._arm.recover)

    def step(self) -> None:
        """See `Plant`."""
        while self._orders:
            self._orders.popleft()()
        self._arm.drive()
        super().step()
        self._arm.watch()
        self.moment = self._note()

    def _note(self) -> ArmMoment:
        return ArmMoment(self._arm.q_rad, self._arm.v_rad_s, self._arm.mode, self._arm.errors)
