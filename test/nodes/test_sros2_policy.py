# SPDX-License-Identifier: Apache-2.0
"""config/sros2/policy.xml allows what the nodes of the running system use, and nothing else."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections import Counter

import pytest

from dexndm_ros.paths import share_dir
from dexndm_ros.teleop.profiles import CommandKind, load_profile

KINDS = (
    ("topics", "publish"),
    ("topics", "subscribe"),
    ("services", "reply"),
    ("services", "request"),
)
REAL_ARMS = ("crisp", "fzi", "jtc", "servo")


def allowed():
    """Enclave to kind ("publish" ...) to full names."""
    root = ElementTree.parse(share_dir() / "config" / "sros2" / "policy.xml").getroot()
    assert (root.tag, root.get("version")) == ("policy", "0.2.0")
    found = {}
    for enclave in root.iterfind("enclaves/enclave"):
        (profile,) = enclave.iterfind("profiles/profile")
        assert enclave.get("path") == f"/dexndm/{profile.get('node')}"
        assert profile.get("ns") == "/"
        rules = {kind: Counter() for _, kind in KINDS}
        for rule in profile:
            ((kind, word),) = rule.attrib.items()
            assert (rule.tag, kind) in KINDS and word == "ALLOW"
            rules[kind].update(f"/{name.text}" for name in rule)
        found[profile.get("node")] = rules
    return found


def of_real_arms():
    """What arm_bridge needs with each shipped profile of a real arm, beside what it always needs."""
    publish, subscribe, request = set(), {"imu/data"}, {"controller_manager/list_controllers"}
    for profile in map(load_profile, REAL_ARMS):
        assert profile.command in CommandKind
        state, controller = profile.state, profile.controller
        publish.add(profile.command_topic)
        subscribe |= {state.pose_topic, state.joints_topic, state.robot_topic}
        subscribe |= {controller.status_topic} - {""}
        request |= {controller.command_type_service} - {""}
        request |= {f"{controller.name}/get_parameters"} if controller.name else set()
    return {
        kind: {f"/{name}" for name in names}
        for kind, names in (("publish", publish), ("subscribe", subscribe), ("request", request))
    }


def test_no_rule_is_there_twice_and_none_is_open() -> None:
    for node, rules in allowed().items():
        for kind, names in rules.items():
            assert max(names.values(), default=1) == 1, (node, kind)
            assert not any("*" in name for name in names), (node, kind)


def test_only_the_bridge_and_the_person_may_command() -> None:
    rules = allowed()
    assert [node for node, each in rules.items() if each["publish"]["/arm/target_pose"]] == [
        "quest_bridge"
    ]
    assert [node for node, each in rules.items() if each["publish"]["/hand/command"]] == [
        "rotation_policy"
    ]
    assert not any(each["request"]["/sim/inject_fault"] for each in rules.values())


@pytest.mark.ros
def test_the_running_system_uses_what_is_allowed_and_nothing_else(tmp_path, monkeypatch) -> None:
    pytest.importorskip("rclpy")
    pytest.importorskip("dexndm_msgs")
    from dexndm_ros.bringup import system
    from dexndm_ros.processes import Processes
    from support.domain import free_domain
    from support.ros import Graph

    # A node that an earlier test had in this process may still be seen, under the same name.
    monkeypatch.setenv("ROS_DOMAIN_ID", str(free_domain()))
    arguments = {"arm": "virtual", "page_port": "0", "demonstrations": str(tmp_path / "kept")}
    arguments |= {"directory": str(tmp_path / "page"), "usb": "false"}
    specs = {spec.name: spec for spec in system("teleop", arguments)}
    expected = {
        node: {kind: set(names) for kind, names in rules.items()}
        for node, rules in allowed().items()
    }
    person = expected.pop("operator")
    assert set(expected) == set(specs)
    for kind, names in of_real_arms().items():
        assert names <= expected["arm_bridge"][kind], (kind, names - expected["arm_bridge"][kind])

    with Graph() as graph, Processes(list(specs.values()), tmp_path / "logs") as processes:
        ask = graph.node

        def used(node):
            seen = zip(
                ("publish", "subscribe", "reply", "request"),
                (
                    ask.get_publisher_names_and_types_by_node,
                    ask.get_subscriber_names_and_types_by_node,
                    ask.get_service_names_and_types_by_node,
                    ask.get_client_names_and_types_by_node,
                ),
                strict=True,
            )
            return {kind: {name for name, _ in names(node, "/")} for kind, names in seen}

        def different():
            """What is used and not allowed, and the reverse; by node."""
            assert not processes.poll()
            there = {name for name, _ in ask.get_node_names_and_namespaces()}
            if not set(expected) <= there:
                return {"missing": set(expected) - there}
            found = {}
            for node in expected:
                for kind, names in used(node).items():
                    extra = of_real_arms().get(kind, set()) if node == "arm_bridge" else set()
                    apart = (names ^ expected[node][kind]) - extra
                    if apart or names - expected[node][kind]:
                        found[node, kind] = apart
            return found

        try:
            graph.until(lambda: not different(), "the graph to be as the policy allows")
        except AssertionError:
            assert different() == {}
        enclaves = {n: e for n, _, e in ask.get_node_names_and_namespaces_with_enclaves()}
        assert {name: enclaves[name] for name in specs} == {
            name: f"/dexndm/{name}" for name in specs
        }
        answered = set().union(*(rules["reply"] for rules in expected.values()))
        told = set().union(*(rules["publish"] for rules in expected.values()))
        assert person["request"] <= answered
        assert person["subscribe"] <= told
