# SPDX-License-Identifier: Apache-2.0
"""What must be true of the ROS graph before an arm is moved, as functions of what the graph tells.

Each trap here has cost somebody an afternoon: a reliable subscriber that never hears the best-effort pose, a second
publisher that makes a controller deaf, a frame that is not the base, a controller that is not active, Servo without a
command type. Nothing here asks the graph; a node fills ``Graph`` and shows the findings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from xml.etree import ElementTree

from dexndm_ros.hand.doctor import Finding, Level
from dexndm_ros.teleop.profiles import SEMANTIC, ArmProfile, CommandKind

__all__ = [
    "Controller",
    "Endpoint",
    "Graph",
    "blocking",
    "check_arm",
    "refusal",
    "tip_link",
]

_OVERWRITES = "franka_example_controllers/CartesianImpedanceExampleController"


@dataclass(frozen=True)
class Endpoint:
    """A publisher or a subscription.

    Attributes:
        node: full name of its node.
        message: its type, "geometry_msgs/msg/PoseStamped".
        reliable: it offers (publisher) or asks for (subscription) reliable transport.
    """

    node: str
    message: str
    reliable: bool


@dataclass(frozen=True)
class Controller:
    """A controller as the controller manager lists it: plugin type and state ("active")."""

    kind: str
    state: str


@dataclass(frozen=True)
class Graph:
    """What the graph tells, by full names.

    Attributes:
        publishers: of each topic that matters.
        subscriptions: likewise.
        services: names of all.
        controllers: by name; None = no controller manager answered.
        parameters: (its owner's name, parameter) to value, as far as known.
        frames: topic to the ``frame_id`` last heard on it.
        command_type_set: Servo has accepted the command type.
    """

    publishers: Mapping[str, tuple[Endpoint, ...]] = field(default_factory=dict)
    subscriptions: Mapping[str, tuple[Endpoint, ...]] = field(default_factory=dict)
    services: frozenset[str] = frozenset()
    controllers: Mapping[str, Controller] | None = None
    parameters: Mapping[tuple[str, str], str] = field(default_factory=dict)
    frames: Mapping[str, str] = field(default_factory=dict)
    command_type_set: bool = False


def check_arm(profile: ArmProfile, graph: Graph, me: str) -> list[Finding]:
    """Compare a profile with what runs.

    Args:
        profile: its topics and services given by full names, as resolved in the node's namespace.
        graph: what runs.
        me: full name of our node, which publishes the command.

    Returns:
        A finding for everything that was looked at; see ``blocking``.
    """
    return [
        *_controller(profile, graph),
        *_command(profile, graph, me),
        *_frames(profile, graph),
        *_servo(profile, graph),
        *_state(profile, graph),
        *_quality(profile, graph, me),
    ]


def blocking(findings: list[Finding]) -> list[Finding]:
    """Those with which the arm must not be moved."""
    return [finding for finding in findings if finding.level is Level.ERROR]


def refusal(findings: list[Finding]) -> str:
    """Why the arm must not be moved and, after a colon, what mends it; empty = it may."""
    bad = blocking(findings)
    if not bad:
        return ""
    first = bad[0]
    cause = ", ".join(part for part in (first.what, first.found.replace(": ", ", ")) if part)
    more = f" (and {len(bad) - 1} more on /diagnostics)" if len(bad) > 1 else ""
    return f"the arm must not be moved, {cause}{more}: {first.cure or f'make it {first.expected}'}"


def _controller(profile: ArmProfile, graph: Graph) -> Iterator[Finding]:
    config, what = profile.controller, "arm controller"
    if not config.name:
        return
    if graph.controllers is None:
        cure = "start the arm's bringup; is it in the same namespace and ROS_DOMAIN_ID?"
        yield Finding(Level.ERROR, what, "no controller manager answers", config.name, cure)
        return
    for name, other in graph.controllers.items():
        if other.kind == _OVERWRITES and other.state == "active":
            cure = f"ros2 control switch_controllers --deactivate {name} --activate {config.name}"
            yield Finding(
                Level.ERROR,
                what,
                f"{name} overwrites every target with its own demo",
                config.name,
                cure,
            )
    found = graph.controllers.get(config.name)
    if found is None:
        names = ", ".join(sorted(graph.controllers)) or "none"
        cure = f"ros2 run controller_manager spawner {config.name}, or name yours in the profile"
        yield Finding(Level.ERROR, what, f"loaded: {names}", config.name, cure)
    elif config.types and found.kind not in config.types:
        cure = "name a controller of that type in the profile, or take the profile of this one"
        yield Finding(
            Level.ERROR, what, f"{config.name} is a {found.kind}", " or ".join(config.types), cure
        )
    elif found.state != "active":
        cure = f"ros2 control switch_controllers --activate {config.name}"
        yield Finding(Level.ERROR, what, f"{config.name} is {found.state}", "active", cure)
    else:
        yield Finding(Level.OK, what, f"{config.name} is active")


def _command(profile: ArmProfile, graph: Graph, me: str) -> Iterator[Finding]:
    topic, message = profile.command_topic, profile.command.message
    what = f"command topic {topic}"
    listeners = graph.subscriptions.get(topic, ())
    if not listeners:
        cure = "is command_topic in the profile the controller's, with its namespace?"
        yield Finding(Level.ERROR, what, "nobody listens", message, cure)
    for listener in listeners:
        if listener.message != message:
            yield Finding(
                Level.ERROR,
                what,
                f"{listener.node} expects {listener.message}",
                message,
                "take its profile",
            )
    others = sorted({other.node for other in graph.publishers.get(topic, ())} - {me})
    if others:
        deaf = (
            "the controller then obeys nobody" if profile.controller.alone else "both move the arm"
        )
        yield Finding(
            Level.ERROR,
            what,
            f"{', '.join(others)} publishes too: {deaf}",
            f"{me} alone",
            "stop the other node",
        )
    if sum(other.node == me for other in graph.publishers.get(topic, ())) > 1:
        cure = "stop one of them; one that was killed is forgotten after 20 s"
        yield Finding(Level.ERROR, what, f"two nodes are named {me}", "one", cure)
    if listeners and not others:
        yield Finding(Level.OK, what, f"heard by {', '.join(sorted({x.node for x in listeners}))}")


def _frames(profile: ArmProfile, graph: Graph) -> Iterator[Finding]:
    config = profile.controller
    for parameter, ours, what in (
        (config.frame_parameter, profile.base_frame, "base frame"),
        (config.tool_parameter, profile.tool.frame, "tool frame"),
        (config.group_parameter, profile.tool.frame, "tool frame"),
    ):
        if not parameter:
            continue
        theirs = graph.parameters.get((config.owner, parameter))
        if theirs and parameter == config.group_parameter:
            theirs = tip_link(graph.parameters.get((config.owner, SEMANTIC), ""), theirs)
        if not theirs:
            cure = f"start it; ros2 param get {config.owner} {parameter} must tell it"
            yield Finding(
                Level.ERROR, what, f"{config.owner} has not told its {parameter} yet", ours, cure
            )
        elif theirs != ours:
            cure = f"make {parameter} of {config.owner} and the profile agree"
            yield Finding(Level.ERROR, what, f"{config.owner} has {parameter} {theirs}", ours, cure)
        else:
            yield Finding(Level.OK, what, f"{config.owner} has {ours}")
    topic = profile.state.pose_topic
    heard = graph.frames.get(topic)
    if heard is not None and heard != profile.base_frame:
        cure = "set base_frame in the profile to the frame in which the arm tells its pose"
        yield Finding(Level.ERROR, "base frame", f"{topic} is in {heard}", profile.base_frame, cure)


def tip_link(srdf: str, group: str) -> str:
    """The last link of a group's chain in an SRDF, which is what MoveIt Servo moves; empty = it has none."""
    try:
        root = ElementTree.fromstring(srdf)
    except ElementTree.ParseError:
        return ""
    chains = (each for each in root.findall("group") if each.get("name") == group)
    return next(
        (str(chain.get("tip_link", "")) for each in chains for chain in each.findall("chain")), ""
    )


def _servo(profile: ArmProfile, graph: Graph) -> Iterator[Finding]:
    service = profile.controller.command_type_service
    if not service:
        return
    if service not in graph.services:
        yield Finding(Level.ERROR, "MoveIt Servo", f"no service {service}", "", "start servo_node")
    elif not graph.command_type_set:
        cure = f"call {service} with command_type {profile.controller.command_type}; the bridge does it at its start"
        yield Finding(
            Level.ERROR, "MoveIt Servo", "it ignores poses: its command type is not set", "", cure
        )
    else:
        yield Finding(Level.OK, "MoveIt Servo", "takes poses")


def _state(profile: ArmProfile, graph: Graph) -> Iterator[Finding]:
    state = profile.state
    poses = graph.publishers.get(state.pose_topic, ())
    joints = graph.publishers.get(state.joints_topic, ())
    what = "arm pose"
    if poses and not any(pose.message == CommandKind.POSE.message for pose in poses):
        yield Finding(
            Level.ERROR, what, f"{state.pose_topic} is {poses[0].message}", CommandKind.POSE.message,
            "name the pose's topic in the profile",
        )  # fmt: skip
    elif poses:
        yield Finding(Level.OK, what, state.pose_topic)
    elif joints:
        yield Finding(
            Level.NOTE, what, f"nobody publishes {state.pose_topic} (mock hardware does not); "
            f"it is computed from {state.joints_topic}",
        )  # fmt: skip
    else:
        cure = (
            "start the arm's bringup with its state broadcaster, or name the topics in the profile"
        )
        yield Finding(
            Level.ERROR,
            what,
            f"nobody publishes {state.pose_topic} or {state.joints_topic}",
            "",
            cure,
        )
    if profile.command is CommandKind.JOINTS and not joints and poses:
        cure = (
            "start the joint state broadcaster; the inverse kinematics begin at the measured joints"
        )
        yield Finding(Level.ERROR, "arm joints", f"nobody publishes {state.joints_topic}", "", cure)
    if state.robot_topic and not graph.publishers.get(state.robot_topic):
        yield Finding(
            Level.WARNING, "arm errors", f"nobody publishes {state.robot_topic}: a reflex shows only as an arm "
            "that does not follow", "", "with a real Franka, load franka_robot_state_broadcaster",
        )  # fmt: skip


def _quality(profile: ArmProfile, graph: Graph, me: str) -> Iterator[Finding]:
    """Pairs that never connect: one asks for reliable transport, the other does not offer it."""
    state = profile.state
    for topic in (profile.command_topic, state.pose_topic, state.joints_topic, state.robot_topic):
        for asks in graph.subscriptions.get(topic, ()):
            for offers in graph.publishers.get(topic, ()):
                if asks.reliable and not offers.reliable and me in (asks.node, offers.node):
                    found = f"{offers.node} offers best effort, {asks.node} asks for reliable: it hears nothing"
                    cure = f"make the subscription of {asks.node} best effort"
                    yield Finding(Level.ERROR, f"quality of service of {topic}", found, "", cure)
