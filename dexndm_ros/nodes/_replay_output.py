# SPDX-License-Identifier: Apache-2.0
"""What ``chaos_box_replay`` publishes: commands and steps from its control thread, status once a second."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dexndm_msgs.msg import HandCommand, ReplayStatus, ReplayStep
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node

from dexndm_ros.nodes._qos import control_publisher
from dexndm_ros.nodes._time import fill_stamp, stamp_ns
from dexndm_ros.policy.clock import Clock, LoopStatistics
from dexndm_ros.replay.jobs import RunTick
from dexndm_ros.replay.ledger import Counts
from dexndm_ros.replay.pace import Pace
from dexndm_ros.replay.views import Decision, State

__all__ = ["ReplayOutput", "Report"]


@dataclass(frozen=True)
class Report:
    """What is told once a second.

    Attributes:
        decision: the supervisor's last.
        waiting: why no trajectory begins, of the run.
        pace: how fast it goes.
        counts: of the ledger; None = not known yet.
        faults: met so far.
        warnings: in words.
        timing: of the control loop.
        scheduling: what the control thread got.
    """

    decision: Decision
    waiting: str
    pace: Pace
    counts: Counts | None
    faults: int
    warnings: list[str]
    timing: LoopStatistics
    scheduling: str


class ReplayOutput:
    """The publishers, and their messages, made once.

    Args:
        node: owns them.
        campaign: its name.
        directory: its folder.
        rate_hz: commands a second.
        clock: for the stamps.
    """

    def __init__(
        self, node: Node, campaign: str, directory: str, rate_hz: float, clock: Clock
    ) -> None:
        self._node = node
        self._clock = clock
        self._command = HandCommand(source=node.get_name())
        self._step = ReplayStep(campaign=campaign)
        self._status = ReplayStatus(campaign=campaign, directory=directory)
        self._seq = 0
        self._stamp_ns = 0
        self._commands = node.create_publisher(
            HandCommand, "hand/command", control_publisher(rate_hz)
        )
        self._steps = node.create_publisher(ReplayStep, "replay/step", 50)
        self._statuses = node.create_publisher(ReplayStatus, "replay/status", 10)
        self._diagnostics = node.create_publisher(DiagnosticArray, "/diagnostics", 10)

    def send(self, out: RunTick) -> None:
        """Publish a tick's target, and the step if it is one; called in the control thread."""
        if out.target is None:
            return
        # A clock that is set back, or a simulated one that stood still, must not put steps out of order.
        follows = out.step is not None and out.step > 0
        earliest_ns = self._stamp_ns + 1 if follows else 0
        self._stamp_ns = now_ns = max(stamp_ns(self._clock), earliest_ns)
        command = self._command
        self._seq += 1
        fill_stamp(command.header.stamp, now_ns)
        command.seq = self._seq
        command.position = out.target
        self._commands.publish(command)
        if out.step is None or out.loaded is None:
            return
        message, loaded, claim = self._step, out.loaded, out.loaded.claim
        fill_stamp(message.header.stamp, now_ns)
        message.trajectory, message.step = claim.trajectory, out.step
        message.entry, message.attempt, message.seed = claim.entry, claim.attempt, claim.seed
        message.clean_target = loaded.clean_rad[out.step]
        message.noise = loaded.noise_rad[out.step]
        message.target = out.target
        message.command_seq = self._seq
        self._steps.publish(message)

    def others(self) -> str:
        """Who else commands this hand, as a reason not to; '' = nobody."""
        infos: list[Any] = self._node.get_publishers_info_by_topic(self._commands.topic_name)
        names = sorted({info.node_name for info in infos} - {self._node.get_name()})
        return f"{', '.join(names)} commands this hand too: stop it first" if names else ""

    def report(self, report: Report) -> None:
        """Publish status and diagnostics."""
        status, step, counts = self._status, self._step, report.counts
        fill_stamp(status.header.stamp, stamp_ns(self._clock))
        status.state = int(report.decision.state)
        status.reason = report.decision.reason or report.waiting
        if counts is not None:
            status.done, status.rejected, status.total = counts.done, counts.rejected, counts.total
            status.eta_s = report.pace.eta_s(counts.total - counts.done - counts.rejected)
        status.trajectory, status.step = step.trajectory, step.step
        status.entry, status.attempt = step.entry, step.attempt
        status.duty_cycle = report.pace.duty_cycle
        status.faults = report.faults
        status.warnings = report.warnings
        self._statuses.publish(status)
        array = DiagnosticArray(status=[_diagnostic(report, status)])
        array.header.stamp = status.header.stamp
        self._diagnostics.publish(array)


def _diagnostic(report: Report, status: ReplayStatus) -> DiagnosticStatus:
    decision, timing = report.decision, report.timing
    level = DiagnosticStatus.OK
    if decision.state is State.FAULT:
        level = DiagnosticStatus.ERROR
    elif decision.state in (State.PAUSED, State.COOLING) or report.warnings:
        level = DiagnosticStatus.WARN
    values = {
        "state": decision.state.name,
        "done": f"{status.done} of {status.total}",
        "rejected": str(status.rejected),
        "faults": str(status.faults),
        "duty cycle": f"{report.pace.duty_cycle:.4f}",
        "period error p99": f"{timing.period_error_ms_p99:.3f} ms",
        "lateness p99": f"{timing.lateness_ms_p99:.3f} ms",
        "missed ticks": str(timing.missed),
        "scheduling": report.scheduling,
    }
    return DiagnosticStatus(
        name="chaos_box_replay: campaign",
        hardware_id=status.directory,
        level=level,
        message=status.reason or "; ".join(report.warnings) or decision.state.name.lower(),
        values=[KeyValue(key=key, value=value) for key, value in values.items()],
    )
