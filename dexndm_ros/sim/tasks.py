# SPDX-License-Identifier: Apache-2.0
"""What may be asked of a hand: axes to turn about and ways to hold the wrist, drawn at each reset."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.policy.wrist import WRISTS, parse_axis

__all__ = ["ROTATION_AXES", "TaskDraw"]

Array = NDArray[np.float64]

_GENERAL = (
    (-0.5279, -0.8304, 0.1783), (0.2912, 0.8097, 0.5096), (-0.2912, 0.8097, -0.5096), (0.8067, 0.3884, -0.4454),
    (-0.5279, 0.8304, 0.1783), (0.5245, -0.2990, 0.7972), (0.5514, 0.0000, -0.8343), (-0.8067, 0.3884, 0.4454),
    (0.8281, -0.4676, 0.3093), (-0.5245, -0.2990, -0.7972), (0.2213, -0.6048, -0.7650), (0.2213, 0.6048, -0.7650),
    (0.8281, 0.4676, 0.3093),
)  # fmt: skip


def _axes() -> Array:
    half = np.concatenate([np.eye(3), np.array(_GENERAL)])
    half /= np.linalg.norm(half, axis=1, keepdims=True)
    return np.concatenate([half, -half])


ROTATION_AXES = _axes()
"""32 directions, evenly spread, the six principal ones among them (paper, section C), (32, 3), palm frame.

The other 26 stand where 32 equal charges on a sphere come to rest with those six held; neighbours are 33 to 35 degrees
apart. The second half is the first half turned round.
"""


@dataclass(frozen=True)
class TaskDraw:
    """Tasks that an environment draws from, each as likely as any other.

    Attributes:
        axes: words of ``parse_axis``, or "all" for all 32; none = those that the environment is given, for ever.
        wrists: names of wrist orientations, or "all" for the six; none likewise.
    """

    axes: tuple[str, ...] = ()
    wrists: tuple[str, ...] = ()

    def axis_table(self) -> Array:
        """The axes, (K, 3), palm frame.

        Raises:
            AxisError: a word that is no axis.
        """
        if "all" in self.axes:
            return ROTATION_AXES
        return np.array([parse_axis(word) for word in self.axes])

    def wrist_names(self) -> tuple[str, ...]:
        """The wrists by name."""
        return tuple(WRISTS) if "all" in self.wrists else self.wrists
