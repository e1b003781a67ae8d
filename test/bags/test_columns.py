# SPDX-License-Identifier: Apache-2.0
"""Columns say what rosbags' own decoder says, of any type and of any messages."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rosbags.interfaces import Nodetype

from dexndm_ros.bags.columns import ColumnError, columns
from dexndm_ros.bags.types import RawBatch, TopicInfo
from dexndm_ros.recording.definitions import definition, typestore
from support.golden import same

TYPES = {
    "dexndm_msgs/msg/HandState": ["header.stamp", "header.frame_id", "seq", "position", "command_source", "command",
                                  "mode", "monotonic_ns", "arrived_s"],
    "dexndm_msgs/msg/HandCommand": ["header.stamp", "seq", "position", "source"],
    "dexndm_msgs/msg/PolicyStep": ["seq", "axis", "wrist", "base_action", "target", "inference_ms", "stopped"],
    "dexndm_msgs/msg/ReplayStep": ["campaign", "trajectory", "seed", "clean_target", "noise", "command_seq"],
    "sensor_msgs/msg/JointState": ["header.stamp", "name", "position", "velocity", "effort"],
    "geometry_msgs/msg/PoseStamped": ["header.frame_id", "pose", "pose.position", "pose.orientation",
                                      "pose.position.y"],
    "geometry_msgs/msg/Polygon": ["points"],
    "std_msgs/msg/Float64MultiArray": ["layout.data_offset", "data"],
    "sensor_msgs/msg/BatteryState": ["voltage", "cell_voltage", "present", "location", "serial_number"],
    "sensor_msgs/msg/CameraInfo": ["height", "d", "k", "p", "roi.do_rectify"],
    "trajectory_msgs/msg/JointTrajectory": ["header.stamp", "joint_names"],
    "builtin_interfaces/msg/Time": ["sec", "nanosec"],
}  # fmt: skip
RANGES = {
    "int8": (-(2**7), 2**7 - 1), "uint8": (0, 2**8 - 1), "byte": (0, 255), "char": (0, 255),
    "int16": (-(2**15), 2**15 - 1), "uint16": (0, 2**16 - 1), "int32": (-(2**31), 2**31 - 1),
    "uint32": (0, 2**32 - 1), "int64": (-(2**63), 2**63 - 1), "uint64": (0, 2**64 - 1),
}  # fmt: skip
NAMES = {"byte": "uint8", "char": "uint8", "bool": "bool"}
TEXT = st.text(st.characters(min_codepoint=1, exclude_categories=("Cs",)), max_size=6)


def batch_of(kind: str, messages: list[bytes]) -> RawBatch:
    """Messages with some bytes between them."""
    size = np.array([len(each) for each in messages], np.int64)
    gap = np.arange(len(messages), dtype=np.int64) % 5
    begin = np.cumsum(size + gap) - size
    buffer = np.zeros(int((size + gap).sum()), np.uint8)
    for at, data in zip(begin.tolist(), messages, strict=True):
        buffer[at : at + len(data)] = np.frombuffer(data, np.uint8)
    zeros = np.zeros(len(messages), np.int64)
    return RawBatch("/t", kind, zeros, zeros, zeros, begin, size, buffer)


def scalar(draw: st.DrawFn, kind: str) -> Any:
    if kind == "string":
        return draw(TEXT)
    if kind == "bool":
        return draw(st.booleans())
    if kind.startswith("float"):
        return draw(st.floats(width=int(kind[5:]), allow_nan=False))
    return draw(st.integers(*RANGES[kind]))


def value(draw: st.DrawFn, desc: Any, longest: int) -> Any:
    node, inside = desc
    if node == Nodetype.BASE:
        return scalar(draw, inside[0])
    if node == Nodetype.NAME:
        return message(draw, inside, longest)
    sub, count = inside
    if node == Nodetype.SEQUENCE:
        count = draw(st.integers(0, longest))
    values = [value(draw, sub, longest) for _ in range(count)]
    if sub[0] == Nodetype.BASE and sub[1][0] != "string":
        return np.array(values, NAMES.get(sub[1][0], sub[1][0]))
    return values


def message(draw: st.DrawFn, kind: str, longest: int) -> Any:
    store = typestore()
    cls = store.types[kind]
    fields = dict(store.get_msgdef(kind).fields)
    given_fields = {
        field.name: value(draw, fields[field.name], longest)
        for field in dataclasses.fields(cls)
        if field.name in fields
    }
    return cls(**given_fields)


@st.composite
def some_messages(draw: st.DrawFn) -> tuple[str, list[Any], list[bytes]]:
    kind = draw(st.sampled_from(sorted(TYPES)))
    definition(kind)
    store = typestore()
    different = [message(draw, kind, 3) for _ in range(draw(st.integers(1, 4)))]
    chosen = draw(st.lists(st.sampled_from(range(len(different))), min_size=1, max_size=12))
    little = draw(st.booleans())
    objects = [different[each] for each in chosen]
    return (
        kind,
        objects,
        [bytes(store.serialize_cdr(each, kind, little_endian=little)) for each in objects],
    )


def expected(each: Any, path: str) -> Any:
    for part in path.split("."):
        each = getattr(each, part)
    if hasattr(each, "nanosec"):
        return each.sec * 1_000_000_000 + each.nanosec
    if dataclasses.is_dataclass(each):
        return np.concatenate([np.atleast_1d(expected(each, f.name)) for f in dataclasses.fields(each)
                               if not f.name.startswith("__")])  # fmt: skip
    if isinstance(each, list) and each and dataclasses.is_dataclass(each[0]):
        return np.array([[point.x, point.y, point.z] for point in each])
    return each


@given(some_messages())
def test_every_column_is_what_rosbags_decodes(case):
    kind, objects, raw = case
    found = columns(batch_of(kind, raw), definition(kind).text, TYPES[kind])
    assert found.rows.tolist() == list(range(len(raw)))
    assert (found.bad.tolist(), found.why) == ([], "")
    assert list(found) == TYPES[kind]
    for path, column in found.items():
        want = [expected(each, path) for each in objects]
        if isinstance(column, list):
            column = column * len(want) if len(column) == 1 else column
            assert column == [tuple(each) for each in want]
            continue
        assert len(column) == len(want)
        for got, one in zip(column, want, strict=True):
            if isinstance(one, list) and not one:
                assert len(got) == 0
            elif isinstance(one, str):
                assert got == one.rstrip("\0")
            else:
                assert same(got, one), path


def joint_states(rows: list[tuple[list[str], int]]) -> list[bytes]:
    store = typestore()
    header = store.types["std_msgs/msg/Header"](
        store.types["builtin_interfaces/msg/Time"](1, 2), ""
    )
    cls = store.types["sensor_msgs/msg/JointState"]
    empty = np.empty(0)
    messages = [cls(header, names, np.arange(count) * 1.0, empty, empty) for names, count in rows]
    return [bytes(store.serialize_cdr(each, "sensor_msgs/msg/JointState")) for each in messages]


def test_names_that_change_and_rows_of_other_lengths():
    rows = [(["a", "b"], 2), (["b", "a"], 2), (["a", "b"], 2), (["a", "b", "c"], 3), ([], 0)]
    batch = batch_of("sensor_msgs/msg/JointState", joint_states(rows))
    found = columns(batch, "", ["name", "position", "effort"])
    assert found["name"] == [tuple(names) for names, _ in rows]
    assert found["position"].dtype == object
    assert [len(row) for row in found["position"]] == [2, 2, 2, 3, 0]
    assert found["effort"].shape == (5, 0)


def test_hundreds_of_layouts():
    rows = [(["x" * (k % 90)], 1 + k % 3) for k in range(400)]
    found = columns(batch_of("sensor_msgs/msg/JointState", joint_states(rows)), "", ["name"])
    assert found["name"] == [tuple(names) for names, _ in rows]


@pytest.mark.parametrize("count", [20, 600])
def test_rows_of_one_size_whose_length_words_differ(count):
    odd = {3: ["ab", "c"], count - 2: ["ab", "c"], 7: ["b", "ad"]}
    rows = [(odd.get(k, ["a", "bc"]), 2) for k in range(count)]
    raw = joint_states(rows)
    raw[5] = raw[5][:-8]
    found = columns(batch_of("sensor_msgs/msg/JointState", raw), "", ["name", "position"])
    assert found.bad.tolist() == [5]
    assert found["name"] == [tuple(names) for k, (names, _) in enumerate(rows) if k != 5]
    assert found["position"].tolist() == [[0.0, 1.0]] * (count - 1)


def test_messages_that_are_all_bad_in_one_way():
    raw = [each[:-4] for each in joint_states([(["a", "b"], 2)] * 300)]
    found = columns(batch_of("sensor_msgs/msg/JointState", raw), "", ["position", "name"])
    assert found.bad.tolist() == list(range(300))
    assert found["position"].shape[0] == 0
    assert "too few" in found.why


def test_long_texts():
    store = typestore()
    cls = store.types["std_msgs/msg/String"]
    texts = ["a", "b" * 5000, "c" * 5000, "b" * 5000]
    raw = [bytes(store.serialize_cdr(cls(text), "std_msgs/msg/String")) for text in texts]
    assert columns(batch_of("std_msgs/msg/String", raw), "", ["data"])["data"].tolist() == texts
    same_twice = columns(batch_of("std_msgs/msg/String", [raw[1], raw[3]]), "", ["data"])["data"]
    assert same_twice.tolist() == [texts[1]] * 2


def test_bytes_that_are_no_such_message_are_left_out_and_told():
    good = joint_states([(["a"], 1)] * 6)
    raw = [
        good[0],
        b"",
        good[1][:-9],
        b"\x00\x07" + good[2][2:],
        good[3],
        b"\x00\x01\x00\x00" + b"\xff" * 60,
    ]
    found = columns(batch_of("sensor_msgs/msg/JointState", raw), "", ["position"])
    assert found.rows.tolist() == [0, 4]
    assert found.bad.tolist() == [1, 2, 3, 5]
    assert found["position"].tolist() == [[0.0], [0.0]]
    assert "0 bytes" in found.why


@given(st.lists(st.binary(max_size=80), max_size=8))
def test_arbitrary_bytes_raise_nothing(raw):
    for kind in ("sensor_msgs/msg/JointState", "diagnostic_msgs/msg/DiagnosticArray"):
        found = columns(batch_of(kind, raw), "", ["header.stamp"])
        assert len(found.rows) + len(found.bad) == len(raw)
        assert len(found["header.stamp"]) == len(found.rows)


def test_no_rows_have_columns_all_the_same():
    found = columns(
        batch_of("dexndm_msgs/msg/HandState", []),
        "",
        ["position", "seq", "header.stamp", "header.frame_id"],
    )
    assert found["position"].shape == (0, 16)
    assert (found["seq"].dtype, found["header.stamp"].dtype) == (np.uint64, np.int64)


def test_fields_that_are_not_there():
    batch = batch_of("sensor_msgs/msg/JointState", joint_states([(["a"], 1)]))
    assert list(columns(batch, "", ["position", "torque?", "header.seq?"])) == ["position"]
    with pytest.raises(
        ColumnError, match=r"has no field 'torque'.*has header, name, position, velocity, effort"
    ):
        columns(batch, "", ["torque"])
    with pytest.raises(ColumnError, match=r"has no field 'header\.seq'"):
        columns(batch, "", ["header.seq"])
    with pytest.raises(ColumnError, match="several kinds"):
        columns(batch, "", ["header"])


def test_definitions_that_cannot_be_had():
    batch = batch_of("acme_msgs/msg/Gripper", [b"\x00\x01\x00\x00"])
    with pytest.raises(ColumnError, match="does not define acme_msgs/msg/Gripper"):
        columns(batch, TopicInfo("/t", "acme_msgs/msg/Gripper"), ["x"])
    with pytest.raises(ColumnError, match="cannot be read"):
        columns(batch, "float64 [x", ["x"])


def test_definitions_in_idl():
    line = "=" * 80 + "\n"
    inner = "module acme_msgs { module msg { struct Pair { double left; double right; }; }; };\n"
    outer = (
        "module acme_msgs { module msg { struct Grip { uint64 seq; acme_msgs::msg::Pair pair; "
        "double force[3]; sequence<string> names; }; }; };\n"
    )
    raw = b"\x00\x01\x00\x00" + np.array([7], "<u8").tobytes() + np.arange(5.0).tobytes() + bytes(4)
    batch = batch_of("acme_msgs/msg/Grip", [raw])
    for text in (
        f"{line}IDL: acme_msgs/msg/Grip\n{outer}{line}IDL: acme_msgs/msg/Pair\n{inner}",
        inner + outer,
    ):
        found = columns(batch, text, ["seq", "pair", "force", "names"])
        assert (found["seq"].tolist(), found["names"]) == ([7], [()])
        assert (found["pair"].tolist(), found["force"].tolist()) == ([[0, 1]], [[2, 3, 4]])


def test_the_bags_own_definition_counts():
    """Older messages have fewer fields than today's."""
    batch = batch_of("dexndm_msgs/msg/HandCommand", [b"\x00\x01\x00\x00" + np.uint64(5).tobytes()])
    found = columns(batch, "uint64 seq\n", ["seq", "position?"])
    assert found["seq"].tolist() == [5]
    assert list(found) == ["seq"]
