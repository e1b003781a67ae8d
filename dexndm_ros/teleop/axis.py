# SPDX-License-Identifier: Apache-2.0
"""The rotation axis that the left hand chooses, in the palm frame: a unit vector, or zero = stop.

By orientation (hold the left trigger and turn the controller the way the object shall turn) or by the buttons
X, Y and LG, each an axis. The left stick's button stops in both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from dexndm_ros.policy.wrist import check_axis
from dexndm_ros.teleop.frames import is_pose, unit
from dexndm_ros.teleop.sample import Hand, Quaternion, Vector

__all__ = ["AxisChooser", "AxisConfig", "weighted_turn"]

Array = NDArray[np.float64]

STOP_BUTTON = "LJ"
_PRESS_AT, _RELEASE_AT = 0.8, 0.5


@dataclass(frozen=True)
class AxisConfig:
    """How the axis is chosen.

    Attributes:
        mode: "orientation" or "buttons".
        latch: the axis stays when the trigger or button is let go; otherwise it stops.
        buttons: the axis of each button, palm frame, unit length.
        short_axis: the controller's short axis in its own frame (ROS axes), unit length: turning about it is the
            least certain to be meant.
        short_weight: how much a turn about the short axis counts, 0..1.
        start_rad: the turn, so weighted, from which an axis is chosen,
        stop_rad: and the one below which it is given up.
        far_rad: a controller turned farther than this keeps its axis: half a turn could be either way round.
        palm_xyzw: the controller's frame in the palm's, as a rotation.
    """

    mode: Literal["orientation", "buttons"] = "buttons"
    latch: bool = False
    buttons: Mapping[str, Vector] = field(
        default_factory=lambda: {
            "X": (0.0, 0.0, 1.0),
            "Y": (0.0, 0.0, -1.0),
            "LG": (0.0, -1.0, 0.0),
        }
    )
    short_axis: Vector = (0.0, 1.0, 0.0)
    short_weight: float = 0.25
    start_rad: float = math.radians(12.0)
    stop_rad: float = math.radians(8.0)
    far_rad: float = math.radians(150.0)
    palm_xyzw: Quaternion = (0.0, 0.0, 0.0, 1.0)

    def __post_init__(self) -> None:
        """Refuse what no axis could be chosen with."""
        if self.mode not in ("orientation", "buttons"):
            raise ValueError(f'axis mode must be "orientation" or "buttons", got {self.mode!r}')
        if not set(self.buttons) <= {"X", "Y", "LG"}:
            raise ValueError(f"axis buttons may be X, Y and LG, got {', '.join(self.buttons)}")
        for axis in (*self.buttons.values(), self.short_axis):
            check_axis(axis)
        if not any(self.short_axis):
            raise ValueError("axis short_axis must not be zero")
        if not 0.0 <= self.short_weight <= 1.0:
            raise ValueError(f"axis short_weight must be 0..1, got {self.short_weight}")
        if not 0.0 < self.stop_rad < self.start_rad < self.far_rad < math.pi:
            raise ValueError("axis needs 0 < stop_rad < start_rad < far_rad < pi")
        if unit(self.palm_xyzw) is None:
            raise ValueError(f"axis palm_xyzw must be a unit quaternion, got {self.palm_xyzw}")


def weighted_turn(before: Rotation, after: Rotation, short_axis: Vector, weight: float) -> Array:
    """The turn of a controller in its own frame, the part about its short axis counting less, (3,) rad.

    w' = (I - (1 - weight) s s^T) log(R0^T R).
    """
    turn = (before.inv() * after).as_rotvec()
    short = np.array(short_axis)
    return turn - (1.0 - weight) * float(turn @ short) * short


class AxisChooser:
    """Keeps what was chosen.

    Attributes:
        axis: the axis in force, (3,), unit or zero.
    """

    def __init__(self, config: AxisConfig | None = None) -> None:
        self.config = config or AxisConfig()
        self.axis: Array = np.zeros(3)
        self._reference: Rotation | None = None  # the controller when the trigger was pressed
        self._idle = False  # trigger and buttons were seen released since the last stop

    def stop(self) -> None:
        """No axis until the trigger or a button is pressed anew."""
        self.axis = np.zeros(3)
        self._reference = None
        self._idle = False

    def update(self, left: Hand | None) -> Array:
        """Take the left hand of a new sample; the axis in force. A hand that is not seen stops it.

        Its buttons too: a headset that has lost a controller may go on telling what was pressed last.
        """
        if left is None or not left.tracked or STOP_BUTTON in left.buttons:
            self.stop()
        elif self.config.mode == "buttons":
            self._by_buttons(left)
        else:
            self._by_orientation(left)
        return self.axis

    def _by_buttons(self, left: Hand) -> None:
        pressed = [name for name in self.config.buttons if name in left.buttons]
        if not pressed:
            self._idle = True
            if not self.config.latch:
                self.axis = np.zeros(3)
        elif len(pressed) == 1 and self._idle:
            self.axis = check_axis(self.config.buttons[pressed[0]])

    def _by_orientation(self, left: Hand) -> None:
        if not is_pose(left) or not math.isfinite(left.trigger):
            self.stop()
            return
        now = Rotation.from_quat(left.rotation_xyzw)
        if left.trigger < _RELEASE_AT:
            self._idle = True
            self._reference = None
            if not self.config.latch:
                self.axis = np.zeros(3)
        elif self._reference is not None:
            self._turned(self._reference, now)
        elif left.trigger > _PRESS_AT and self._idle:
            self._reference = now
            self.axis = np.zeros(3)

    def _turned(self, before: Rotation, now: Rotation) -> None:
        """The axis of a turn that is large enough, and not so large that it may be the other way round."""
        config = self.config
        if (before.inv() * now).magnitude() > config.far_rad:
            return
        turn = weighted_turn(before, now, config.short_axis, config.short_weight)
        size_rad = math.hypot(*turn)
        if size_rad < config.stop_rad:
            self.axis = np.zeros(3)
        elif size_rad > config.start_rad or self.axis.any():
            self.axis = Rotation.from_quat(config.palm_xyzw).apply(turn / size_rad)
