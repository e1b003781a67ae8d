# SPDX-License-Identifier: Apache-2.0
"""``quest_bridge``: the operator's headset, for ROS.

The right hand becomes ``arm/target_pose`` (while its grip is held, else nothing), the left hand ``rotation/command``.
The loop is a thread of its own; ROS callbacks only store. The target is not limited here: ``arm_bridge`` does that,
and tells in return where the arm is, where it was told to be, and why it may not be moved.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from pathlib import Path

import numpy as np
from dexndm_msgs.msg import ControllerState, RotationCommand, TeleopStatus
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from rclpy.time import Time
from std_msgs.msg import String
from std_srvs.srv import Trigger

from dexndm_ros.dashboard.access import DashboardError
from dexndm_ros.nodes import _quest_output as output
from dexndm_ros.nodes._demonstrations import Demonstrations
from dexndm_ros.nodes._polled import NewestOf
from dexndm_ros.nodes._qos import LATCHED
from dexndm_ros.nodes._quest_page import show_code, tell_page, way_through_usb
from dexndm_ros.nodes._quest_settings import declare_parameters, open_source, read_settings
from dexndm_ros.nodes._run import NodeFailedError, NodeRefusedError, run_node, until_shutdown
from dexndm_ros.policy.clock import DeadlineLoop, LoopConfig, Tick
from dexndm_ros.teleop.bridge import ArmSeen, Bridge, Decision
from dexndm_ros.teleop.clutch import State
from dexndm_ros.teleop.errors import RecordingError, TeleopError
from dexndm_ros.teleop.latency import Percentiles
from dexndm_ros.teleop.pose import Pose
from dexndm_ros.teleop.recording import SampleWriter
from dexndm_ros.teleop.sample import Sample, Source
from dexndm_ros.teleop.sample_log import SampleLog, free_path
from dexndm_ros.teleop.web.adb_reverse import AdbReverse
from dexndm_ros.teleop.web.status import Status, status_of, with_recording

__all__ = ["QuestBridge", "main"]

_REPEAT_S = 0.1
"""Status and axis are told anew so often, changed or not: rotation_policy's command_lease_s must be a few of these."""
_DIAGNOSTICS_PERIOD_S = 1.0
_Seen = tuple[Pose, float]


class QuestBridge(Node):
    """Wires a source and a ``Bridge`` to the graph."""

    def __init__(self) -> None:
        super().__init__("quest_bridge")
        declare_parameters(self)
        self._source: Source | None = None
        self._usb: AdbReverse | None = None
        self._log: SampleLog | None = None
        self._log_words = ""
        self._loop: DeadlineLoop | None = None
        self._measured: _Seen | None = None
        self._commanded: _Seen | None = None
        self._frame = ""  # of the arm's poses, and so of the target
        self._arm_fault = ""
        self._stepping = threading.Lock()  # the loop steps the bridge, or a service looks at it
        self._repeat_ticks = 1
        self._events: deque[str] = deque(maxlen=50)
        self._demonstrations: Demonstrations | None = None
        self._ages_ms = Percentiles()
        self._late_ms = self._ages_ms.at(50.0, 95.0)
        self._decision = Decision(State.DISCONNECTED, None, np.zeros(3), "no headset is connected")

    # --- what run_node asks of a node -----------------------------------------------------------

    def begin(self) -> None:
        """Open the source, join the graph, start the loop."""
        try:
            self._settings = read_settings(self)
            self._bridge = Bridge(self._settings.bridge)
            self._source = open_source(self._settings, self._status, show_code)
            if self._settings.record:
                self._log = self._open_log(Path(self._settings.record).expanduser())
            if not self._settings.wait:
                self._source.start()
        except (ValueError, RecordingError) as error:
            raise NodeRefusedError(str(error)) from error
        except (TeleopError, DashboardError, OSError) as error:
            raise NodeFailedError(str(error)) from error
        self._join_graph()
        self._repeat_ticks = round(_REPEAT_S * self._settings.rate_hz)
        self._loop = DeadlineLoop(
            LoopConfig(rate_hz=self._settings.rate_hz, name="quest_bridge"),
            until_shutdown(self, self._tick),
        )
        self._loop.start()
        server = getattr(self._source, "server", None)  # of the page, if that is the source
        if server is None:
            self.get_logger().info(f"source: {self._settings.source}")
            return
        tell_page(server, self.get_logger().info)
        self._usb = way_through_usb(server, self._settings)
        if self._usb is not None:
            self._usb.start()

    def failure(self) -> str:
        """Why the process must end; empty while it need not."""
        error = self._loop.error if self._loop is not None else None
        return f"the loop ended: {error!r}" if error is not None else ""

    def close(self) -> None:
        """No target any more; give back what is held."""
        if self._loop is not None:
            self._loop.stop()
        if self._log is not None:
            self._log.close()
        if self._source is not None:
            self._source.stop()
        if self._usb is not None:
            self._usb.stop()

    def _open_log(self, wanted: Path) -> SampleLog:
        """Where the samples go; a bridge that was started anew goes on beside what it had written."""
        path = free_path(wanted)
        log = SampleLog(SampleWriter(path))
        self.get_logger().info(f"samples are written to {path}")
        return log

    def _join_graph(self) -> None:
        self._target_publisher = self.create_publisher(PoseStamped, "arm/target_pose", 1)
        self._axis_publisher = self.create_publisher(RotationCommand, "rotation/command", 1)
        about = {
            "kind": "demonstration",
            "task": self._settings.task,
            "source": self._settings.source,
        }
        self._demonstrations = Demonstrations(self, self._settings.demonstration, about)
        self._hands_publisher = self.create_publisher(ControllerState, "teleop/controllers", 10)
        self._status_publisher = self.create_publisher(TeleopStatus, "teleop/status", 10)
        self._diagnostics_publisher = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._measured_poses = NewestOf(self, PoseStamped, "arm/measured_pose")
        self._commanded_poses = NewestOf(self, PoseStamped, "arm/commanded_pose")
        self.create_subscription(String, "arm/fault", self._on_fault, LATCHED)
        self.create_service(Trigger, "teleop/set_forward", self._on_forward)
        if self._settings.source == "recording":
            self.create_service(Trigger, "teleop/play", self._on_play)
        self.create_timer(_DIAGNOSTICS_PERIOD_S, self._report)

    # --- the arm's poses, a hundred times a second ------------------------------------------------

    def _look_at_arm(self) -> None:
        if self._measured_poses.fetch() and (told := self._measured_poses.message) is not None:
            self._frame = self._settings.base_frame or told.header.frame_id
            self._measured = self._seen(told, self._frame)
        if self._commanded_poses.fetch() and (told := self._commanded_poses.message) is not None:
            self._commanded = self._seen(told, self._frame) if self._frame else None

    def _seen(self, message: PoseStamped, wanted: str) -> _Seen | None:
        """A pose of the arm and when it came; None where it is no pose, or of another frame."""
        frame = message.header.frame_id
        try:
            pose = output.pose_told(message)
        except ValueError as error:
            self._events.append(f"a pose of the arm is refused: {error}")
            return None
        if frame != wanted:
            self._events.append(
                f"a pose of the arm is in frame {frame!r}, not in {wanted!r}: see base_frame"
            )
            return None
        return pose, time.monotonic()

    # --- callbacks: they store, and answer --------------------------------------------------------

    def _on_fault(self, message: String) -> None:
        self._arm_fault = message.data

    def _on_forward(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        with self._stepping:
            why_not = self._bridge.set_forward()
        response.success = not why_not
        response.message = why_not or "where the right controller points is forward from now on"
        return response

    def _on_play(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """A recorded operator does not look before he begins: his arm must be there."""
        arm = self._arm(time.monotonic())
        response.message = arm.fault
        if arm.measured is None:
            response.message = "the arm's pose is not known: is its driver running?"
        response.success = not response.message and self._source is not None
        if response.success and self._source is not None:
            self._source.start()
            response.message = "the recording plays from its beginning"
        return response

    # --- the loop's thread ----------------------------------------------------------------------

    def _tick(self, tick: Tick) -> None:
        assert self._source is not None
        sample = self._source.latest()
        self._look_at_arm()
        now_s = time.monotonic()
        with self._stepping:
            decision = self._bridge.tick(now_s, sample, self._arm(now_s))
        before, self._decision = self._decision, decision
        now = self.get_clock().now()
        stamp = now.to_msg()
        if decision.target is not None:
            told = output.pose_stamped(decision.target, self._frame, stamp)
            self._target_publisher.publish(told)
        turned = not np.array_equal(decision.axis, before.axis)
        changed = turned or decision.state is not before.state or decision.reason != before.reason
        repeats = tick.number % self._repeat_ticks == 0
        if turned or repeats:
            self._axis_publisher.publish(output.rotation(decision.axis, stamp))
        if sample is not None and decision.fresh:
            self._tell_hands(sample, now.nanoseconds)
        if decision.pulse is not None:
            self._source.pulse(decision.pulse.hand, decision.pulse.strength, decision.pulse.ms)
        self._record(now_s, sample if decision.fresh else None, self._source)
        if changed or repeats:
            self._late_ms = ages_ms = self._ages_ms.at(50.0, 95.0)
            self._status_publisher.publish(
                output.status(decision, ages_ms, self._rejected(), stamp)
            )
        if decision.reason != before.reason:
            self._events.append(decision.reason or "the arm follows")

    def _record(self, now_s: float, fresh: Sample | None, source: Source) -> None:
        """Start, keep or discard a demonstration where the operator's buttons say so."""
        assert self._demonstrations is not None
        connected = self._decision.state is not State.DISCONNECTED
        if words := self._demonstrations.tick(now_s, fresh, connected, source):
            self._events.append(f"demonstrations: {words}")

    def _tell_hands(self, sample: Sample, now_ns: int) -> None:
        age_s = max(0.0, self._bridge.gates.age_s(time.monotonic()))
        self._ages_ms.add(age_s * 1e3)
        captured = Time(nanoseconds=now_ns - round(age_s * 1e9)).to_msg()
        self._hands_publisher.publish(output.controllers(sample, age_s, captured))
        if self._log is not None:
            self._log.put(sample)

    def _arm(self, now_s: float) -> ArmSeen:
        def fresh(seen: _Seen | None) -> Pose | None:
            return seen[0] if seen and now_s - seen[1] <= self._settings.arm_stale_s else None

        return ArmSeen(fresh(self._measured), fresh(self._commanded), self._arm_fault)

    def _rejected(self) -> int:
        assert self._source is not None
        refused = sum(count for name, count in self._source.counts().items() if name != "accepted")
        return refused + sum(self._bridge.gates.counts.values())

    # --- other threads ----------------------------------------------------------------------------

    def _status(self) -> Status:
        """What the page shows; asked in the server's thread."""
        decision, ages_ms = self._decision, self._late_ms
        axis = ", ".join(f"{part:g}" for part in decision.axis) if decision.axis.any() else "stop"
        figures = {"age p50 / p95": f"{ages_ms[0]:.0f} / {ages_ms[1]:.0f} ms", "axis": axis}
        status = status_of(decision.state, decision.reason, figures)
        return (
            with_recording(status, *self._demonstrations.shown())
            if self._demonstrations
            else status
        )

    def _report(self) -> None:
        """Log and diagnostics, in the executor's thread."""
        while self._events:
            self.get_logger().info(self._events.popleft())
        words = self._log.words if self._log is not None else ""
        if words != self._log_words:
            self._log_words = words
            self.get_logger().warning(words)
        if self._source is not None:
            counts = {
                **self._source.counts(),
                **{str(key): n for key, n in dict(self._bridge.gates.counts).items()},
            }
            stamp = self.get_clock().now().to_msg()
            parts = {
                "usb": self._usb.words if self._usb is not None else "",
                "demonstration": self._demonstrations.words if self._demonstrations else "",
                "recording": self._log_words,
            }
            self._diagnostics_publisher.publish(
                output.diagnostics(self._decision, counts, parts, stamp)
            )


def main(arguments: list[str] | None = None) -> int:
    """Run the node until a signal."""
    return run_node(QuestBridge, arguments)


if __name__ == "__main__":
    raise SystemExit(main())
