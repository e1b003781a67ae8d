# SPDX-License-Identifier: Apache-2.0
"""The episode recorder under a campaign's messages, at the real rate and at a multiple of it.

Hand states, joint states, commands and steps come at their rates without a pause; episodes of 400 steps follow
each other as in a campaign. A message lost anywhere shows as a gap in its publisher's numbers, a lost step also
as a bag that has not its 400.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from dexndm_msgs.msg import EpisodeRecorded, HandCommand, HandState, RecorderStatus, ReplayStep
from dexndm_msgs.srv import RecordEpisode
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.serialization import serialize_message
from sensor_msgs.msg import JointState

from bench.live_system import cpu_s
from bench.result import Check, Options, Result
from dexndm_ros.hand.joints import JOINT_NAMES
from dexndm_ros.nodes._qos import control_publisher
from dexndm_ros.nodes.episode_recorder import FINISHED_QOS
from dexndm_ros.process_spec import ProcessSpec
from dexndm_ros.processes import Processes

STEPS = 400
_TICK_S = 0.01
_REAL = 12_000  # a minute of messages at the real rate
_LIMIT_S = 60.0


class _Campaign:
    """Publishes what a campaign publishes, and asks for an episode every 400 steps."""

    def __init__(self, node: Node, messages: dict[str, list[bytes]]) -> None:
        self._bytes = messages
        command = control_publisher(20.0, depth=50)
        self._publishers = {
            "state": node.create_publisher(HandState, "hand/state", control_publisher(100.0)),
            "joints": node.create_publisher(JointState, "joint_states", 10),
            "command": node.create_publisher(HandCommand, "hand/command", command),
            "step": node.create_publisher(ReplayStep, "replay/step", 50),
        }
        self._record = node.create_client(RecordEpisode, "recorder/record")
        self.status: RecorderStatus | None = None
        self.behind_s = 0.0
        self.endings: list[EpisodeRecorded] = []
        node.create_subscription(RecorderStatus, "recorder/status", self._on_status, 10)
        node.create_subscription(
            EpisodeRecorded, "recorder/finished", self._on_ending, FINISHED_QOS
        )
        self.sent = 0
        self.asked = 0
        self._step = STEPS
        self._answer: Any = None
        self._next = RecordEpisode.Request.BEGIN

    def _on_status(self, message: RecorderStatus) -> None:
        self.status = message
        self.behind_s = max(self.behind_s, message.behind_s)

    def _on_ending(self, message: EpisodeRecorded) -> None:
        self.endings.append(message)
        if message.complete:
            shutil.rmtree(message.path)

    @property
    def between(self) -> bool:
        """No episode is open and none is being opened."""
        begins = self._next == RecordEpisode.Request.BEGIN
        return begins and self._answer is None

    def tick(self, number: int, last: bool) -> None:
        """What is due in this hundredth of a second; ``last``: no more episodes begin."""
        self._send("state", number)
        if number % 2 == 0:
            self._send("joints", number)
        if number % 5 == 0:
            self._send("command", number)
            if self._step < STEPS:
                self._send("step", self._step)
                self._step += 1
            elif not (last and self.between):
                self._ask()

    def _send(self, name: str, number: int) -> None:
        pool = self._bytes[name]
        self._publishers[name].publish(pool[number % len(pool)])
        self.sent += 1

    def _ask(self) -> None:
        if self._answer is None:
            request = RecordEpisode.Request(action=self._next, episode=f"e{self.asked:06d}_a1")
            if self._next == RecordEpisode.Request.END:
                request.topics, request.counts = ["replay/step"], [STEPS]
            self._answer = self._record.call_async(request)
        elif self._answer.done():
            answer, self._answer = self._answer.result(), None
            if not answer.success:
                raise RuntimeError(f"the recorder refused: {answer.message}")
            if self._next == RecordEpisode.Request.BEGIN:
                self._step, self._next = 0, RecordEpisode.Request.END
            else:
                self.asked += 1
                self._next = RecordEpisode.Request.BEGIN


def run(options: Options) -> Result:
    """Measure at the real rate for a minute, then at the multiple."""
    rows, checks, numbers = [], [], {}
    pool = _messages(options.seed)
    for factor, count in ((1.0, min(_REAL, options.messages)), (options.factor, options.messages)):
        row, failed = _measure(factor, count, pool)
        rows.append([f"{factor:g} x the real rate", *row])
        numbers[f"{factor:g}"] = row[0]
        checks.append(Check(f"{factor:g} x: messages lost or dropped", row[3], 0.0))
        checks.append(Check(f"{factor:g} x: bags not complete", failed, 0.0))
    return Result(
        "Episode recorder",
        [
            "rate",
            "messages",
            "messages a second",
            "episodes",
            "lost or dropped",
            "% of a core",
            "most behind, ms",
            "kB a trajectory",
        ],
        rows,
        checks,
        [
            "100 hand/state, 50 joint_states, 20 hand/command and 20 replay/step a second, times the factor; "
            "400 steps a bag; every bag read again before it gets its name",
            "CPU: user and system time of the recorder's process, all threads",
            "published by one more process on the same machine",
        ],
        {"messages": numbers, "factor": options.factor, "seed": options.seed},
    )


def _measure(factor: float, count: int, pool: dict[str, list[bytes]]) -> tuple[list[Any], int]:
    context = Context()
    rclpy.init(context=context)
    node = Node("bench_campaign", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    campaign = _Campaign(node, pool)
    ending = threading.Event()

    def spin() -> None:
        try:
            while not ending.is_set():
                executor.spin_once(timeout_sec=0.1)
        except ExternalShutdownException:
            pass

    thread = threading.Thread(target=spin, name="executor", daemon=True)
    thread.start()
    folder = Path(tempfile.mkdtemp(prefix="dexndm-bench-"))
    parameters = {"directory": str(folder / "bags"), "min_free_gb": 0.0}
    spec = ProcessSpec(
        "episode_recorder", "dexndm_ros.nodes.episode_recorder", "episode_recorder", parameters
    )
    try:
        with Processes([spec], folder / "logs") as processes:
            _until(lambda: campaign.status is not None and campaign.status.ready, "the recorder")
            pid = processes.pids["episode_recorder"]
            began, used = time.monotonic(), cpu_s(pid)
            _publish(campaign, factor, count)
            span_s = time.monotonic() - began
            cpu = (cpu_s(pid) - used) / span_s
            _until(lambda: len(campaign.endings) == campaign.asked, "the last bags")
            time.sleep(1.0)  # five more reports: the counts are of after the end
            status = campaign.status
    finally:
        ending.set()
        thread.join()
        node.destroy_node()
        rclpy.shutdown(context=context)
        shutil.rmtree(folder)
    failed = sum(not each.complete for each in campaign.endings)
    lost = float(status.lost + status.dropped)
    size = float(np.mean([each.bytes for each in campaign.endings])) / 1e3
    episodes = len(campaign.endings)
    behind_ms = 1e3 * campaign.behind_s
    return [
        campaign.sent,
        campaign.sent / span_s,
        episodes,
        lost,
        100 * cpu,
        behind_ms,
        size,
    ], failed


def _publish(campaign: _Campaign, factor: float, count: int) -> None:
    """At absolute times, catching up after a delay: the numbers sent must be what was asked for."""
    begin, number = time.monotonic(), 0
    while campaign.sent < count or not campaign.between:
        wait_s = begin + number * _TICK_S / factor - time.monotonic()
        if wait_s > 0:
            time.sleep(wait_s)
        campaign.tick(number, last=campaign.sent >= count)
        number += 1


def _until(condition: Any, what: str) -> None:
    deadline = time.monotonic() + _LIMIT_S
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {_LIMIT_S:.0f} s for {what}")
        time.sleep(0.02)


def _messages(seed: int) -> dict[str, list[bytes]]:
    """400 of each kind: joints that move, measured in counts of the encoder, with some noise."""
    random = np.random.default_rng(seed)
    clean = np.cumsum(random.normal(0.0, 0.02, (STEPS, 16)), axis=0)
    noise = random.normal(0.0, 0.01, (STEPS, 16)) * (random.random((STEPS, 1)) < 0.5)
    target = clean + noise
    count = 2.0 * np.pi / 4096
    position = np.round((target + random.normal(0.0, 0.005, target.shape)) / count) * count
    velocity = np.round(random.normal(0.0, 10.0, target.shape)) * 0.024
    current = np.round(random.normal(0.0, 60.0, target.shape)) * 1e-3
    made: dict[str, list[Any]] = {"state": [], "joints": [], "command": [], "step": []}
    for k in range(STEPS):
        state = HandState(seq=k, position=position[k], velocity=velocity[k], current=current[k],
                          command=target[k], command_seq=k, command_source="chaos_box_replay", mode=2)  # fmt: skip
        state.header.frame_id = "palm"
        joints = JointState(name=list(JOINT_NAMES), position=position[k].tolist(),
                            velocity=velocity[k].tolist(), effort=current[k].tolist())  # fmt: skip
        command = HandCommand(seq=k, position=target[k].tolist(), source="chaos_box_replay")
        step = ReplayStep(campaign="bench", step=k, attempt=1, seed=k, clean_target=clean[k],
                          noise=noise[k], target=target[k], command_seq=k)  # fmt: skip
        for name, message in zip(made, (state, joints, command, step), strict=True):
            stamp = message.header.stamp
            stamp.sec, stamp.nanosec = 1_795_000_000 + k, int(random.integers(10**9))
            made[name].append(message)
    return {name: [serialize_message(each) for each in all_] for name, all_ in made.items()}
