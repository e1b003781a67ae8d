# SPDX-License-Identifier: Apache-2.0
"""``episode_recorder``: records topics into one bag an episode, and knows what is missing in each.

``recorder/record`` begins and ends episodes, ``recorder/finished`` tells how each ended, ``recorder/status``
whether one can begin. The messages are never decoded.
"""

from __future__ import annotations

import contextlib
import gc
import operator
import socket
import time
import uuid
from pathlib import Path

from dexndm_msgs.msg import EpisodeRecorded, RecorderStatus
from dexndm_msgs.srv import RecordEpisode
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

from dexndm_ros.nodes._recorder_topics import DEFAULT_TOPICS, Ear, TopicError, parse_topics
from dexndm_ros.nodes._run import NodeFailedError, run_node
from dexndm_ros.recording.definitions import definition
from dexndm_ros.recording.episode import EpisodeError, EpisodeResult
from dexndm_ros.recording.recorder import Recorder
from dexndm_ros.recording.recorder_types import RecorderConfig
from dexndm_ros.recording.software import software

__all__ = ["FINISHED_QOS", "PARAMETERS", "EpisodeRecorder", "main"]

_TAKE_S = 0.02
_REPORT_S = 0.2
_REPORTS_PER_LOOK = 5
_LATE_S = 0.25
"""END waits so long for messages that were counted and are still on their way."""
_CLOSE_S = 6.0
_BEHIND_S = 1.0
_DEPTH = 2000

PARAMETERS = (
    ("directory", "", "folder of the bags; made if missing"),
    ("topics", list(DEFAULT_TOPICS), "each NAME TYPE and then any of required, optional, latched"),
    ("depth", _DEPTH, "messages of a topic that may wait in the middleware"),
    ("queue_messages", 100_000, "messages that may wait for the disk"),
    ("queue_mb", 128.0, "megabytes that may wait for it"),
    ("flush_s", 0.5, "a kill or a power cut costs at most so much, s"),
    ("min_free_gb", 1.0, "no episode begins with less free space"),
)

FINISHED_QOS = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=100,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
"""Of ``recorder/finished``: the newest hundred wait for late subscribers."""


class EpisodeRecorder(Node):
    """Takes the messages of its topics, 50 times a second, and hands them to a :class:`Recorder`."""

    def __init__(self) -> None:
        super().__init__("episode_recorder")
        for name, default, text in PARAMETERS:
            self.declare_parameter(name, default, ParameterDescriptor(description=text))
        self._session = uuid.uuid4().hex
        self._recorder: Recorder | None = None
        self._ears: list[Ear] = []
        self._trouble = "starting"
        self._reports = 0

    # --- what run_node asks of a node -----------------------------------------------------------

    def begin(self) -> None:
        """Own the directory, subscribe, offer the service."""
        value = {name: self.get_parameter(name).value for name, _, _ in PARAMETERS}
        if not value["directory"]:
            raise NodeFailedError("parameter directory is empty; give the folder of the bags")
        try:
            config = RecorderConfig(
                directory=Path(value["directory"]).expanduser().resolve(),
                queue_messages=value["queue_messages"],
                queue_bytes=round(value["queue_mb"] * 1e6),
                flush_s=value["flush_s"],
                min_free_bytes=round(value["min_free_gb"] * 1e9),
            )
            if value["depth"] < 1:
                raise TopicError(f"parameter depth is {value['depth']}; it must be above 0")
            specs = parse_topics(value["topics"])
            self._ears = [Ear(self, spec, value["depth"]) for spec in specs]
            for spec in specs:
                definition(spec.type)
            latched = {ear.name for ear in self._ears if ear.spec.latched}
            recorder = Recorder(config, latched, self._on_finished)
            swept = recorder.start()
        except (EpisodeError, ValueError, OSError) as error:
            raise NodeFailedError(str(error)) from error
        self._recorder = recorder
        self._about = {"session": self._session, "host": socket.gethostname(), **software()}
        for path in swept:
            self.get_logger().warning(f"put aside what a dead recorder left: {path}")
        self._join_graph()
        self.get_logger().info(f"bags go to {config.directory}; {len(self._ears)} topics")
        gc.collect()
        gc.freeze()

    def failure(self) -> str:
        """Why the process must end; '' = it need not."""
        return "" if self._recorder is None else self._recorder.failure

    def close(self) -> None:
        """Finish what was ended, put aside what is open."""
        recorder, self._recorder = self._recorder, None
        if recorder is not None and not recorder.close(_CLOSE_S):
            print("episode_recorder: the disk does not answer; its last bag is left as .part")

    def _join_graph(self) -> None:
        self._message = RecorderStatus(session=self._session)
        self._status_publisher = self.create_publisher(RecorderStatus, "recorder/status", 10)
        self._finished_publisher = self.create_publisher(
            EpisodeRecorded, "recorder/finished", FINISHED_QOS
        )
        self._diagnostics_publisher = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.create_service(RecordEpisode, "recorder/record", self._on_request)
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # also where /clock is the node's time
        self.create_timer(_TAKE_S, self._take, clock=steady)
        self.create_timer(_REPORT_S, self._report, clock=steady)

    # --- messages ---------------------------------------------------------------------------------

    def _take(self) -> None:
        """Hand on what came, in the order in which it came."""
        recorder = self._recorder
        if recorder is None:
            return
        batch = []
        for ear in self._ears:
            if taken := ear.take():
                recorder.publishers(ear.name, ear.heard())
                batch += [
                    (info["received_timestamp"], ear.name, data, info) for data, info in taken
                ]
        batch.sort(key=operator.itemgetter(0))
        for log_ns, name, data, info in batch:
            number = info["publication_sequence_number"] or 0
            recorder.add(name, data, log_ns, info["source_timestamp"], number)

    def _look(self, recorder: Recorder) -> None:
        """See who publishes what."""
        for ear in self._ears:
            if ear.look():
                recorder.forget(ear.name)
                self.get_logger().warning(f"{ear.name}: subscribed anew, with what is offered")
        troubles = [trouble for ear in self._ears if (trouble := ear.trouble())]
        self._trouble = "; ".join(troubles)

    # --- requests ---------------------------------------------------------------------------------

    def _on_request(
        self, request: RecordEpisode.Request, response: RecordEpisode.Response
    ) -> RecordEpisode.Response:
        recorder = self._recorder
        try:
            if recorder is None:
                raise EpisodeError("the recorder is being stopped")
            self._take()  # what was published before the request lies before the cut
            if request.action == RecordEpisode.Request.BEGIN:
                self._begin(recorder, request)
            elif request.action == RecordEpisode.Request.END:
                self._end(recorder, request)
            elif request.action == RecordEpisode.Request.DISCARD:
                recorder.discard(request.episode, request.reason)
            else:
                raise EpisodeError(f"action {request.action} is none of BEGIN, END and DISCARD")
        except EpisodeError as error:
            response.message = str(error)
        else:
            response.success = True
        return response

    def _begin(self, recorder: Recorder, request: RecordEpisode.Request) -> None:
        if len(request.keys) != len(request.values):
            raise EpisodeError(f"{len(request.keys)} keys, but {len(request.values)} values")
        data = dict(zip(request.keys, request.values, strict=True))
        if wrong := sorted(data.keys() & self._about.keys()):
            raise EpisodeError(
                f"custom data may not be named {', '.join(wrong)}: the recorder's own"
            )
        self._look(recorder)
        if self._trouble:
            raise EpisodeError(f"not ready: {self._trouble}")
        recorder.begin(request.episode, {**self._about, **data}, [ear.topic for ear in self._ears])

    def _end(self, recorder: Recorder, request: RecordEpisode.Request) -> None:
        if len(request.topics) != len(request.counts):
            raise EpisodeError(f"{len(request.topics)} topics, but {len(request.counts)} counts")
        expected = {
            self.resolve_topic_name(topic): int(count)
            for topic, count in zip(request.topics, request.counts, strict=True)
        }
        deadline_s = time.monotonic() + _LATE_S
        while (
            recorder.state().episode == request.episode
            and any(recorder.received(topic) < count for topic, count in expected.items())
            and time.monotonic() < deadline_s
        ):
            time.sleep(0.002)
            self._take()
        recorder.end(request.episode, expected)

    def _on_finished(self, result: EpisodeResult) -> None:
        """In the writer's thread."""
        message = EpisodeRecorded(
            session=self._session,
            episode=result.episode,
            complete=result.complete,
            reason=result.reason,
            path=result.path,
            messages=result.messages,
            lost=result.lost,
            dropped=result.dropped,
            bytes=result.bytes,
            duration_s=result.duration_s,
        )
        with contextlib.suppress(Exception):  # at the end of the process ROS may be gone
            message.header.stamp = self.get_clock().now().to_msg()
            self._finished_publisher.publish(message)
            if not result.complete:
                self.get_logger().warning(f"{result.episode} put aside: {result.reason}")

    # --- reports ----------------------------------------------------------------------------------

    def _report(self) -> None:
        recorder = self._recorder
        if recorder is None:
            return
        self._reports += 1
        if self._reports % _REPORTS_PER_LOOK == 1:
            self._look(recorder)
        state, message = recorder.state(), self._message
        reason = "; ".join(part for part in (self._trouble, state.reason) if part)
        message.header.stamp = self.get_clock().now().to_msg()
        message.ready = not reason
        message.reason = reason
        message.episode = state.episode
        message.messages, message.lost, message.dropped = state.messages, state.lost, state.dropped
        message.queue, message.behind_s = state.queue, state.behind_s
        message.bytes, message.free_bytes = state.bytes, float(state.free_bytes)
        self._status_publisher.publish(message)
        if self._reports % _REPORTS_PER_LOOK == 1:
            self._diagnose(state.loss_unknown)

    def _diagnose(self, loss_unknown: tuple[str, ...]) -> None:
        message = self._message
        status = DiagnosticStatus(name="episode_recorder", hardware_id="disk")
        status.level, status.message = DiagnosticStatus.OK, message.episode or "idle"
        if not message.ready:
            status.level, status.message = DiagnosticStatus.ERROR, message.reason
        elif message.behind_s > _BEHIND_S:
            text = f"{message.behind_s:.1f} s behind: is the disk slow, or the machine busy?"
            status.level, status.message = DiagnosticStatus.WARN, text
        elif message.dropped:
            text = f"{message.dropped} messages were not written since the start"
            status.level, status.message = DiagnosticStatus.WARN, text
        values = {name: getattr(message, name) for name in
                  ("session", "episode", "messages", "lost", "dropped", "queue", "bytes")}  # fmt: skip
        values["free_gb"] = f"{message.free_bytes / 1e9:.1f}"
        values["loss_unknown"] = " ".join(loss_unknown)
        values |= {f"publishers of {ear.name}": ear.matched for ear in self._ears}
        status.values = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
        array = DiagnosticArray(status=[status])
        array.header.stamp = message.header.stamp
        self._diagnostics_publisher.publish(array)


def main(arguments: list[str] | None = None) -> int:
    """Run the node until a signal."""
    return run_node(EpisodeRecorder, arguments)


if __name__ == "__main__":
    raise SystemExit(main())
