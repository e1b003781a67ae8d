# SPDX-License-Identifier: Apache-2.0
"""``hand/state`` and ``joint_states``: messages made once, filled in the bus thread."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Any

import numpy as np
from dexndm_msgs.msg import HandState
from rclpy.event_handler import PublisherEventCallbacks
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import JointState

from dexndm_ros.hand.driver_types import Cycle
from dexndm_ros.hand.joints import JOINT_COUNT, JOINT_NAMES
from dexndm_ros.nodes._qos import control_publisher
from dexndm_ros.nodes._time import fill_stamp, stamp_ns
from dexndm_ros.policy.clock import Clock

__all__ = ["StateOutput"]


class StateOutput:
    """The driver's fast publishers.

    Args:
        node: owns them.
        rate_hz: cycles a second.
        joint_states_every: cycles between joint_states messages; 0 = none.
        on_late: called with the event when a state missed the deadline that we offer.
        clock: of the stamps, which are of the middle of the read.
    """

    def __init__(
        self,
        node: LifecycleNode,
        rate_hz: float,
        joint_states_every: int,
        on_late: Callable[[Any], None],
        clock: Clock,
    ) -> None:
        self._node = node
        self._clock = clock
        self._every = joint_states_every
        self._state = HandState()
        self._state.header.frame_id = "palm"
        self._joints = JointState(name=list(JOINT_NAMES))
        self._joints.position = array("d", bytes(8 * JOINT_COUNT))
        self._joints.velocity = array("d", bytes(8 * JOINT_COUNT))
        # Views: filling them fills the messages, without a new list a cycle. Effort stays empty:
        # X330 measure the supply current, and no torque follows from that.
        self._joint_position = np.frombuffer(self._joints.position)
        self._joint_velocity = np.frombuffer(self._joints.velocity)
        self._states = node.create_lifecycle_publisher(
            HandState,
            "hand/state",
            control_publisher(rate_hz),
            event_callbacks=PublisherEventCallbacks(deadline=on_late),
        )
        self._joint_states = node.create_lifecycle_publisher(JointState, "joint_states", 10)

    def publish(self, cycle: Cycle) -> None:
        """Publish one complete cycle."""
        reading, state = cycle.reading, self._state
        read_ns = stamp_ns(self._clock, reading.monotonic_ns)
        fill_stamp(state.header.stamp, read_ns)
        state.seq = cycle.seq
        state.position[:] = reading.position_rad
        state.velocity[:] = reading.velocity_rad_s
        state.current[:] = reading.current_a
        state.command[:] = cycle.command
        state.command_seq = cycle.command_seq
        state.command_source = cycle.command_source
        state.mode = int(cycle.mode)
        state.monotonic_ns = reading.monotonic_ns
        state.decided_s = cycle.decided_s
        state.arrived_s = cycle.arrived_s
        self._states.publish(state)
        if self._every and cycle.seq % self._every == 0:
            fill_stamp(self._joints.header.stamp, read_ns)
            self._joint_position[:] = reading.position_rad
            self._joint_velocity[:] = reading.velocity_rad_s
            self._joint_states.publish(self._joints)

    def destroy(self) -> None:
        """Leave the graph."""
        for publisher in (self._states, self._joint_states):
            self._node.destroy_lifecycle_publisher(publisher)
