# SPDX-License-Identifier: Apache-2.0
"""What a run looked like, kept for pictures: joints, object and angle over time, in one npz file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.nodes._demo_events import ObjectSeen, StateSeen

__all__ = ["RECORDING_FILE", "Recording", "RecordingData"]

Array = NDArray[np.float64]

RECORDING_FILE = "recording.npz"
_MOST_STATES = 60_000
"""Ten minutes at 100 Hz; a longer run keeps its first part."""


@dataclass(frozen=True)
class RecordingData:
    """A recording as read back; times in s since the run began (negative = before).

    Attributes:
        state_s: times of joint states, (n,).
        q: joint angles, (n, 16) rad, motor order.
        object_s: times of object poses, (m,); m may be 0.
        object_position: palm frame, (m, 3) m.
        object_xyzw: palm frame, (m, 4).
        angle_s: times of the angle, (k,); k may be 0.
        angle: turned since the run began, (k,) rad.
        period_ms: policy tick periods.
        delay_ms: observation to command.
        wrist_xyzw: palm in the world, (4,).
        world: world file, relative to the recording's folder; empty = a real hand.
    """

    state_s: Array
    q: Array
    object_s: Array
    object_position: Array
    object_xyzw: Array
    angle_s: Array
    angle: Array
    period_ms: Array
    delay_ms: Array
    wrist_xyzw: Array
    world: str

    def save(self, folder: Path) -> None:
        """Write ``recording.npz`` into a folder."""
        np.savez_compressed(folder / RECORDING_FILE, **vars(self))

    @classmethod
    def load(cls, folder: Path) -> RecordingData:
        """Read ``recording.npz`` of a folder."""
        with np.load(folder / RECORDING_FILE) as file:
            values: dict[str, Any] = {name: file[name] for name in file.files}
        values["world"] = str(values["world"])
        return cls(**values)

    def poses(self, times_s: Array) -> tuple[Array, Array | None, Array | None]:
        """Joint angles, object position and orientation nearest before each time.

        Args:
            times_s: (t,).

        Returns:
            (t, 16) rad; (t, 3) m and (t, 4) xyzw in the palm frame, or None without an object.
        """
        q = self.q[_before(self.state_s, times_s)]
        if not self.object_s.size:
            return q, None, None
        rows = _before(self.object_s, times_s)
        return q, self.object_position[rows], self.object_xyzw[rows]


class Recording:
    """Grows while the run goes on."""

    def __init__(self) -> None:
        self._states: list[StateSeen] = []
        self._objects: list[ObjectSeen] = []
        self._angles: list[tuple[int, float]] = []

    def add_state(self, state: StateSeen) -> None:
        """Keep a state."""
        if len(self._states) < _MOST_STATES:
            self._states.append(state)

    def add_object(self, pose: ObjectSeen) -> None:
        """Keep a pose of the object."""
        if len(self._objects) < _MOST_STATES:
            self._objects.append(pose)

    def add_angle(self, stamp_ns: int, angle_rad: float) -> None:
        """Keep the angle turned."""
        if len(self._angles) < _MOST_STATES:
            self._angles.append((stamp_ns, angle_rad))

    def data(
        self,
        began_ns: int,
        period_ms: Sequence[float],
        delay_ms: Sequence[float],
        wrist_xyzw: Sequence[float],
        world: str,
    ) -> RecordingData:
        """All of it, with times relative to the run's beginning.

        Args:
            began_ns: stamp of the beginning.
            period_ms: policy tick periods.
            delay_ms: observation to command.
            wrist_xyzw: palm in the world, (4,).
            world: world file, relative to the recording's folder; empty = a real hand.
        """
        states, objects, angles = self._states, self._objects, self._angles
        return RecordingData(
            state_s=_seconds([s.stamp_ns for s in states], began_ns),
            q=np.array([s.position_rad for s in states]).reshape(-1, 16),
            object_s=_seconds([o.stamp_ns for o in objects], began_ns),
            object_position=np.array([o.position_m for o in objects]).reshape(-1, 3),
            object_xyzw=np.array([o.xyzw for o in objects]).reshape(-1, 4),
            angle_s=_seconds([a[0] for a in angles], began_ns),
            angle=np.array([a[1] for a in angles]),
            period_ms=np.array(period_ms),
            delay_ms=np.array(delay_ms),
            wrist_xyzw=np.array(wrist_xyzw, dtype=np.float64),
            world=world,
        )


def _seconds(stamps_ns: Sequence[int], began_ns: int) -> Array:
    since_ns = np.array(stamps_ns, dtype=np.int64) - began_ns
    return since_ns.astype(np.float64) * 1e-9


def _before(times: Array, wanted: Array) -> NDArray[np.intp]:
    return np.clip(np.searchsorted(times, wanted, side="right") - 1, 0, len(times) - 1)
