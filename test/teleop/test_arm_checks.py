# SPDX-License-Identifier: Apache-2.0
"""A graph in which all is well has no finding to act on; each trap, set alone, has exactly one."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dexndm_ros.hand.doctor import Level
from dexndm_ros.teleop.arm_checks import (
    Controller,
    Endpoint,
    Graph,
    blocking,
    check_arm,
    refusal,
)
from dexndm_ros.teleop.arm_inputs import check_servo, check_targets, check_tool
from dexndm_ros.teleop.chain import ArmChain
from dexndm_ros.teleop.fr3 import HOME_RAD
from dexndm_ros.teleop.pose import Pose
from dexndm_ros.teleop.profiles import SEMANTIC, load_profile

ME = "/arm_bridge"
POSE = "geometry_msgs/msg/PoseStamped"
TRAJECTORY = "trajectory_msgs/msg/JointTrajectory"
NAMES = ["crisp", "fzi", "servo", "jtc"]


SRDF = """<robot name="fr3">
  <group name="other"><chain base_link="fr3_link0" tip_link="palm"/></group>
  <group name="arm"><chain base_link="fr3_link0" tip_link="{tip}"/></group>
</robot>"""


def healthy(profile) -> Graph:
    """What runs when everything is right."""
    controller, state = profile.controller, profile.state
    listener = f"/{controller.name or 'servo_node'}"
    parameters = {}
    if controller.frame_parameter:
        parameters[controller.name, controller.frame_parameter] = profile.base_frame
        parameters[controller.name, controller.tool_parameter] = "palm"
    if controller.group_parameter:
        parameters["servo_node", controller.group_parameter] = "arm"
        parameters["servo_node", SEMANTIC] = SRDF.format(tip="palm")
    return Graph(
        publishers={
            profile.command_topic: (Endpoint(ME, profile.command.message, True),),
            state.pose_topic: (Endpoint("/broadcaster", POSE, False),),
            state.joints_topic: (Endpoint("/joints", "sensor_msgs/msg/JointState", True),),
            state.robot_topic: (
                Endpoint("/broadcaster", "franka_msgs/msg/FrankaRobotState", True),
            ),
        },
        subscriptions={
            profile.command_topic: (Endpoint(listener, profile.command.message, True),),
            state.pose_topic: (Endpoint(ME, POSE, False), Endpoint("/rviz", POSE, True)),
        },
        services=frozenset({controller.command_type_service} - {""}),
        controllers={controller.name: Controller(next(iter(controller.types), ""), "active")},
        parameters=parameters,
        frames={state.pose_topic: profile.base_frame},
        command_type_set=True,
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_healthy_graph_passes(name) -> None:
    profile = load_profile(name)
    findings = check_arm(profile, healthy(profile), ME)
    assert findings
    assert {finding.level for finding in findings} == {Level.OK}


def changed(graph: Graph, field: str, key, value) -> Graph:
    return dataclasses.replace(graph, **{field: {**getattr(graph, field), key: value}})


def broken(profile):
    """Every way of ours to break a graph: name, graph, words of the finding."""
    graph, controller, state = healthy(profile), profile.controller, profile.state
    command = profile.command_topic
    own = graph.publishers[command]
    stranger = Endpoint("/teleop_twist", profile.command.message, True)
    yield "deaf", changed(graph, "subscriptions", command, ()), "nobody listens"
    odd = Endpoint("/c", "std_msgs/msg/Empty", True)
    yield "type", changed(graph, "subscriptions", command, (odd,)), "expects std_msgs"
    yield (
        "second",
        changed(graph, "publishers", command, (*own, stranger)),
        "/teleop_twist publishes",
    )
    yield "twin", changed(graph, "publishers", command, own * 2), "two nodes are named"
    weak = (Endpoint(ME, profile.command.message, False),)
    yield "weak", changed(graph, "publishers", command, weak), "asks for reliable"
    strict = (Endpoint(ME, POSE, True),)
    yield "strict", changed(graph, "subscriptions", state.pose_topic, strict), "it hears nothing"
    yield "frame", changed(graph, "frames", state.pose_topic, "world"), "is in world"
    wrong = (Endpoint("/b", "geometry_msgs/msg/Pose", False),)
    yield (
        "pose type",
        changed(graph, "publishers", state.pose_topic, wrong),
        "geometry_msgs/msg/Pose",
    )
    nothing = changed(
        changed(graph, "publishers", state.pose_topic, ()), "publishers", state.joints_topic, ()
    )
    yield "no pose", nothing, "nobody publishes"
    if controller.name:
        yield "no manager", dataclasses.replace(graph, controllers=None), "no controller manager"
        yield "not loaded", dataclasses.replace(graph, controllers={}), "loaded: none"
        kind = Controller(controller.types[0], "inactive")
        yield "inactive", changed(graph, "controllers", controller.name, kind), "is inactive"
        other = Controller("my/Controller", "active")
        yield "kind", changed(graph, "controllers", controller.name, other), "is a my/Controller"
        demo = Controller(
            "franka_example_controllers/CartesianImpedanceExampleController", "active"
        )
        yield "demo", changed(graph, "controllers", "demo", demo), "overwrites every target"
    if controller.frame_parameter:
        for parameter in (controller.frame_parameter, controller.tool_parameter):
            key = (controller.name, parameter)
            yield parameter, changed(graph, "parameters", key, "world"), f"{parameter} world"
            silent = changed(graph, "parameters", key, "")
            yield f"silent {parameter}", silent, f"has not told its {parameter}"
    if controller.group_parameter:
        key, semantic = ("servo_node", controller.group_parameter), ("servo_node", SEMANTIC)
        flange = changed(graph, "parameters", semantic, SRDF.format(tip="fr3_link8"))
        yield "tip", flange, f"{controller.group_parameter} fr3_link8"
        for name, there in {
            "no group": (key, ""),
            "stranger": (key, "hand"),
            "no xml": (semantic, "<"),
        }.items():
            yield name, changed(graph, "parameters", *there), "has not told its"
    if controller.command_type_service:
        yield "servo gone", dataclasses.replace(graph, services=frozenset()), "no service"
        yield (
            "servo type",
            dataclasses.replace(graph, command_type_set=False),
            "command type is not set",
        )
    if name_of(profile) == "jtc":
        yield "no joints", changed(graph, "publishers", state.joints_topic, ()), "nobody publishes"


def name_of(profile) -> str:
    return "jtc" if profile.command.message == TRAJECTORY else "pose"


CASES = [(name, trap) for name in NAMES for trap, _, _ in broken(load_profile(name))]


@pytest.mark.parametrize(("name", "trap"), CASES)
def test_each_trap_is_found_alone_with_a_cure(name, trap) -> None:
    profile = load_profile(name)
    graph, words = next((graph, words) for found, graph, words in broken(profile) if found == trap)
    (finding,) = blocking(check_arm(profile, graph, ME))
    assert words in finding.found
    assert finding.cure
    cause, _, cure = refusal([finding]).partition(": ")
    assert words.replace(": ", ", ") in cause
    assert cure == finding.cure


def test_a_graph_in_which_all_is_well_refuses_nothing_and_the_worst_says_how_many() -> None:
    profile = load_profile("crisp")
    graph = healthy(profile)
    assert refusal(check_arm(profile, graph, ME)) == ""
    deaf = changed(graph, "subscriptions", profile.command_topic, ())
    strayed = changed(deaf, "frames", profile.state.pose_topic, "world")
    assert "(and 1 more on /diagnostics): " in refusal(check_arm(profile, strayed, ME))


def test_targets_come_from_one_operator() -> None:
    one, other = Endpoint("/quest_bridge", POSE, True), Endpoint("/script", POSE, True)
    assert check_targets("/arm/target_pose", ()).level is Level.NOTE
    assert check_targets("/arm/target_pose", (one,)).level is Level.OK
    twins = check_targets("/arm/target_pose", (one, one))
    assert "two nodes are named /quest_bridge" in refusal([twins])
    found = Endpoint("_NODE_NAMESPACE_UNKNOWN_/_NODE_NAME_UNKNOWN_", POSE, True)
    assert check_targets("/arm/target_pose", (one, found)).level is Level.OK
    stray = check_targets("/arm/target_pose", (one,), "world", "fr3_link0")
    assert refusal([stray]).endswith(
        "they come in world: make /quest_bridge tell them in fr3_link0"
    )
    finding = check_targets("/arm/target_pose", (one, other))
    assert finding.level is Level.ERROR
    assert "/quest_bridge and /script" in refusal([finding])


@pytest.mark.parametrize("name", ["crisp", "jtc"])
def test_mock_hardware_without_pose_and_errors_is_told_but_does_not_block(name) -> None:
    profile = load_profile(name)
    graph = changed(healthy(profile), "publishers", profile.state.pose_topic, ())
    graph = changed(graph, "publishers", profile.state.robot_topic, ())
    findings = check_arm(profile, graph, ME)
    assert not blocking(findings)
    assert {finding.level for finding in findings} == {Level.OK, Level.NOTE, Level.WARNING}


@pytest.mark.parametrize("code", range(-2, 9))
def test_what_servo_says_of_itself_never_keeps_the_arm_from_moving_on(code) -> None:
    finding = check_servo(code)
    assert not blocking([finding])
    assert finding.found
    halted = code in (2, 5, 6)
    assert halted is finding.found.startswith("halted")
    assert not halted or "move" in finding.cure


def test_an_arm_that_tells_another_tools_pose_is_found() -> None:
    chain = ArmChain(load_profile("crisp").tool.pose())
    right = chain.pose(HOME_RAD)
    assert check_tool(right, chain, HOME_RAD).level is Level.OK
    for wrong in (
        ArmChain().pose(HOME_RAD),
        right * Pose(np.zeros(3), Rotation.from_rotvec([0, 0, 0.1])),
        right * Pose(np.array([0.02, 0, 0]), Rotation.identity()),
    ):
        finding = check_tool(wrong, chain, HOME_RAD)
        assert finding.level is Level.ERROR
        assert "set_tcp_frame" in finding.cure
