# SPDX-License-Identifier: Apache-2.0
"""What a running graph tells about teleoperation, for ``arm_checks`` and `dexndm doctor`. It only asks."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import rclpy
from geometry_msgs.msg import PoseStamped
from rcl_interfaces.srv import GetParameters
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import parameter_value_to_python
from rclpy.qos import ReliabilityPolicy

from dexndm_ros.nodes._qos import control_subscriber
from dexndm_ros.teleop.arm_checks import Controller, Endpoint, Graph
from dexndm_ros.teleop.profiles import ArmProfile

__all__ = ["Looker", "Running", "knows_controllers", "looker", "resolved", "topic_ends"]

_MANAGER = "controller_manager"
_DISCOVERY_S = 10.0
_QUIET_S = 2.0
_ANSWER_S = 5.0
_READY_S = 1.0
_NAMELESS = "_NODE_NAME_UNKNOWN_"
"""What the middleware calls a node whose end of a topic was found before its name."""
_POSE_S = 0.5


@dataclass(frozen=True)
class Running:
    """A node that runs: its full name, and parameters by name as far as it told them."""

    name: str
    parameters: Mapping[str, Any]


def resolved(profile: ArmProfile, resolve: Callable[[str], str]) -> ArmProfile:
    """A profile with full names of topics and services.

    Args:
        profile: as in its file.
        resolve: makes a full name; an empty one stays empty.
    """

    def full(name: str) -> str:
        return resolve(name) if name else ""

    state, controller = profile.state, profile.controller
    return dataclasses.replace(
        profile,
        command_topic=full(profile.command_topic),
        state=dataclasses.replace(
            state,
            pose_topic=full(state.pose_topic),
            joints_topic=full(state.joints_topic),
            robot_topic=full(state.robot_topic),
        ),
        controller=dataclasses.replace(
            controller,
            command_type_service=full(controller.command_type_service),
            status_topic=full(controller.status_topic),
        ),
    )


def topic_ends(
    node: Node, topics: Iterable[str]
) -> tuple[dict[str, tuple[Endpoint, ...]], dict[str, tuple[Endpoint, ...]]]:
    """Publishers and subscriptions of topics, as the graph knows them now."""
    topics = sorted({topic for topic in topics if topic})
    publishers = {topic: _ends(node.get_publishers_info_by_topic(topic)) for topic in topics}
    subscriptions = {topic: _ends(node.get_subscriptions_info_by_topic(topic)) for topic in topics}
    return publishers, subscriptions


def _ends(found: Iterable[Any]) -> tuple[Endpoint, ...]:
    return tuple(
        Endpoint(
            f"{each.node_namespace.rstrip('/')}/{each.node_name}",
            each.topic_type,
            each.qos_profile.reliability is not ReliabilityPolicy.BEST_EFFORT,
        )
        for each in found
    )


def knows_controllers() -> bool:
    """Whether a controller manager can be asked from here."""
    return importlib.util.find_spec("controller_manager_msgs") is not None


class Looker:
    """Asks the graph; every question has an end.

    Args:
        node: of the asker's own, spun by ``executor`` alone.
        executor: of that node.
    """

    def __init__(self, node: Node, executor: SingleThreadedExecutor) -> None:
        self._node, self._executor = node, executor
        self._discover()

    def _discover(self) -> None:
        """Others are found one after another: wait until none has come for a while, and all have names."""
        until_s, known = time.monotonic() + _DISCOVERY_S, [self._known()]
        while time.monotonic() < until_s:
            changed = self._until(lambda: self._known() != known[-1], _QUIET_S)
            if not changed and _NAMELESS not in known[-1]:
                return
            known.append(self._known())

    def _known(self) -> Counter[str]:
        """Names of nodes, and how many publishers and subscriptions each has."""
        node = self._node
        names = Counter(f"{space}/{name}" for name, space in node.get_node_names_and_namespaces())
        for topic, _ in node.get_topic_names_and_types():
            ends = node.get_publishers_info_by_topic(topic)
            ends += node.get_subscriptions_info_by_topic(topic)
            names.update(each.node_name for each in ends)
        return names

    def running(self, name: str, parameters: Iterable[str]) -> Running | None:
        """The first node of that name in any namespace; None = there is none."""
        for found, namespace in self._node.get_node_names_and_namespaces():
            if found == name:
                full = f"{namespace.rstrip('/')}/{found}"
                return Running(full, self._parameters(full, parameters))
        return None

    def graph(self, profile: ArmProfile, namespace: str = "") -> Graph:
        """What the graph tells of an arm.

        Args:
            profile: of the arm, with full names; see ``resolved``.
            namespace: of its controllers, "/left" or empty.
        """
        state, controller = profile.state, profile.controller
        topics = (profile.command_topic, state.pose_topic, state.joints_topic, state.robot_topic)
        publishers, subscriptions = topic_ends(self._node, topics)
        wanted, owner = controller.asked, f"{namespace}/{controller.owner}"
        told = self._parameters(owner, wanted) if controller.owner and wanted else {}
        return Graph(
            publishers=publishers,
            subscriptions=subscriptions,
            services=frozenset(name for name, _ in self._node.get_service_names_and_types()),
            controllers=self._controllers(namespace),
            parameters={(controller.owner, name): str(value) for name, value in told.items()},
            frames=self._frames(state.pose_topic) if publishers.get(state.pose_topic) else {},
            command_type_set=True,  # the bridge sets it at its start, and nobody tells whether it is
        )

    def _controllers(self, namespace: str) -> dict[str, Controller] | None:
        if not knows_controllers():
            return None
        kind = importlib.import_module("controller_manager_msgs.srv").ListControllers
        answer = self._ask(kind, f"{namespace}/{_MANAGER}/list_controllers", {})
        if answer is None:
            return None
        return {each.name: Controller(each.type, each.state) for each in answer.controller}

    def _frames(self, topic: str) -> dict[str, str]:
        heard: list[str] = []
        subscription = self._node.create_subscription(
            PoseStamped, topic, lambda told: heard.append(told.header.frame_id), control_subscriber()
        )  # fmt: skip
        self._until(lambda: bool(heard), _POSE_S)
        self._node.destroy_subscription(subscription)
        return {topic: heard[0]} if heard else {}

    def _parameters(self, node: str, names: Iterable[str]) -> dict[str, Any]:
        names = sorted(names)
        answer = self._ask(GetParameters, f"{node}/get_parameters", {"names": names})
        if answer is None:
            return {}
        values = map(parameter_value_to_python, answer.values)
        return {
            name: value for name, value in zip(names, values, strict=False) if value is not None
        }

    def _ask(self, kind: Any, service: str, request: Mapping[str, Any]) -> Any:
        """What a service answers; None = it is not there, or does not answer."""
        client = self._node.create_client(kind, service)
        try:
            if not self._until(client.service_is_ready, _READY_S):
                return None
            future = client.call_async(kind.Request(**request))
            return future.result() if self._until(future.done, _ANSWER_S) else None
        finally:
            self._node.destroy_client(client)

    def _until(self, true: Callable[[], bool], patience_s: float) -> bool:
        until_s = time.monotonic() + patience_s
        while not true():
            left_s = until_s - time.monotonic()
            if left_s <= 0.0:
                return False
            self._executor.spin_once(timeout_sec=min(left_s, 0.1))
        return True


@contextmanager
def looker() -> Iterator[Looker]:
    """A node that asks, in a context of its own."""
    context = Context()
    rclpy.init(context=context)
    node = Node(
        "dexndm_doctor", context=context, enable_rosout=False, start_parameter_services=False
    )  # fmt: skip
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    try:
        yield Looker(node, executor)
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown(context=context)
