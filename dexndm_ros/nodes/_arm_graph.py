# SPDX-License-Identifier: Apache-2.0
"""``arm_bridge`` looks at the graph around it, again and again and without waiting for an answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from rcl_interfaces.srv import GetParameters
from rclpy.node import Node
from rclpy.parameter import parameter_value_to_python

from dexndm_ros.hand.doctor import Finding, Level
from dexndm_ros.nodes._arm_io import optional_type
from dexndm_ros.nodes._arm_look import knows_controllers, resolved, topic_ends
from dexndm_ros.teleop.arm_checks import Controller, Graph, check_arm
from dexndm_ros.teleop.arm_inputs import check_targets
from dexndm_ros.teleop.profiles import ArmProfile

__all__ = ["ArmGraph", "Question"]

_ANSWER_LASTS_S = 5.0
_PATIENCE_S = 3.0
_BLIND = Finding(
    Level.WARNING, "arm controller", "it is not looked at: controller_manager_msgs is not here", "",
    "install ros-jazzy-controller-manager-msgs; until then see yourself that it is active",
)  # fmt: skip


class Question:
    """A service that is asked again and again; its answer counts for a while."""

    def __init__(self, node: Node, kind: Any, service: str, request: Any) -> None:
        """Of a node, whose executor brings the answers; service and request are of ``kind``."""
        self._client, self._request = node.create_client(kind, service), request
        self._asked: tuple[Any, float] | None = None  # the future, and since when
        self._answer: tuple[Any, float] | None = None

    def ask(self, now_s: float) -> Any:
        """The newest answer, None = none lately; and ask anew."""
        if self._asked is not None:
            future, since_s = self._asked
            if future.done() and future.exception() is None:
                self._answer = (future.result(), now_s)
            if future.done() or now_s - since_s > _PATIENCE_S:
                self._client.remove_pending_request(future)
                self._asked = None
        if self._asked is None and self._client.service_is_ready():
            self._asked = (self._client.call_async(self._request), now_s)
        if self._answer is None or now_s - self._answer[1] > _ANSWER_LASTS_S:
            return None
        return self._answer[0]


class ArmGraph:
    """Fills ``arm_checks.Graph`` for one profile.

    Args:
        node: the bridge, whose executor brings the answers.
        profile: as in its file.
        target_topic: where operators tell targets, as the node names it.
    """

    def __init__(self, node: Node, profile: ArmProfile, target_topic: str) -> None:
        self._node, self._target = node, node.resolve_topic_name(target_topic)
        self._profile = resolved(profile, node.resolve_topic_name)
        self._controllers = self._parameters = None
        controller, namespace = profile.controller, node.get_namespace().rstrip("/")
        self._blind = bool(controller.name) and not knows_controllers()
        if self._blind:
            nameless = dataclasses.replace(self._profile.controller, name="", node=controller.name)
            self._profile = dataclasses.replace(self._profile, controller=nameless)
        elif controller.name:
            kind = optional_type("controller_manager_msgs.srv", "ListControllers", "the controller")
            name = f"{namespace}/controller_manager/list_controllers"
            self._controllers = Question(node, kind, name, kind.Request())
        self._wanted = sorted(controller.asked)
        if controller.owner and self._wanted:
            request = GetParameters.Request(names=self._wanted)
            name = f"{namespace}/{controller.owner}/get_parameters"
            self._parameters = Question(node, GetParameters, name, request)

        self._command_type = None
        if controller.command_type_service:
            kind = optional_type("moveit_msgs.srv", "ServoCommandType", "MoveIt Servo")
            request = kind.Request(command_type=controller.command_type)
            service = controller.command_type_service
            self._command_type = Question(node, kind, service, request)

    def look(self, frames: Mapping[str, str], stray_frame: str, now_s: float) -> list[Finding]:
        """What is found now.

        Args:
            frames: ``frame_id`` last heard, by topic as the profile names it.
            stray_frame: in which targets came lately and should not have; empty = none.
            now_s: our monotonic time.
        """
        state = self._profile.state
        command = self._profile.command_topic
        topics = (command, state.pose_topic, state.joints_topic, state.robot_topic, self._target)
        publishers, subscriptions = topic_ends(self._node, topics)
        graph = Graph(
            publishers=publishers,
            subscriptions=subscriptions,
            services=frozenset(name for name, _ in self._node.get_service_names_and_types()),
            controllers=self._ask_controllers(now_s),
            parameters=self._ask_parameters(now_s),
            frames={self._node.resolve_topic_name(name): frame for name, frame in frames.items()},
            command_type_set=self._ask_command_type(now_s),
        )
        found = check_arm(self._profile, graph, self._node.get_fully_qualified_name())
        ends = publishers.get(self._target, ())
        found.append(check_targets(self._target, ends, stray_frame, self._profile.base_frame))
        return [*found, _BLIND] if self._blind else found

    def _ask_command_type(self, now_s: float) -> bool:
        """Ask Servo for poses, for ever: it ignores them before, and forgets it when it is started again."""
        answer = self._command_type.ask(now_s) if self._command_type is not None else None
        return answer is not None and answer.success

    def _ask_controllers(self, now_s: float) -> dict[str, Controller] | None:
        answer = self._controllers.ask(now_s) if self._controllers is not None else None
        if answer is None:
            return None
        return {each.name: Controller(each.type, each.state) for each in answer.controller}

    def _ask_parameters(self, now_s: float) -> dict[tuple[str, str], str]:
        answer = self._parameters.ask(now_s) if self._parameters is not None else None
        if answer is None:
            return {}
        values = map(parameter_value_to_python, answer.values)
        owner = self._profile.controller.owner
        return {
            (owner, name): str(value)
            for name, value in zip(self._wanted, values, strict=False)
            if value is not None
        }
