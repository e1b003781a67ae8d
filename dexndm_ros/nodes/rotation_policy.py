# SPDX-License-Identifier: Apache-2.0
"""``rotation_policy``: a policy file turns hand states into hand commands, 20 times a second.

After activation the hand opens, waits for the object, closes to the policy's default pose, and the
policy runs; ``policy/restart`` does this again. Ticks in which the policy did not run have a zero
axis in ``policy/step``; where nothing was sent, the target there is NaN.
"""

from __future__ import annotations

import threading
import time
from collections import deque

import numpy as np
from dexndm_msgs.msg import HandCommand, HandState, PolicyStep, RotationCommand
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import QuaternionStamped
from numpy.typing import NDArray
from std_srvs.srv import Trigger

from dexndm_ros.hand.joints import JOINT_NAMES, LOWER_RAD, UPPER_RAD
from dexndm_ros.nodes._lifecycle import SteadyLifecycleNode
from dexndm_ros.nodes._polled import NewestOf
from dexndm_ros.nodes._qos import LATCHED, control_publisher, control_subscriber
from dexndm_ros.nodes._rotation_policy_io import (
    PARAMETERS,
    Settings,
    diagnostics,
    fill_step,
    read_settings,
    rival_operators,
)
from dexndm_ros.nodes._run import run_node
from dexndm_ros.policy.asked_axis import AskedAxis
from dexndm_ros.policy.clock import DeadlineLoop, LoopConfig, Tick, alignment_ns
from dexndm_ros.policy.controller import Policy, PolicyLoader, PolicyStepError, load_policy
from dexndm_ros.policy.observation import canonical_quaternion
from dexndm_ros.policy.session import HandSample, Phase, RotationSession, SessionTick
from dexndm_ros.policy.spec import Seat, refusal
from dexndm_ros.policy.told_wrist import ToldWrist
from dexndm_ros.policy.trained_wrist import wrist_as_trained
from dexndm_ros.policy.wrist import AxisError, WristError, check_axis, check_wrist

__all__ = ["RotationPolicyNode", "main"]

_DRY_RUNS = 50
_REPORT_PERIOD_S = 0.2
_REPORTS_PER_DIAGNOSTIC = 5
_LATE_NS = 3_000_000
"""Ticks that follow states find one younger than this; if not, the one due is late."""
_PATIENCE_S = 0.003
"""How long a tick waits for it; a tick without it would act on a state a whole driver cycle older."""

Vector = NDArray[np.float64]


class RotationPolicyNode(SteadyLifecycleNode):
    """Wires a ``RotationSession`` to the graph; its loop is a thread of its own.

    Args:
        load: how a policy file becomes a policy; another kind of policy brings its own.
    """

    EXPECTED = (ValueError, PolicyStepError)

    def __init__(self, load: PolicyLoader = load_policy) -> None:
        super().__init__("rotation_policy")
        for name, value, descriptor in PARAMETERS:
            self.declare_parameter(name, value, descriptor)
        self._load = load
        self._wired = False
        self._events: deque[tuple[bool, str]] = deque(maxlen=50)
        self._loop: DeadlineLoop | None = None
        self._reports = 0
        self._rivals = ""
        self._restart = False
        self._sample: HandSample | None = None
        self._arrival = threading.Event()
        self._aligned = False
        self._last = SessionTick(None, None, True, Phase.WAITING)

    # --- lifecycle ------------------------------------------------------------------------------

    def configure(self) -> None:
        """Read the parameters and open the policy; a file that does not fit is refused."""
        settings = read_settings(self)
        self._policy = self._open_policy(settings)
        self._settings = settings
        self._asked = AskedAxis(settings.axis, settings.lease_s)
        self._wrist = ToldWrist(self._as_trained(settings.wrist))
        self._command = HandCommand(source=self.get_name())
        self._step = PolicyStep()
        self._step.header.frame_id = "palm"
        self._wire(settings.session.rate_hz)
        trained = self._policy.spec.trained_on or "?"
        self.get_logger().info(f"policy {settings.policy} fits this hand; trained on: {trained}")
        if self._policy.refused:
            self.get_logger().warning(refusal(self._policy.refused))

    def _open_policy(self, settings: Settings) -> Policy:
        seat = Seat(JOINT_NAMES, LOWER_RAD.tolist(), UPPER_RAD.tolist(), settings.session.rate_hz)
        policy = self._load(settings.policy, seat, settings.residual)
        # The first runs of a network allocate; they belong before the first deadline.
        pose = np.array(policy.spec.default_pose_rad)
        policy.reset(pose, pose)
        for _ in range(_DRY_RUNS):
            policy.step(pose, settings.wrist, np.array([0.0, 0.0, 1.0]))
        return policy

    def _wire(self, rate_hz: float) -> None:
        self._command_publisher = self.create_lifecycle_publisher(
            HandCommand, "hand/command", control_publisher(rate_hz)
        )
        self._step_publisher = self.create_lifecycle_publisher(PolicyStep, "policy/step", 10)
        self._diagnostics_publisher = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        newest = control_subscriber()
        self._inputs = [
            self.create_subscription(HandState, "hand/state", self._on_state, newest),
            # Said once and to be heard: reliable.
            self.create_subscription(RotationCommand, "rotation/command", self._on_rotation, 1),
            self.create_subscription(
                QuaternionStamped, "wrist/orientation", self._on_latched_wrist, LATCHED
            ),
        ]
        # An arm sends the wrist as a stream, a fixed stand once and latched: a subscription
        # that asks for latched messages never hears the stream, another misses the latched.
        self._wrist_stream = NewestOf(self, QuaternionStamped, "wrist/orientation")
        self._restart_service = self.create_service(Trigger, "policy/restart", self._on_restart)
        self._report_timer = self.create_timer(_REPORT_PERIOD_S, self._report)
        self._wired = True

    def activate(self) -> None:
        """Start the control thread; the hand moves once it is enabled and its state is fresh."""
        # Anew: a target of an earlier activation says nothing about the hand of now.
        self._session = RotationSession(self._policy, self._settings.session)
        self._restart = False
        self._ages_ns: list[int] = []
        self._aligned = False
        config = LoopConfig(
            rate_hz=self._settings.session.rate_hz,
            name="rotation_policy",
            realtime=self._settings.realtime,
        )
        self._loop = DeadlineLoop(config, self._tick, on_exit=self._on_loop_exit)
        self._loop.start()

    def deactivate(self) -> None:
        """Stop commanding; the driver's guard then holds the measured pose."""
        if self._loop is not None:
            self._loop.stop()

    def cleanup(self) -> None:
        """Leave the graph."""
        self._sample = None
        if not self._wired:
            return
        self._wired = False
        for publisher in (self._command_publisher, self._step_publisher):
            self.destroy_lifecycle_publisher(publisher)
        self.destroy_publisher(self._diagnostics_publisher)
        for subscription in self._inputs:
            self.destroy_subscription(subscription)
        self._wrist_stream.leave()
        self.destroy_service(self._restart_service)
        self.destroy_timer(self._report_timer)

    # --- what run_node asks of a node -----------------------------------------------------------

    def begin(self) -> None:
        """Configure and activate, unless a lifecycle manager is to do it."""
        if self.get_parameter("autostart").value:
            self.start_up()

    def failure(self) -> str:
        """Why the process must end; empty while it need not."""
        error = self._loop.error if self._loop is not None else None
        return f"the control loop ended: {error!r}" if error is not None else ""

    # --- callbacks: they only store ---------------------------------------------------------------

    def _on_state(self, message: HandState) -> None:
        stamp = message.header.stamp
        self._sample = HandSample(
            seq=message.seq,
            position=np.array(message.position, dtype=np.float64),
            mode=message.mode,
            received_ns=time.monotonic_ns(),
            stamp_ns=stamp.sec * 1_000_000_000 + stamp.nanosec,
        )
        self._arrival.set()

    def _on_rotation(self, message: RotationCommand) -> None:
        now_ns, axis = time.monotonic_ns(), message.axis
        try:
            self._asked.told(check_axis([axis.x, axis.y, axis.z]), now_ns)
        except AxisError as error:
            self._asked.refused(f"rotation/command refused: {error}", now_ns)

    def _on_latched_wrist(self, message: QuaternionStamped) -> None:
        self._hear_wrist(message, latched=True)

    def _hear_wrist(self, message: QuaternionStamped, *, latched: bool) -> None:
        q = message.quaternion
        try:
            wrist = self._as_trained(check_wrist([q.x, q.y, q.z, q.w]))
            self._wrist.told(wrist, time.monotonic_ns(), latched=latched)
        except WristError as error:
            self._wrist.refused(f"wrist/orientation refused: {error}")

    def _as_trained(self, wrist: Vector) -> Vector:
        """What the policy is told of it."""
        return wrist_as_trained(wrist, self._policy.spec.wrists)

    def _on_restart(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success = self._loop is not None and self._loop.running
        if response.success:
            self._restart = True
            response.message = "the hand opens, closes and rotates again"
        else:
            response.message = "rotation_policy is not active: activate it first"
        return response

    # --- the control thread -------------------------------------------------------------------

    def _tick(self, tick: Tick) -> None:
        began = self.get_clock().now().nanoseconds
        if self._restart:
            self._restart = False
            self._session.restart()
        sample = self._newest()
        if self._wrist_stream.fetch() and self._wrist_stream.message is not None:
            self._hear_wrist(self._wrist_stream.message, latched=False)
        axis, axis_refusal = self._asked.at(time.monotonic_ns())
        wrist, wrist_refusal = self._wrist.at(time.monotonic_ns())
        result = self._session.tick(
            tick.start_ns, sample, wrist, axis, axis_refusal or wrist_refusal
        )
        inference_ms = (time.monotonic_ns() - tick.start_ns) / 1e6
        stamp = self.get_clock().now().to_msg()
        if result.command is not None:
            self._command.header.stamp = stamp
            self._command.seq = tick.number
            self._command.position = result.command
            self._command_publisher.publish(self._command)
        fill_step(self._step, result, axis, canonical_quaternion(wrist))
        self._step.header.stamp = stamp
        self._step.seq = tick.number
        self._step.observation_seq = 0 if sample is None else sample.seq
        age_ms = float("nan") if sample is None else (began - sample.stamp_ns) / 1e6
        self._step.observation_age_ms = age_ms
        self._step.inference_ms = inference_ms
        self._step.missed_ticks = tick.missed
        self._step_publisher.publish(self._step)
        self._note(result)
        self._align(tick, sample, result)
        self._last = result

    def _newest(self) -> HandSample | None:
        """The newest state; where ticks follow states and the one due is a little late, that one."""
        sample = self._sample
        if sample is None or not self._aligned:
            return sample
        if time.monotonic_ns() - sample.received_ns > _LATE_NS:
            self._arrival.clear()
            if self._sample is sample:
                self._arrival.wait(_PATIENCE_S)
        return self._sample

    def _note(self, result: SessionTick) -> None:
        """Queue what changed for the log; the loop itself writes nothing."""
        if result.reason != self._last.reason and result.reason:
            self._events.append((True, f"no motion: {result.reason}"))
        elif result.phase is not self._last.phase or (self._last.reason and not result.reason):
            self._events.append((False, result.phase.value))

    def _align(self, tick: Tick, sample: HandSample | None, result: SessionTick) -> None:
        """Once in each start, move the deadlines to just after the arrival of a state."""
        if result.phase is Phase.SETTLING and sample is not None and not result.stopped:
            self._ages_ns.append(tick.start_ns - sample.received_ns)
        elif self._ages_ns and self._loop is not None:
            if result.phase is Phase.RUNNING and self._settings.align_to_state:
                self._loop.shift(alignment_ns(self._ages_ns))
                self._aligned = True
            self._ages_ns.clear()

    def _on_loop_exit(self, error: BaseException | None) -> None:
        if error is not None:
            self._events.append((True, f"the control loop ended: {error!r}"))

    # --- the executor's thread: log and diagnostics ---------------------------------------------

    def _report(self) -> None:
        while self._events:
            serious, text = self._events.popleft()
            if serious:  # rclpy allows one severity for each line of code that logs
                self.get_logger().warning(text)
            else:
                self.get_logger().info(text)
        self._reports += 1
        if self._reports % _REPORTS_PER_DIAGNOSTIC == 0:
            rivals = rival_operators(self)
            if rivals and rivals != self._rivals:
                self.get_logger().warning(rivals)
            self._rivals = rivals
            message = diagnostics(self._last, self._loop, self._settings, self._policy.refused)
            message.header.stamp = self.get_clock().now().to_msg()
            self._diagnostics_publisher.publish(message)


def main(arguments: list[str] | None = None) -> int:
    """Run the node until a signal."""
    return run_node(RotationPolicyNode, arguments)


if __name__ == "__main__":
    raise SystemExit(main())
