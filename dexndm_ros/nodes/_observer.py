# SPDX-License-Identifier: Apache-2.0
"""A node that only listens, in a thread of a program that has other things to do."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self

import rclpy
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.signals import SignalHandlerOptions
from std_srvs.srv import Trigger

from dexndm_ros.middleware import settle
from dexndm_ros.nodes._polled import AllOf

__all__ = ["Observer", "Row"]

_SERVICE_WAIT_S = 10.0
_LOOK_S = 0.02

Row = tuple[Any, str, Callable[[Any], None], QoSProfile]
"""Message type, topic, callback (called in the observer's thread) and QoS."""


class Observer:
    """Subscribes and spins. Use as a context manager.

    Args:
        name: the node's name.
        rows: what it hears at once.
        often: what it looks for 50 times a second: topics whose every message would wake it for nothing.
    """

    def __init__(self, name: str, rows: Iterable[Row], often: Iterable[Row] = ()) -> None:
        self._name = name
        self._rows, self._often = tuple(rows), tuple(often)
        self._stop = threading.Event()

    def __enter__(self) -> Self:
        settle(os.environ)
        self._context = Context()
        # Signals belong to the program, which has processes to end.
        rclpy.init(context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self._node = Node(self._name, context=self._context, enable_rosout=False)
        self._subscriptions = [
            self._node.create_subscription(kind, topic, callback, qos)
            for kind, topic, callback, qos in self._rows
        ]
        self._looks = [
            (AllOf(self._node, kind, topic, qos), callback)
            for kind, topic, callback, qos in self._often
        ]
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._spin, name=self._name, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._executor.wake()
        self._thread.join(5.0)
        self._executor.shutdown(timeout_sec=1.0)
        self._node.destroy_node()
        rclpy.try_shutdown(context=self._context)

    def trigger(self, service: str) -> str:
        """Call a std_srvs/Trigger service.

        Args:
            service: its name.

        Returns:
            why it did not do it; empty = done.
        """
        client = self._node.create_client(Trigger, service)
        try:
            if not client.wait_for_service(_SERVICE_WAIT_S):
                return f"service {service} is not there"
            done = threading.Event()
            future = client.call_async(Trigger.Request())
            future.add_done_callback(lambda _: done.set())
            self._executor.wake()
            if not done.wait(_SERVICE_WAIT_S):
                return f"service {service} did not answer"
            answer = future.result()
            return "" if answer.success else f"{service}: {answer.message}"
        finally:
            self._node.destroy_client(client)

    def _spin(self) -> None:
        with contextlib.suppress(ExternalShutdownException):
            while not self._stop.is_set():
                self._executor.spin_once(timeout_sec=_LOOK_S if self._looks else 0.5)
                for topic, callback in self._looks:
                    for message in topic.take():
                        callback(message)
