# SPDX-License-Identifier: Apache-2.0
"""The arm's side of teleoperation, one period at a time: from targets and measurements to what a controller is told.

Pure: no ROS, no clock. Nothing moves until the arm's pose is known and sound and a target comes; after anything that
was wrong a fresh press is needed (``press``). At rest nothing is published, so Servo times out and an impedance
controller holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.teleop.arm_watch import ArmWatch
from dexndm_ros.teleop.chain import ArmChain
from dexndm_ros.teleop.franka import robot_fault
from dexndm_ros.teleop.ik import ArmIk
from dexndm_ros.teleop.limiter import Limited, PoseLimiter
from dexndm_ros.teleop.mapping import MappingConfig, anchor_pose
from dexndm_ros.teleop.pose import Pose
from dexndm_ros.teleop.press import FreshPress
from dexndm_ros.teleop.profiles import ArmProfile, CommandKind
from dexndm_ros.teleop.trajectory import JointPoint, joint_trajectory

__all__ = ["ArmDrive", "ArmOutput"]

Vector = NDArray[np.float64]

_UNKNOWN = "the arm's pose is not known: is its driver running?"
_MODELESS = "the arm tells its mode no more: is franka_robot_state_broadcaster running?"
_MODE_STALE_S = 1.0
_SAME_JOINTS_RAD = 0.004
"""Joints farther than this from what they were told begin anew from where they are: to make up for it within the lead
of 50 ms takes 6 d / t^2 = 10 rad/s^2, all that the robot has."""
_SETTLE_S = 0.5
"""Until then an arm that was told to rest may still be on its way there."""
_FROZEN = "arm_bridge itself stood still: close what keeps its computer busy"


@dataclass(frozen=True, eq=False)
class ArmOutput:
    """What is to be published in this period.

    Attributes:
        pose: for pose controllers; None = nothing.
        points: for joint controllers, a trajectory; empty = nothing.
        commanded: where the arm was last told to be; None = never. At rest, joints that were moved away from
            what they were told make it where they are: the next motion begins there.
        measured: where it is; None = not known.
        fault: why it may not be moved, in words; empty = it may.
        limits: what keeps it from the target: the limiter's words, and joints at their limits.
    """

    pose: Pose | None
    points: tuple[JointPoint, ...]
    commanded: Pose | None
    measured: Pose | None
    fault: str
    limits: frozenset[str]


class ArmDrive:
    """Follows targets with one arm.

    Args:
        profile: the arm's controller and limits.
    """

    def __init__(self, profile: ArmProfile) -> None:
        self.profile = profile
        self.chain = ArmChain(profile.tool.pose())
        self._limiter: PoseLimiter | None = None
        self._ik: ArmIk | None = None
        self._watch = ArmWatch(profile.limits)
        self._pose: tuple[Pose, float] | None = None
        self._joints: tuple[Vector, float] | None = None
        self._press = FreshPress(profile.target_stale_s)
        self._robot: tuple[str, float] | None = None  # its fault, and when it was told
        self._forbidden = ""
        self._ticked_s: float | None = None
        self._moving = False
        self._spoke_s = 0.0  # to joints
        self._follows = False  # a target, in the last period

    @property
    def moving(self) -> bool:
        """The controller is being told where to go."""
        return self._moving

    def saw_pose(self, pose: Pose, at_s: float) -> None:
        """The arm tells its tool's pose; our monotonic time."""
        self._pose = (pose, at_s)

    def saw_joints(self, q_rad: Vector, at_s: float) -> None:
        """The arm tells its joint angles, shape (7,) in ``ARM_JOINT_NAMES``' order."""
        self._joints = (np.array(q_rad, dtype=np.float64), at_s)

    def saw_robot(self, mode: int, errors: Sequence[str], at_s: float) -> None:
        """The arm tells its mode and errors, see ``franka``; one that does must go on doing so."""
        self._robot = (robot_fault(mode, errors), at_s)

    def forbid(self, why: str) -> None:
        """What else is wrong, such as a second publisher of commands; empty = nothing."""
        self._forbidden = why

    def target(self, pose: Pose, at_s: float) -> None:
        """The operator wants the tool here."""
        self._press.target(pose, at_s)

    def operator(self, *, engaged: bool) -> None:
        """The operator's side tells whether its clutch is engaged."""
        self._press.operator(engaged=engaged)

    def tick(self, now_s: float) -> ArmOutput:
        """Go on by one period of the profile."""
        measured = self._measured(now_s)
        fault = self._robot_fault(now_s) or self._forbidden
        if not fault and measured is None:
            fault = _UNKNOWN
        if self._stood_still(now_s):
            fault = fault or _FROZEN
            self._halt()
        elif not fault and measured is not None and self._follows:
            fault = self._watch.check(self._told(measured), measured, now_s)
        target, fault = self._press.check(fault, now_s)
        self._follows = target is not None
        if not self._follows:
            self._watch.reset()
        if target is not None and measured is not None and not self._moving:
            self._begin(measured, now_s)
        if not self._moving or self._limiter is None:
            return self._output(None, (), measured, fault, frozenset())
        told = self._limiter.step(target, measured)
        rests = target is None and self._limiter.at_rest
        if self._ik is None:
            self._moving = not rests
            return self._output(told.pose, (), measured, fault, told.limits)
        points, stuck = self._joint_points(self._ik, self._limiter, told, rests)
        self._spoke_s = now_s
        return self._output(None, points, measured, fault, told.limits | stuck)

    def _joint_points(
        self, ik: ArmIk, limiter: PoseLimiter, told: Limited, rests: bool
    ) -> tuple[tuple[JointPoint, ...], frozenset[str]]:
        """What joints are told, and which are at their limits; a motion ends when they rest, not the pose."""
        stuck = frozenset[str]()
        if rests:
            v_rad_s = ik.brake()
        else:
            step = ik.step(told)
            v_rad_s, stuck = step.v_rad_s, frozenset(step.at_limit)
        self._moving = not (rests and ik.at_rest)
        if not self._moving:  # what they lagged behind is not to be made up for at the next press
            limiter.reset(self.chain.pose(ik.q_rad))
        config = self.profile
        points = joint_trajectory(
            ik.q_rad,
            v_rad_s,
            config.lead_s,
            config.ik.acceleration_rad_s2,
            self._joints[0] if self._joints is not None else None,
        )
        self._end_rad = points[-1].q_rad
        return points, stuck

    def _begin(self, measured: Pose, now_s: float) -> None:
        """Start from what was told last while the arm keeps to it, else from where it is."""
        start = self._start(measured, now_s)
        if self._limiter is None:
            self._limiter = PoseLimiter(self.profile.limits, start)
        elif start is not self._limiter.pose:
            self._limiter.reset(start)
        if self.profile.command is CommandKind.JOINTS and self._joints is not None:
            if self._ik is None:
                self._ik = ArmIk(self.profile.ik, self.chain, self._joints[0])
            elif start is measured:
                self._ik.reset(self._joints[0])
        self._moving = True

    def _start(self, measured: Pose, now_s: float) -> Pose:
        """Where a motion would begin; joints too must be where they were told, or the first message is a jump."""
        commanded = self._limiter.pose if self._limiter is not None else None
        start = anchor_pose(commanded, measured, MappingConfig())
        if self._ik is None or self._joints is None or now_s - self._spoke_s < _SETTLE_S:
            return start
        away_rad = np.abs(self._ik.q_rad - self._joints[0]).max()
        return measured if away_rad > _SAME_JOINTS_RAD else start

    def _told(self, measured: Pose) -> Pose:
        """Where the controller was told to have the tool."""
        if self._ik is not None:  # joints that cannot follow their pose are not the arm's fault
            return self.chain.pose(self._ik.q_rad)
        return self._limiter.pose if self._limiter is not None else measured

    def told(self, now_s: float) -> tuple[Pose | None, Vector | None]:
        """The tool's pose and the joints (7,) as the arm tells them; each None where it does not, or not lately."""
        pose, joints, oldest_s = self._pose, self._joints, now_s - self.profile.state.stale_s
        return (
            pose[0] if pose is not None and pose[1] >= oldest_s else None,
            joints[0] if joints is not None and joints[1] >= oldest_s else None,
        )

    def _measured(self, now_s: float) -> Pose | None:
        """The tool's pose: told by the arm, or computed from joints where those are what is commanded."""
        pose, q_rad = self.told(now_s)
        if pose is not None and self.profile.command is CommandKind.POSE:
            return pose
        return self.chain.pose(q_rad) if q_rad is not None else None

    def _robot_fault(self, now_s: float) -> str:
        if self._robot is None:
            return ""
        fault, at_s = self._robot
        return fault or (_MODELESS if now_s - at_s > _MODE_STALE_S else "")

    def _stood_still(self, now_s: float) -> bool:
        """Nobody asked for so long that the arm, and what it was told, are of another time."""
        last_s, self._ticked_s = self._ticked_s, now_s
        return last_s is not None and now_s - last_s > self.profile.target_stale_s

    def _halt(self) -> None:
        """Say nothing more: the arm has long come to the end of what it was told."""
        self._moving = False
        if self._limiter is not None:
            if self._ik is not None:
                self._ik.reset(self._end_rad)
            rest = self._limiter.pose if self._ik is None else self.chain.pose(self._ik.q_rad)
            self._limiter.reset(rest)

    def _output(
        self,
        pose: Pose | None,
        points: tuple[JointPoint, ...],
        measured: Pose | None,
        fault: str,
        limits: frozenset[str],
    ) -> ArmOutput:
        commanded = self._limiter.pose if self._limiter is not None else None
        if self._ik is not None and measured is not None and not self._moving:
            commanded = self._start(measured, self._ticked_s or 0.0)
        return ArmOutput(pose, points, commanded, measured, fault, limits)
