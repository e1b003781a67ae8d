# SPDX-License-Identifier: Apache-2.0
"""``leap_hand_driver``: the hand on its bus, for ROS.

The bus thread reads, guards, writes and publishes; the executor's thread takes commands, answers
services, and tells health, diagnostics and the log once in a while.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from dexndm_msgs.msg import HandCommand, HandHealth
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.clock import Clock, ClockType
from std_msgs.msg import String
from std_srvs.srv import Trigger

from dexndm_ros.hand.bus import DynamixelBus
from dexndm_ros.hand.driver_core import DriverCore
from dexndm_ros.hand.driver_types import DriverReport
from dexndm_ros.hand.errors import HandBusError, HandError, MotorHardwareError
from dexndm_ros.hand.guard import Mode
from dexndm_ros.hand.startup import bring_up
from dexndm_ros.hand.urdf import build_urdf
from dexndm_ros.nodes._command_watch import CommandWatch
from dexndm_ros.nodes._driver_diagnostics import LoopView, fill_health, statuses
from dexndm_ros.nodes._driver_output import StateOutput
from dexndm_ros.nodes._driver_settings import (
    declare_parameters,
    read_settings,
    report_period_s,
)
from dexndm_ros.nodes._lifecycle import SteadyLifecycleNode
from dexndm_ros.nodes._qos import LATCHED, control_subscriber
from dexndm_ros.nodes._run import run_node
from dexndm_ros.nodes._time import fill_stamp, node_clock, stamp_ns
from dexndm_ros.policy.clock import DeadlineLoop, LoopConfig, Tick

__all__ = ["LeapHandDriver", "main"]

_LOOKS_PER_REPORT = 5
_SERVICE_LIMIT_S = 20.0


class LeapHandDriver(SteadyLifecycleNode):
    """Configured: the port is open and the motors are set up. Active: the bus thread runs."""

    EXPECTED = (HandError, ValueError)

    def __init__(self) -> None:
        super().__init__("leap_hand_driver")
        declare_parameters(self)
        self._time = node_clock(self)
        self._bus: DynamixelBus | None = None
        self._core: DriverCore | None = None
        self._loop: DeadlineLoop | None = None
        self._output: StateOutput | None = None
        self._fault = ""
        self._left_on = ""
        self._looks = 0
        self._said: tuple[Mode, str] = (Mode.RELAXED, "")
        self._last_report: DriverReport | None = None
        self._late_states = 0
        self._diagnostics_publisher = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._health_publisher = self.create_publisher(HandHealth, "hand/health", 10)
        self._health = HandHealth()
        self._make_inputs()
        if self.get_parameter("robot_description").value:
            self._description_publisher = self.create_publisher(
                String, "robot_description", LATCHED
            )
            self._description_publisher.publish(String(data=build_urdf()))
        # Health is told in real time, also when the simulated one has stopped.
        self.create_timer(
            report_period_s(self) / _LOOKS_PER_REPORT,
            self._look,
            clock=Clock(clock_type=ClockType.STEADY_TIME),
        )

    def _make_inputs(self) -> None:
        self.create_subscription(
            HandCommand, "hand/command", self._on_command, control_subscriber()
        )
        self._watch = CommandWatch(self, HandCommand, "hand/command", self._on_publisher_death)
        for kind in ("enable", "relax", "recover"):
            self.create_service(Trigger, f"hand/{kind}", self._service(kind))

    # --- lifecycle ----------------------------------------------------------------------------

    def configure(self) -> None:
        """Open the port and set the motors up, torque off."""
        self._settings = settings = read_settings(self)
        self._output = StateOutput(
            self, settings.rate_hz, settings.joint_states_every, self._on_state_late, self._time
        )
        self._bus = bus = DynamixelBus(settings.bus)
        bus.open()
        self._fault = ""
        self._startup_warnings: tuple[str, ...] = ()
        try:
            report = bring_up(bus, settings.profile)
        except MotorHardwareError as error:
            # A restart of the motor mends this, and hand/recover of an active driver does that.
            self._fault = str(error)
            self.get_logger().error(self._fault)
            return
        self._startup_warnings = report.warnings
        for text in report.warnings:
            self.get_logger().warning(text)
        firmware = sorted({version for _, version in report.motors.values()})
        self.get_logger().info(
            f"{len(report.motors)} motors on {settings.bus.port}, firmware {firmware}, "
            f"profile {settings.profile.name} ({settings.profile.current_limit_ma} mA), "
            f"{len(report.changed)} registers set"
        )

    def activate(self) -> None:
        """Start the bus thread; torque on, if that is asked for."""
        settings, bus, output = self._settings, self._bus, self._output
        assert bus is not None and output is not None
        if not bus.is_open:
            raise HandBusError("the port was lost: clean up and configure again")
        self._late_states = 0
        self._last_report = None
        self._core = DriverCore(bus, settings.profile, settings.core, output.publish, self._fault)
        self._loop = DeadlineLoop(
            LoopConfig(rate_hz=settings.rate_hz, name="bus", realtime=settings.realtime),
            self._tick,
            on_exit=self._on_loop_exit,
        )
        self._period_ns = self._loop.config.period_ns
        self._loop.start()
        if settings.enable_on_activate and not self._fault:
            done, text = self._ask("enable")
            if not done:
                raise HandError(text)
            self.get_logger().info(text)

    def deactivate(self) -> None:
        """Stop the bus thread, torque off."""
        loop, self._loop = self._loop, None
        if loop is None or self._core is None:
            return
        ended = loop.stop()
        # The bus thread switches off itself; if it is stuck, this thread tries.
        left_on = self._left_on if ended else self._core.shut_down()
        if left_on:
            self.warn(f"at the end: {left_on}")
        if self._bus is not None and not self._bus.is_open:
            self._fault = ""

    def cleanup(self) -> None:
        """Close the port."""
        if self._bus is not None:
            self._bus.close()
        self._bus = self._core = None
        output, self._output = self._output, None
        if output is not None:
            output.destroy()

    # --- what run_node asks of a node -----------------------------------------------------------

    def begin(self) -> None:
        """Configure and activate, unless a lifecycle manager is to do it."""
        if self.get_parameter("autostart").value:
            self._wait_for_hand()
            self.start_up()

    def failure(self) -> str:
        """Why the process must end: the bus thread did."""
        error = self._loop.error if self._loop is not None else None
        return f"the bus thread ended: {error!r}; the torque is off" if error is not None else ""

    def _wait_for_hand(self) -> None:
        """Until a motor answers or the patience is over; what is wrong, ``configure`` will say."""
        deadline_s = time.monotonic() + self.get_parameter("port_wait_s").value
        port = self.get_parameter("port").value
        while time.monotonic() < deadline_s and self.context.ok():
            if Path(port).exists():
                try:
                    with DynamixelBus(read_settings(self).bus) as bus:
                        bus.ping(bus.config.motor_ids[0])
                    return
                except HandError:
                    pass
                except ValueError:
                    return
            time.sleep(0.1)

    # --- the bus thread -----------------------------------------------------------------------

    def _tick(self, tick: Tick) -> None:
        assert self._core is not None
        self._core.cycle(tick.deadline_ns + self._period_ns)

    def _on_loop_exit(self, error: BaseException | None) -> None:
        if self._core is not None:
            self._left_on = self._core.shut_down()

    # --- the executor's thread: commands and services -------------------------------------------

    def _on_command(self, message: HandCommand) -> None:
        core = self._core
        if core is not None:
            core.offer(message.position, message.seq, message.source)

    def _service(self, kind: str) -> Any:
        def answer(_: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            response.success, response.message = self._ask(kind)
            return response

        return answer

    def _ask(self, kind: str) -> tuple[bool, str]:
        """Have the bus thread do something, and wait for it."""
        core, loop = self._core, self._loop
        if core is None or loop is None or not loop.running:
            return False, (
                "the driver is not active: `ros2 lifecycle set leap_hand_driver configure`, "
                "then `activate`"
            )
        request = core.request(kind)
        deadline_s = time.monotonic() + _SERVICE_LIMIT_S
        while not request.wait(0.1):
            if not loop.running or time.monotonic() > deadline_s:
                return False, f"{kind}: no answer from the bus thread; see the log"
        return request.ok, request.text

    # --- middleware events ------------------------------------------------------------------------

    def _on_publisher_death(self) -> None:
        if self.active:
            self.get_logger().warning("the publisher of hand/command has gone; the hand holds")

    def _on_state_late(self, event: Any) -> None:
        if self.active:
            self._late_states += event.total_count_change

    # --- health, diagnostics, log -----------------------------------------------------------------

    def _look(self) -> None:
        """Log what changed; every fifth time tell how the hand is."""
        core, loop = self._core, self._loop
        if core is not None and loop is not None:
            self._log_change(core.output.mode, core.output.reason)
        self._watch.look()
        self._looks += 1
        if self._looks % _LOOKS_PER_REPORT:
            return
        message = DiagnosticArray()
        fill_stamp(message.header.stamp, stamp_ns(self._time))
        if core is None or loop is None:
            message.status = [self._inactive_status()]
        else:
            message.status = self._report(core, loop)
        for status in message.status:
            status.name = f"{self.get_name()}: {status.name}"
            status.hardware_id = self.get_parameter("port").value
        self._diagnostics_publisher.publish(message)

    def _log_change(self, mode: Mode, reason: str) -> None:
        if (mode, reason) == self._said:
            return
        log = self.get_logger()
        if mode is Mode.FAULT:
            log.error(f"FAULT: {reason}")
        elif reason and self._said[0] is not Mode.RELAXED:
            log.warning(f"{mode.name}: {reason}")
        else:
            log.info(mode.name)
        self._said = (mode, reason)

    def _report(self, core: DriverCore, loop: DeadlineLoop) -> list[DiagnosticStatus]:
        report, timing = core.report(), loop.statistics()
        polled_ns = stamp_ns(self._time, report.polled_ns) if report.polled_ns else 0
        fill_health(self._health, report, timing.missed, polled_ns)
        self._health_publisher.publish(self._health)
        view = LoopView(
            rate_hz=self._settings.rate_hz,
            missed=timing.missed,
            lateness_ms_p99=timing.lateness_ms_p99,
            scheduling=str(loop.realtime or "default scheduling"),
            degraded=loop.realtime is not None and loop.realtime.degraded,
            warnings=self._startup_warnings,
            late_states=self._late_states,
            guard=self._settings.core.guard,
        )
        limits = self._settings.core.limits
        found = statuses(report, self._last_report, view, self._watch, limits)
        self._last_report = report
        return found

    def _inactive_status(self) -> DiagnosticStatus:
        state = self._state_machine.current_state[1]
        if self.last_error:
            return DiagnosticStatus(
                name="driver", level=DiagnosticStatus.ERROR, message=self.last_error
            )
        return DiagnosticStatus(name="driver", level=DiagnosticStatus.OK, message=state)


def main(arguments: list[str] | None = None) -> int:
    """Run the driver until a signal."""
    return run_node(LeapHandDriver, arguments)


if __name__ == "__main__":
    raise SystemExit(main())
