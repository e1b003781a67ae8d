# SPDX-License-Identifier: Apache-2.0
"""Runs one node in its process: spins, and closes it on every way out."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode
from rclpy.node import Node

from dexndm_ros.middleware import avoid_shared_memory
from dexndm_ros.policy.clock import Tick
from dexndm_ros.respawn import REFUSED

__all__ = ["NodeFailedError", "NodeRefusedError", "ProcessNode", "run_node", "until_shutdown"]

_CLOSE_LIMIT_S = 8.0
"""A process that cannot close in this time is ended by force; the bus watchdog then stops the motors."""


class NodeFailedError(RuntimeError):
    """The node cannot go on; the message is the one sentence for the person who started it."""


class NodeRefusedError(NodeFailedError):
    """The node cannot work with what it was given: starting it again would end the same way."""


class ProcessNode(Protocol):
    """What a node offers to be run here, besides being an rclpy node."""

    def begin(self) -> None:
        """Called once, before spinning. May raise :class:`NodeFailedError`."""

    def failure(self) -> str:
        """Why the process must end; empty while it need not. Asked after each callback."""

    def close(self) -> None:
        """Leave everything safe. Must work twice, and after ROS has shut down."""


def run_node(make: Callable[[], ProcessNode], arguments: Sequence[str] | None = None) -> int:
    """Make the node, spin it until a signal or a failure, close it.

    Args:
        make: builds the node; called after ``rclpy.init``.
        arguments: command line; default ``sys.argv``.

    Returns:
        Exit status: 0 after SIGINT or SIGTERM, 1 after a failure, 2 after a refusal; both are logged.
    """
    avoid_shared_memory(os.environ)
    rclpy.init(args=list(sys.argv if arguments is None else arguments))
    node: ProcessNode | None = None
    status = 0
    try:
        # The MultiThreadedExecutor loses a quarter of 100 Hz ticks and costs four times as much.
        executor = SingleThreadedExecutor()
        node = make()
        if isinstance(node, LifecycleNode):
            _outlive_wrong_requests(node)
        executor.add_node(node)
        node.begin()
        while rclpy.ok():
            executor.spin_once(timeout_sec=0.5)
            if reason := node.failure():
                raise NodeFailedError(reason)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except NodeFailedError as error:
        _say(node, str(error))
        status = REFUSED if isinstance(error, NodeRefusedError) else 1
    except Exception:
        # A signal that comes while the node is being made pulls ROS from under it: no failure.
        if rclpy.ok():
            raise
    finally:
        # A second Ctrl-C must not interrupt switching the torque off.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        faulthandler.dump_traceback_later(_CLOSE_LIMIT_S, exit=True)
        if node is not None:
            node.close()
        if isinstance(node, Node):
            node.destroy_node()
        with contextlib.suppress(Exception):  # another handler may have shut it down in between
            rclpy.try_shutdown()
        faulthandler.cancel_dump_traceback_later()
    return status


def until_shutdown(node: Node, step: Callable[[Tick], None]) -> Callable[[Tick], None]:
    """A loop's step whose last publication may come after a signal has shut ROS down in another thread."""

    def run(tick: Tick) -> None:
        try:
            step(tick)
        except Exception:  # rclpy's RCLError is not public
            if node.context.ok():
                raise

    return run


def _outlive_wrong_requests(node: LifecycleNode) -> None:
    """Answer a request for a transition that the present state does not have with a refusal.

    Left alone, rclpy raises in its service callback, and that ends the process.
    """
    service = node._service_change_state
    change = service.callback

    def change_or_refuse(request: Any, response: Any) -> Any:
        try:
            return change(request, response)
        except Exception as error:  # rclpy's RCLError is not public
            state = node._state_machine.current_state[1]
            node.get_logger().error(
                f"refused a transition that the state {state!r} does not have: {error}"
            )
            response.success = False
            return response

    service.callback = change_or_refuse


def _say(node: ProcessNode | None, text: str) -> None:
    if isinstance(node, Node) and rclpy.ok():
        node.get_logger().fatal(text)
    else:
        print(f"[FATAL] {text}", file=sys.stderr, flush=True)
