# SPDX-License-Identifier: Apache-2.0
"""An operator made by hand: samples of a headset at 90 Hz."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from dexndm_ros.teleop.pose import Pose
from dexndm_ros.teleop.sample import Hand, Sample

FRAME_S = 1.0 / 90.0


def controller(pose: Pose | None = None, **other) -> Hand:
    """A tracked controller; at a place of its own where none is given."""
    pose = pose or Pose(np.array([0.4, -0.2, 1.1]), Rotation.identity())
    return Hand(tuple(pose.position_m.tolist()), tuple(pose.xyzw.tolist()), **other)


@dataclass
class Operator:
    """Makes one sample after another; what is set stays."""

    right: Hand | None = field(default_factory=controller)
    left: Hand | None = None
    source: str = "webxr"
    seq: int = 0
    now_s: float = 100.0
    clock_offset_s: float = -93.0  # captured = arrived + this

    def frame(self, passed_s: float = FRAME_S, **other) -> Sample:
        """The next sample, that long after the last."""
        self.seq += 1
        self.now_s += passed_s
        sample = Sample(
            self.seq,
            self.now_s + self.clock_offset_s,
            self.now_s,
            self.source,
            right=self.right,
            left=self.left,
        )
        return replace(sample, **other)

    def squeeze(self, value: float) -> None:
        """Press the right grip."""
        assert self.right is not None
        self.right = replace(self.right, squeeze=value)

    def move(self, by_m=(0.0, 0.0, 0.0), by_rotvec=(0.0, 0.0, 0.0)) -> None:
        """Move the right hand in the operator frame."""
        assert self.right is not None
        turned = Rotation.from_rotvec(by_rotvec) * Rotation.from_quat(self.right.rotation_xyzw)
        self.right = replace(
            self.right,
            position_m=tuple((np.array(self.right.position_m) + by_m).tolist()),
            rotation_xyzw=tuple(turned.as_quat().tolist()),
        )


def vectors(most: float) -> st.SearchStrategy[np.ndarray]:
    """Three numbers, each within +-most."""
    number = st.floats(-most, most, allow_subnormal=False)
    return st.tuples(number, number, number).map(np.array)


def rotations() -> st.SearchStrategy[Rotation]:
    """Any rotation."""
    number = st.floats(-1.0, 1.0, allow_subnormal=False)
    quaternions = st.tuples(number, number, number, number)
    return quaternions.filter(lambda q: np.linalg.norm(q) > 0.1).map(Rotation.from_quat)


def poses(most_m: float = 2.0) -> st.SearchStrategy[Pose]:
    """Any pose within a cube."""
    return st.builds(Pose, vectors(most_m), rotations())
