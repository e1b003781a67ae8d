# SPDX-License-Identifier: Apache-2.0
"""A test's own corner of the ROS graph, and real node processes to talk to."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from signal import SIGINT, Signals
from typing import Any

import rclpy
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile

from dexndm_ros.bringup import ProcessSpec
from dexndm_ros.processes import node_environment

PATIENCE_S = 60.0
"""Time-out of every wait: far beyond what a busy machine needs, so that only a real fault meets it."""

ROSOUT = QoSProfile(depth=1000, durability=DurabilityPolicy.TRANSIENT_LOCAL)
"""For ``/rosout``: what was logged before the test was heard of counts too."""

_STOP_S = 15.0
_ASK_AGAIN_S = 10.0


class Inbox:
    """The messages of one topic, in order of arrival."""

    def __init__(self, changed: threading.Condition) -> None:
        self._changed = changed
        self.messages: list[Any] = []

    def put(self, message: Any) -> None:
        with self._changed:
            self.messages.append(message)
            self._changed.notify_all()

    @property
    def last(self) -> Any:
        """The newest message; the first one is waited for."""
        with self._changed:
            came = self._changed.wait_for(lambda: self.messages, PATIENCE_S)
            assert came, f"waited {PATIENCE_S:g} s for a first message"
        return self.messages[-1]

    def __len__(self) -> int:
        return len(self.messages)


class Graph:
    """A node of the test's own, spun in a thread. Use as a context manager."""

    def __init__(self, name: str = "test_node") -> None:
        self._name = name
        self._changed = threading.Condition()
        self._ending = threading.Event()
        self._publishers: list[Any] = []

    def __enter__(self) -> Graph:
        self.context = Context()
        rclpy.init(context=self.context)
        self.node = Node(self._name, context=self.context)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._spin, name="test executor", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *unused: object) -> None:
        self._ending.set()
        self._thread.join(PATIENCE_S)
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.try_shutdown(context=self.context)

    def _spin(self) -> None:
        try:
            while self.context.ok() and not self._ending.is_set():
                self._executor.spin_once(timeout_sec=0.1)
        except ExternalShutdownException:
            pass

    def forget(self) -> None:
        """Leave all topics: the next test begins with an empty corner."""
        for subscription in list(self.node.subscriptions):
            self.node.destroy_subscription(subscription)
        for publisher in self._publishers:
            self.node.destroy_publisher(publisher)
        self._publishers.clear()

    def listen(self, message_type: Any, topic: str, qos: QoSProfile | int = 10) -> Inbox:
        inbox = Inbox(self._changed)
        self.node.create_subscription(message_type, topic, inbox.put, qos)
        return inbox

    def publisher(self, message_type: Any, topic: str, qos: QoSProfile | int = 10) -> Any:
        publisher = self.node.create_publisher(message_type, topic, qos)
        self._publishers.append(publisher)
        return publisher

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        """Wait for a condition that messages or replies make true; returns its value."""
        deadline = time.monotonic() + PATIENCE_S
        with self._changed:
            while not (value := condition()):
                left_s = deadline - time.monotonic()
                assert left_s > 0, f"waited {PATIENCE_S:g} s for {what}"
                self._changed.wait(min(left_s, 0.05))
        return value

    def call(self, service_type: Any, name: str, request: Any = None) -> Any:
        """Call a service and return the response."""
        client = self.node.create_client(service_type, name)
        deadline_s = time.monotonic() + 2 * PATIENCE_S
        try:
            while True:
                assert time.monotonic() < deadline_s, f"service {name} is there and does not answer"
                self.until(client.service_is_ready, f"service {name}")
                future = client.call_async(request or service_type.Request())
                # The service of a killed node is seen for a while; it will never answer.
                asked_s = time.monotonic()
                self.until(
                    lambda: future.done() or time.monotonic() > asked_s + _ASK_AGAIN_S,  # noqa: B023
                    f"an answer from {name}",
                )
                if future.done():
                    return future.result()
        finally:
            self.node.destroy_client(client)


class NodeProcess:
    """One real node process. Use as a context manager; leaving it kills what is left."""

    def __init__(self, spec: ProcessSpec, directory: Path) -> None:
        self.spec = spec
        directory.mkdir(parents=True, exist_ok=True)
        self._log = directory / f"{spec.name}.log"

    def __enter__(self) -> NodeProcess:
        with self._log.open("wb") as output:
            self._popen = subprocess.Popen(
                self.spec.command(sys.executable),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=node_environment(),
                process_group=0,
            )
        return self

    def __exit__(self, *unused: object) -> None:
        # A killed node haunts the graph for 20 s more: others still see its services.
        if self._popen.poll() is None:
            self._popen.send_signal(SIGINT)
        try:
            self._popen.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def signal(self, number: Signals) -> None:
        os.kill(self._popen.pid, number)

    def ended(self) -> bool:
        return self._popen.poll() is not None

    def wait(self) -> int:
        """Wait for its end; returns the exit status."""
        try:
            return self._popen.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.spec.name} did not end; its log:\n{self.log}") from None

    def stop(self, number: Signals = SIGINT) -> int:
        self.signal(number)
        return self.wait()


def node_spec(name: str, **parameters: Any) -> ProcessSpec:
    """One of our nodes with parameters given, none from a file."""
    return ProcessSpec(name, f"dexndm_ros.nodes.{name}", name, parameters)


def fill(message: Any, position: Sequence[float], seq: int, source: str) -> Any:
    """Fill a HandCommand."""
    message.seq = seq
    message.source = source
    message.position = [float(q) for q in position]
    return message
