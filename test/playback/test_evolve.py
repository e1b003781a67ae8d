# SPDX-License-Identifier: Apache-2.0
"""Bags from before a type got new fields."""

from __future__ import annotations

import re

import pytest
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from dexndm_ros.bags.types import TopicInfo
from dexndm_ros.playback.evolve import evolution
from dexndm_ros.playback.player import PlaybackError
from dexndm_ros.recording.definitions import definition, typestore
from support.bags import STATE, hand_state


def earlier(drop: str = "", replace: tuple[str, str] = ("", "")) -> TopicInfo:
    """HandState without the fields that a pattern names, or with another field in the place of one."""
    now = definition(STATE.type)
    lines = [x for x in now.text.splitlines() if not (drop and re.match(drop, x))]
    text = "\n".join(lines).replace(*replace) if replace[0] else "\n".join(lines)
    return TopicInfo(STATE.name, STATE.type, text, "RIHS01_of_before")


def store_of(info: TopicInfo):
    store = get_typestore(Stores.EMPTY)
    store.register(get_types_from_msg(info.definition, info.type))
    return store


def test_new_fields_are_empty_and_all_others_are_kept() -> None:
    info = earlier(drop=r"uint64 monotonic_ns|float64 (decided|arrived)_s|string command_source")
    store, now = store_of(info), typestore()
    whole = now.deserialize_cdr(hand_state(7), info.type)
    names = [name for name, _ in store.fielddefs[info.type][1]]
    values = {name: getattr(whole, name) for name in names}
    header = store.types["std_msgs/msg/Header"](
        store.types["builtin_interfaces/msg/Time"](7, 0), "palm"
    )
    data = store.serialize_cdr(store.types[info.type](**{**values, "header": header}), info.type)

    found = evolution(info)
    assert found is not None
    assert "monotonic_ns" in found.text and "command_source" in found.text
    got = now.deserialize_cdr(found.convert(bytes(data)), info.type)
    assert (got.seq, got.command_seq, got.mode) == (whole.seq, whole.command_seq, whole.mode)
    assert got.position.tolist() == whole.position.tolist()
    assert got.header.frame_id == "palm"
    assert (got.monotonic_ns, got.decided_s, got.command_source) == (0, 0.0, "")


def test_todays_type_is_played_as_it_is_and_one_without_a_hash_is_trusted() -> None:
    now = definition(STATE.type)
    assert evolution(TopicInfo(STATE.name, STATE.type, now.text, now.type_hash)) is None
    assert evolution(TopicInfo(STATE.name, STATE.type)) is None


@pytest.mark.parametrize(
    ("info", "words"),
    [
        (earlier(replace=("float64[16] position", "float32[16] position")), "position differ"),
        (earlier(replace=("uint8 mode ", "uint8 gone ")), "gone differ or are gone"),
        (earlier(replace=("uint32 nanosec", "uint64 nanosec")), "the bag's cannot be read"),
        (TopicInfo(STATE.name, STATE.type, "", "RIHS01_x"), "the bag does not say which"),
        (TopicInfo("/a", "no_such_msgs/msg/A", "", "RIHS01_x"), "cannot be compared"),
    ],
)
def test_what_does_not_fit_is_refused_and_says_why(info, words) -> None:
    with pytest.raises(PlaybackError, match=re.escape(words)):
        evolution(info)
