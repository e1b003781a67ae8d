# SPDX-License-Identifier: Apache-2.0
"""``virtual_arm``: an FR3 in MuJoCo that carries the virtual hand, behind the topics of both.

The hand is that of ``virtual_leap_hand``, with its serial port; the arm takes ``virtual_arm/joint_trajectory`` as
franka_ros2's ``fr3_arm_controller`` would, and tells ``virtual_arm/joint_states``. One physics moves both, so gravity
and every move of the wrist reach the fingers and what they hold. ``arm_bridge`` tells the wrist, as with a real arm.
"""

from __future__ import annotations

import numpy as np
from rclpy.clock import Clock, ClockType
from rclpy.qos import QoSProfile
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from dexndm_ros.nodes._joint_points import joint_points
from dexndm_ros.nodes._run import run_node
from dexndm_ros.nodes._time import fill_stamp
from dexndm_ros.nodes.virtual_leap_hand import PARAMETERS as HAND_PARAMETERS
from dexndm_ros.nodes.virtual_leap_hand import VirtualLeapHand
from dexndm_ros.sim.handover import HandoverConfig
from dexndm_ros.sim.rig import RigConfig
from dexndm_ros.sim.virtual_arm import VirtualArm
from dexndm_ros.sim.virtual_hand import VirtualHand
from dexndm_ros.sim.worlds import World
from dexndm_ros.teleop.bulb import READY_RAD, STAND_AWAY_M
from dexndm_ros.teleop.fr3 import ARM_JOINT_NAMES
from dexndm_ros.teleop.franka import RobotMode

__all__ = ["PARAMETERS", "VirtualArmNode", "main"]

_STATES_HZ = 100.0
PARAMETERS = tuple(row for row in HAND_PARAMETERS if row[0] != "wrist")
"""Those of the hand; the palm is where the arm has it."""


class VirtualArmNode(VirtualLeapHand):
    """The virtual hand's node, with an arm below the hand."""

    def __init__(self) -> None:
        super().__init__("virtual_arm", PARAMETERS)
        self._names = list(ARM_JOINT_NAMES)
        self._mode = RobotMode.IDLE

    def _make_hand(
        self, world: World, link: str | None, seed: int, config: RigConfig
    ) -> VirtualHand:
        arm = VirtualArm(world, np.array(READY_RAD))
        handover = HandoverConfig(away_m=STAND_AWAY_M)
        return VirtualHand(world, link, seed, config, handover, arm)

    def _join_graph(self, hand: VirtualHand) -> None:
        super()._join_graph(hand)
        self._states_publisher = self.create_publisher(JointState, "virtual_arm/joint_states", 1)
        self.create_subscription(
            JointTrajectory,
            "virtual_arm/joint_trajectory",
            self._on_trajectory,
            QoSProfile(depth=1),
        )
        self.create_service(Trigger, "virtual_arm/recover", self._on_recover)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(1.0 / _STATES_HZ, self._tell_joints, clock=steady)

    def _on_trajectory(self, message: JointTrajectory) -> None:
        if self._hand is None or self._hand.carried is None:
            return
        try:
            self._hand.carried.follow(joint_points(message))
        except ValueError as error:
            self.get_logger().error(
                f"virtual_arm/joint_trajectory refused: {error}", throttle_duration_sec=2.0
            )

    def _on_recover(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success = self._hand is not None and self._hand.carried is not None
        if self._hand is not None and self._hand.carried is not None:
            self._hand.carried.recover()
        response.message = "the arm holds where it stands and listens again"
        return response

    def _tell_joints(self) -> None:
        if self._hand is None or self._hand.carried is None:
            return
        now = self._hand.carried.moment
        message = JointState(
            name=self._names, position=now.q_rad.tolist(), velocity=now.v_rad_s.tolist()
        )
        fill_stamp(message.header.stamp, self._stamp_ns(self._hand))
        self._states_publisher.publish(message)
        if now.mode is not self._mode and now.mode is RobotMode.REFLEX:
            names = ", ".join(name.replace("_", " ") for name in now.errors)
            self.get_logger().warning(
                f"the virtual arm has stopped itself ({names}): call virtual_arm/recover"
            )
        self._mode = now.mode


def main(arguments: list[str] | None = None) -> int:
    """Run the virtual arm until a signal."""
    return run_node(VirtualArmNode, arguments)


if __name__ == "__main__":
    raise SystemExit(main())
