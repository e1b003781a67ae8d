# SPDX-License-Identifier: Apache-2.0
"""``virtual_leap_hand``: a LEAP hand in MuJoCo behind a serial port, and what only a simulation knows.

The driver reaches the motors through the port, as with a real hand; nothing here moves a joint. It
publishes ``/clock``: the wall's time at the start, and simulated seconds from there.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from dexndm_msgs.msg import RotationCommand, RotationProgress
from dexndm_msgs.srv import InjectFault
from geometry_msgs.msg import PoseStamped, QuaternionStamped
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rosgraph_msgs.msg import Clock as ClockMessage
from std_srvs.srv import Trigger

from dexndm_ros.nodes._qos import LATCHED
from dexndm_ros.nodes._run import NodeFailedError, run_node
from dexndm_ros.nodes._time import fill_stamp
from dexndm_ros.paths import PathError
from dexndm_ros.policy.clock import DeadlineLoop, LoopConfig, Tick
from dexndm_ros.policy.wrist import AxisError, parse_axis
from dexndm_ros.sim.faults import FaultError
from dexndm_ros.sim.pty_port import PortLinkError
from dexndm_ros.sim.rig import RigConfig
from dexndm_ros.sim.virtual_hand import HandSnapshot, VirtualHand
from dexndm_ros.sim.worlds import World, WorldError

__all__ = ["PARAMETERS", "VirtualLeapHand", "main"]

_QUIET_S = 0.3
_LINGER_S = 2.0
_CLOCK_HZ = 100.0
_PACE_S = 10.0
_SLOW = 0.05
"""A share of real time that the physics lost, worth a warning."""

PARAMETERS = (
    ("link", "", "path of the serial port; empty = the pseudo-terminal's own name, see the log"),
    ("world", "nominal", "a name in config/worlds or a YAML file"),
    ("wrist", "", "palm orientation, a name or x,y,z,w; empty = the world's"),
    (
        "load",
        "",
        "full, half, free or tied in place of the world's object; empty = as the world is",
    ),
    ("seed", 0, "of the object's places, of where balls fall and of random faults"),
    ("axis", "+z", "rotation counted until rotation/command says otherwise, palm frame"),
    ("publish_hz", 20.0, "rotation/progress and sim/object messages a (real) second"),
    ("speed", 1.0, "simulated seconds in a real one; /clock tells the simulated time"),
)


class VirtualLeapHand(Node):
    """Owns a :class:`VirtualHand`; the hand's own threads do the work.

    Args:
        name: the node's.
        parameters: that it has.
    """

    def __init__(
        self,
        name: str = "virtual_leap_hand",
        parameters: tuple[tuple[str, Any, str], ...] = PARAMETERS,
    ) -> None:
        super().__init__(name)
        for name, default, text in parameters:
            self.declare_parameter(name, default, ParameterDescriptor(description=text))
        self._hand: VirtualHand | None = None
        self._clock_loop: DeadlineLoop | None = None
        self._clock_message = ClockMessage()
        self._simulated = bool(self.get_parameter("use_sim_time").value)
        self._progress = RotationProgress()
        self._progress.header.frame_id = "palm"
        self._object = PoseStamped()
        self._object.header.frame_id = "palm"

    # --- what run_node asks of a node -----------------------------------------------------------

    def begin(self) -> None:
        """Build the world, open the port, join the graph."""
        link = str(self.get_parameter("link").value)
        try:
            axis = parse_axis(self.get_parameter("axis").value)
            if link:
                Path(link).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            seed = self.get_parameter("seed").value
            world = World.load(self.get_parameter("world").value)
            world = world.with_load(str(self.get_parameter("load").value).strip())
            config = RigConfig(
                model_number=world.servo.motor_model.model_number,
                fault_seed=seed,
                speed=self.get_parameter("speed").value,
            )
            self._hand = hand = self._make_hand(world, link or None, seed, config)
        except (WorldError, PathError, PortLinkError, AxisError, ValueError, OSError) as error:
            raise NodeFailedError(str(error)) from error
        hand.set_axis(axis)
        self._epoch_ns = time.time_ns()
        hand.start()
        self._join_graph(hand)
        self.get_logger().info(f"world {hand.world.name}, port {hand.port}")

    def failure(self) -> str:
        """Never: the hand's threads serve until closed."""
        return ""

    def close(self) -> None:
        """Hang up the port and remove its link, once nobody speaks on it any more.

        ``ros2 launch`` interrupts all nodes at once, and a driver has to switch the torque off.
        """
        loop, self._clock_loop = self._clock_loop, None
        if loop is not None:
            loop.stop()
        hand, self._hand = self._hand, None
        if hand is None:
            return
        deadline_s = time.monotonic() + _LINGER_S
        packets = -1
        while hand.rig.bus.packets != packets and time.monotonic() < deadline_s:
            packets = hand.rig.bus.packets
            time.sleep(_QUIET_S)
        hand.close()

    def _join_graph(self, hand: VirtualHand) -> None:
        self._progress_publisher = self.create_publisher(RotationProgress, "rotation/progress", 10)
        self._object_publisher = self.create_publisher(PoseStamped, "sim/object", 10)
        if hand.carried is None:
            self._tell_wrist(hand)
        self.create_subscription(
            RotationCommand, "rotation/command", self._on_axis, QoSProfile(depth=1)
        )
        self.create_service(InjectFault, "sim/inject_fault", self._on_inject)
        self.create_service(Trigger, "sim/reset", self._on_reset)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(1.0 / self.get_parameter("publish_hz").value, self._publish, clock=steady)
        self.create_timer(_PACE_S, self._watch_pace, clock=steady)
        self._slipped_s = 0.0
        self._clock_publisher = self.create_publisher(ClockMessage, "/clock", 1)
        # A thread of its own: it must not wait for a callback, others live by it.
        config = LoopConfig(rate_hz=_CLOCK_HZ, name="clock", freeze_gc=False)
        self._clock_loop = DeadlineLoop(config, self._tell_time)
        self._clock_loop.start()

    def _make_hand(
        self, world: World, link: str | None, seed: int, config: RigConfig
    ) -> VirtualHand:
        world = world.with_wrist(str(self.get_parameter("wrist").value).strip())
        return VirtualHand(world, link, seed, config)

    def _tell_wrist(self, hand: VirtualHand) -> None:
        """What an arm would tell on a real system: the world holds the palm still."""
        self._wrist_publisher = self.create_publisher(
            QuaternionStamped, "wrist/orientation", LATCHED
        )
        wrist = QuaternionStamped()
        fill_stamp(wrist.header.stamp, self._stamp_ns(hand))
        wrist.header.frame_id = "world"
        q = wrist.quaternion
        q.x, q.y, q.z, q.w = hand.world.wrist_xyzw().tolist()
        self._wrist_publisher.publish(wrist)

    # --- time ---------------------------------------------------------------------------------

    def _tell_time(self, _: Tick) -> None:
        hand = self._hand
        if hand is not None:
            fill_stamp(self._clock_message.clock, self._time_ns(hand))
            self._clock_publisher.publish(self._clock_message)

    def _time_ns(self, hand: VirtualHand) -> int:
        return self._epoch_ns + round(hand.rig.time_s * 1e9)

    def _stamp_ns(self, hand: VirtualHand) -> int:
        """For messages: simulated time where the whole system lives by it, else the wall's."""
        return self._time_ns(hand) if self._simulated else time.time_ns()

    def _watch_pace(self) -> None:
        if self._hand is None:
            return
        before_s, self._slipped_s = self._slipped_s, self._hand.rig.slipped_s
        share = (self._slipped_s - before_s) / _PACE_S
        if share > _SLOW:
            speed = self.get_parameter("speed").value
            self.get_logger().warning(
                f"the physics keeps up with {(1.0 - share) * speed:.2f} times real time, not "
                f"{speed:g}: /clock runs slower; free the processor or lower the parameter speed"
            )

    # --- callbacks ----------------------------------------------------------------------------

    def _on_axis(self, message: RotationCommand) -> None:
        axis = message.axis
        if self._hand is None:
            return
        try:
            self._hand.set_axis([axis.x, axis.y, axis.z])
        except AxisError as error:
            self.get_logger().warning(f"rotation/command not counted: {error}")

    def _on_inject(
        self, request: InjectFault.Request, response: InjectFault.Response
    ) -> InjectFault.Response:
        if self._hand is None:
            response.message = "the virtual hand is closed"
            return response
        try:
            response.message = self._hand.inject(
                request.fault, request.motor, request.probability, request.duration_s
            )
        except FaultError as error:
            response.message = str(error)
        else:
            response.success = True
            self.get_logger().warning(response.message)
        return response

    def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success = self._hand is not None
        if self._hand is not None:
            self._hand.reset()
        response.message = "the object is taken out and handed over anew"
        return response

    def _publish(self) -> None:
        if self._hand is None:
            return
        view = self._hand.snapshot()
        stamp_ns = self._stamp_ns(self._hand)
        progress = self._progress
        fill_stamp(progress.header.stamp, stamp_ns)
        progress.angle = view.progress.angle_rad
        progress.off_axis = view.progress.off_axis_rad
        progress.time = view.progress.time_s
        progress.fallen = view.progress.fallen
        progress.episode = view.progress.episode
        self._progress_publisher.publish(progress)
        if view.object_position_m is not None:
            fill_stamp(self._object.header.stamp, stamp_ns)
            self._fill_pose(view)
            self._object_publisher.publish(self._object)

    def _fill_pose(self, view: HandSnapshot) -> None:
        p, q = self._object.pose.position, self._object.pose.orientation
        assert view.object_position_m is not None and view.object_xyzw is not None
        p.x, p.y, p.z = view.object_position_m.tolist()
        q.x, q.y, q.z, q.w = view.object_xyzw.tolist()


def main(arguments: list[str] | None = None) -> int:
    """Run the virtual hand until a signal."""
    return run_node(VirtualLeapHand, arguments)


if __name__ == "__main__":
    raise SystemExit(main())
