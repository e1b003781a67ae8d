# SPDX-License-Identifier: Apache-2.0
"""What ``quest_bridge`` tells, as messages."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from dexndm_msgs.msg import ControllerState, RotationCommand, TeleopStatus
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import PoseStamped, Vector3
from numpy.typing import NDArray

from dexndm_ros.teleop.bridge import Decision
from dexndm_ros.teleop.clutch import State
from dexndm_ros.teleop.pose import Pose
from dexndm_ros.teleop.sample import Hand, Sample

__all__ = ["controllers", "diagnostics", "pose_stamped", "pose_told", "rotation", "status"]

_LEVELS = {State.ENGAGED: DiagnosticStatus.OK, State.READY: DiagnosticStatus.OK}


def pose_told(message: PoseStamped) -> Pose:
    """A pose as a message tells it.

    Raises:
        ValueError: it is not a pose.
    """
    p, q = message.pose.position, message.pose.orientation
    return Pose.of([p.x, p.y, p.z], [q.x, q.y, q.z, q.w])


def pose_stamped(pose: Pose, frame: str, stamp: Any) -> PoseStamped:
    """A pose as a message."""
    message = PoseStamped()
    message.header.stamp = stamp
    message.header.frame_id = frame
    _fill_pose(message.pose, pose.position_m, pose.xyzw)
    return message


def controllers(sample: Sample, age_s: float, stamp: Any) -> ControllerState:
    """A sample as a message; a hand that is not there has the pose of nowhere and is not valid.

    Args:
        sample: what the source gave.
        age_s: of it, now.
        stamp: when it was captured.
    """
    message = ControllerState(seq=sample.seq, age_ms=age_s * 1e3)
    message.header.stamp = stamp
    message.header.frame_id = "operator"
    for side, hand in (("left", sample.left), ("right", sample.right)):
        if hand is None:
            continue
        _fill_pose(getattr(message, side), hand.position_m, hand.rotation_xyzw)
        setattr(message, f"{side}_valid", _valid(hand))
        setattr(message, f"{side}_trigger", hand.trigger)
        setattr(message, f"{side}_grip", hand.squeeze)
        for name in hand.buttons & {"A", "B", "X", "Y"}:
            setattr(message, f"button_{name.lower()}", True)
    return message


def rotation(axis: NDArray, stamp: Any) -> RotationCommand:
    """An axis as a command."""
    message = RotationCommand(axis=_vector(axis))
    message.header.stamp = stamp
    message.header.frame_id = "palm"
    return message


def status(
    decision: Decision, ages_ms: tuple[float, ...], rejected: int, stamp: Any
) -> TeleopStatus:
    """A decision in words; ``ages_ms`` are the percentiles 50 and 95 of capture to publish."""
    message = TeleopStatus(
        engaged=decision.state is State.ENGAGED,
        reason=decision.reason,
        axis=_vector(decision.axis),
        latency_ms_p50=ages_ms[0],
        latency_ms_p95=ages_ms[1],
        rejected=rejected,
    )
    message.header.stamp = stamp
    return message


def diagnostics(
    decision: Decision, counts: Mapping[str, int], words: Mapping[str, str], stamp: Any
) -> DiagnosticArray:
    """State, reason and counts; ``words`` are what the parts beside the arm have to say, empty = nothing."""
    values = [KeyValue(key=name, value=str(value)) for name, value in {**counts, **words}.items()]
    told = DiagnosticStatus(
        level=_LEVELS.get(decision.state, DiagnosticStatus.WARN),
        name="quest_bridge: operator",
        message=decision.reason or "the arm follows",
        values=values,
    )
    message = DiagnosticArray(status=[told])
    message.header.stamp = stamp
    return message


def _valid(hand: Hand) -> bool:
    return hand.tracked and not hand.emulated and all(map(math.isfinite, hand.position_m))


def _vector(axis: NDArray) -> Vector3:
    x, y, z = axis.tolist()
    return Vector3(x=x, y=y, z=z)


def _fill_pose(pose: Any, position_m: Any, xyzw: Any) -> None:
    pose.position.x, pose.position.y, pose.position.z = map(float, position_m)
    turn = pose.orientation
    turn.x, turn.y, turn.z, turn.w = map(float, xyzw)
