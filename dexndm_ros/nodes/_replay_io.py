# SPDX-License-Identifier: Apache-2.0
"""What ``chaos_box_replay`` reads: its parameters, and what the others say."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from dexndm_msgs.msg import HandHealth, HandState, RecorderStatus
from geometry_msgs.msg import QuaternionStamped
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from scipy.spatial.transform import Rotation

from dexndm_ros.hand.joints import JOINT_COUNT
from dexndm_ros.nodes._polled import AllOf
from dexndm_ros.policy.realtime import RealtimeConfig
from dexndm_ros.policy.wrist import parse_wrist
from dexndm_ros.replay.views import HandMode, HandView, RecorderView

__all__ = ["PARAMETERS", "Ears", "Settings", "read_settings"]

PARAMETERS: tuple[tuple[str, Any, str], ...] = (
    ("campaign", "", "campaign file, YAML; empty = the one of the directory, to go on with it"),
    ("directory", "", "folder of the campaign: its ledger, its bags"),
    ("begun", "", "when the run began, YYYY-MM-DDTHH:MM:SS, for its schedule; empty = now"),
    ("wrist_tolerance_deg", 20.0, "how far wrist/orientation may be from the campaign's"),
    ("realtime.fifo_priority", 0, "SCHED_FIFO priority of the control thread; 0 = off"),
    ("realtime.other_priority", 50, "SCHED_FIFO priority of the other threads"),
)


_STATES = QoSProfile(depth=100, reliability=ReliabilityPolicy.BEST_EFFORT)
_HEALTH_AGE_S = 2.5
_SILENT_S = 0.3
_NOWHERE = np.full(JOINT_COUNT, np.nan)


@dataclass(frozen=True)
class Settings:
    """The parameters, checked.

    Attributes:
        campaign: campaign file; '' = the one in the directory.
        directory: folder of the campaign.
        begun: when the run began, local time; a node that is started again goes on in the same run.
        wrist_tolerance_deg: how far the wrist may be from where the campaign wants it.
        realtime: scheduling asked for.
    """

    campaign: str
    directory: str
    begun: datetime
    wrist_tolerance_deg: float
    realtime: RealtimeConfig


def read_settings(node: Node) -> Settings:
    """Declare and read the parameters.

    Raises:
        ValueError: one that is not allowed.
    """
    for name, default, text in PARAMETERS:
        node.declare_parameter(name, default, ParameterDescriptor(description=text))
    value = {name: node.get_parameter(name).value for name, _, _ in PARAMETERS}
    if not value["directory"]:
        raise ValueError("parameter directory is empty; name the folder of the campaign")
    return Settings(
        campaign=value["campaign"],
        directory=value["directory"],
        begun=datetime.fromisoformat(value["begun"]) if value["begun"] else datetime.now(),
        wrist_tolerance_deg=value["wrist_tolerance_deg"],
        realtime=RealtimeConfig(
            fifo_priority=value["realtime.fifo_priority"],
            other_priority=value["realtime.other_priority"],
        ),
    )


class Ears:
    """The newest of what others say. Callbacks store, the control thread looks.

    The fast topic has no callback: the control thread takes its messages itself, so that no other thread
    holds the interpreter when a tick is due.

    Args:
        node: owns the subscription to hand/state.
        orientation: wrist orientation of the campaign.
        tolerance_deg: how far the real one may be from it.
    """

    def __init__(self, node: Node, orientation: str, tolerance_deg: float) -> None:
        self._states = AllOf(node, HandState, "hand/state", _STATES)
        self._orientation = orientation
        self._tolerance_deg = tolerance_deg
        self._state: tuple[HandState, float] | None = None
        self._health: HandHealth | None = None
        self._health_s = -math.inf
        self._temperature = np.full(JOINT_COUNT, np.nan)
        self._recorder: RecorderView | None = None
        self._recorder_s = 0.0
        self.wrist_refusal = ""

    def listen(self) -> list[HandState]:
        """The states since the last call, oldest first; called in the control thread."""
        taken = self._states.take()
        if taken:
            self._state = (taken[-1], time.monotonic())
        return taken

    def on_health(self, message: HandHealth) -> None:
        """hand/health."""
        self._temperature = np.array(message.temperature, dtype=np.float64)
        self._health, self._health_s = message, time.monotonic()

    def on_recorder(self, message: RecorderStatus) -> None:
        """recorder/status."""
        self._recorder_s = time.monotonic()
        self._recorder = RecorderView(
            0.0,
            message.session,
            message.ready,
            message.reason,
            message.behind_s,
            message.free_bytes,
        )

    def on_wrist(self, message: QuaternionStamped) -> None:
        """wrist/orientation: an arm or a sensor knows how the hand is mounted."""
        q = message.quaternion
        try:
            real = Rotation.from_quat([q.x, q.y, q.z, q.w])
        except ValueError:
            return
        wanted = Rotation.from_quat(parse_wrist(self._orientation))
        # Turning about the vertical changes nothing for the hand: gravity in its frame is compared.
        down = np.array([0.0, 0.0, -1.0])
        cosine = float(np.dot(real.inv().apply(down), wanted.inv().apply(down)))
        degrees = float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))
        self.wrist_refusal = (
            f"the wrist is {degrees:.0f} degrees from {self._orientation}, the campaign's "
            "orientation: turn the hand, or run another campaign"
            if degrees > self._tolerance_deg
            else ""
        )

    def hand(self) -> HandView | None:
        """The hand; None = nothing heard yet."""
        heard, health, now_s = self._state, self._health, time.monotonic()
        fault = "" if health is None or now_s - self._health_s > _HEALTH_AGE_S else health.fault
        if fault and (heard is None or now_s - heard[1] > _SILENT_S):
            # A driver whose port is lost reads no state, and still tells its fault.
            return HandView(
                0.0, HandMode.FAULT, _NOWHERE, _NOWHERE, _NOWHERE, self._temperature, fault
            )
        if heard is None:
            return None
        state, heard_s = heard
        return HandView(
            age_s=now_s - heard_s,
            mode=HandMode(state.mode),
            position_rad=np.asarray(state.position, dtype=np.float64),
            velocity_rad_s=np.asarray(state.velocity, dtype=np.float64),
            current_a=np.asarray(state.current, dtype=np.float64),
            temperature_c=self._temperature,
            fault=fault,
        )

    def recorder(self) -> RecorderView | None:
        """The recorder; None likewise."""
        view = self._recorder
        if view is None:
            return None
        age_s = time.monotonic() - self._recorder_s
        return RecorderView(
            age_s, view.session, view.ready, view.reason, view.behind_s, view.free_bytes
        )
