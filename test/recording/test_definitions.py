# SPDX-License-Identifier: Apache-2.0
"""Definitions parse to what they came from, and their hashes are the ones the middleware publishes."""

import importlib

import pytest
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from dexndm_ros.recording.definitions import (
    DefinitionError,
    definition,
    message_files,
    typestore,
)

TYPES = [
    *(f"dexndm_msgs/msg/{path.stem}" for path in message_files("dexndm_msgs")),
    "sensor_msgs/msg/JointState",
    "geometry_msgs/msg/PoseStamped",
    "geometry_msgs/msg/QuaternionStamped",
    "diagnostic_msgs/msg/DiagnosticArray",
]


@pytest.mark.parametrize("name", TYPES)
def test_the_text_alone_gives_the_type_and_its_hash_again(name):
    known = definition(name)
    store = get_typestore(Stores.EMPTY)
    store.register(get_types_from_msg(known.text, name))
    assert store.hash_rihs01(name) == known.type_hash
    assert store.fielddefs[name] == typestore().fielddefs[name]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("HandState", "package/msg/Name"),
        ("dexndm_msgs/srv/RecordEpisode", "package/msg/Name"),
        ("dexndm_msgs/msg/", "package/msg/Name"),
        ("dexndm_msgs/msg/NoSuch", "has no message NoSuch"),
        ("no_such_package/msg/X", "no messages of package no_such_package"),
    ],
)
def test_a_type_that_nobody_knows_is_refused(name, why):
    with pytest.raises(DefinitionError, match=why):
        definition(name)


def test_without_ros_the_checkouts_messages_are_found(monkeypatch):
    installed = {path.name for path in message_files("dexndm_msgs")}
    monkeypatch.delenv("AMENT_PREFIX_PATH", raising=False)
    found = message_files("dexndm_msgs")
    assert {path.name for path in found} == installed
    assert {path.parent.name for path in found} == {"msg"}
    assert message_files("sensor_msgs") == []


@pytest.mark.ros
def test_the_middleware_publishes_the_same_hashes():
    pytest.importorskip("rclpy")
    pytest.importorskip("dexndm_msgs")
    from support.ros import Graph

    with Graph() as graph:
        for name in TYPES:
            topic = "hash/" + name.rpartition("/")[2].lower()
            package, _, kind = name.split("/")
            message_type = getattr(importlib.import_module(f"{package}.msg"), kind)
            graph.publisher(message_type, topic)
            info = graph.until(
                lambda: graph.node.get_publishers_info_by_topic(f"/{topic}"),  # noqa: B023
                f"the publisher of {topic}",
            )
            assert info[0].topic_type == name
            assert str(info[0].topic_type_hash) == definition(name).type_hash
