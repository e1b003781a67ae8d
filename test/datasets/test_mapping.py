# SPDX-License-Identifier: Apache-2.0
"""Mapping files: what is allowed, and what is said about the rest."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexndm_ros.datasets.config import ConfigError, ConvertConfig, Limits
from dexndm_ros.datasets.mapping import MappingError, TopicMapping
from dexndm_ros.hand.joints import JOINT_NAMES

GOOD = {"state": {"topic": "/joint_states"}, "command": {"topic": "/cmd"}}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"state": None}, "state"),
        ({"state": {}}, "topic"),
        ({"state": {"topic": ""}}, "topic"),
        ({"state": {"topic": "/a", "effort": "torque"}}, "current_a"),
        ({"unit": "degrees"}, "deg"),
        ({"order": "alphabetical"}, "menagerie"),
        ({"joints": {"a": "thumb"}}, JOINT_NAMES[0]),
        ({"joints": ["a"]}, "their name"),
        ({"offset_rad": [1.0, 2.0]}, "16"),
        ({"offset_rad": float("nan")}, "16"),
        ({"offset_rad": "pi"}, "16"),
        ({"wrist": "sideways"}, "palm_up"),
        ({"axis": "w"}, "+x"),
        ({"episode_s": 0}, "above 0"),
        ({"episode_s": True}, "above 0"),
        ({"speed": 3}, "speed"),
    ],
)
def test_a_value_that_is_not_allowed_is_named_with_what_is(change, told) -> None:
    with pytest.raises(MappingError) as error:
        TopicMapping.parse({**GOOD, **change})
    assert told in str(error.value)


def test_a_file_is_named_in_the_message(tmp_path: Path) -> None:
    path = tmp_path / "leap.yaml"
    path.write_text("state: [", encoding="utf-8")
    with pytest.raises(MappingError, match=r"leap\.yaml is no YAML"):
        TopicMapping.load(path)
    path.write_text("just words", encoding="utf-8")
    with pytest.raises(MappingError, match=r"leap\.yaml: the file is 'just words'"):
        TopicMapping.load(path)


@given(st.permutations(range(16)))
def test_joints_are_found_by_name_whatever_their_order(order) -> None:
    mapping = TopicMapping.parse(GOOD)
    names = tuple(JOINT_NAMES[k] for k in order)
    found = mapping.columns_of(names, "the bag")
    assert [names[k] for k in found] == list(JOINT_NAMES)


def test_a_joint_twice_or_not_at_all_is_refused() -> None:
    mapping = TopicMapping.parse({**GOOD, "joints": {"extra": JOINT_NAMES[0]}})
    with pytest.raises(MappingError, match="more than one joint"):
        mapping.columns_of((*JOINT_NAMES, "extra"), "the bag")
    with pytest.raises(MappingError, match=JOINT_NAMES[3]):
        mapping.columns_of(JOINT_NAMES[:3], "the bag")


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigError, match="max_age_s"):
        Limits(max_age_s=-1.0)
    with pytest.raises(ConfigError, match="stuck_ticks"):
        Limits(stuck_ticks=True)
    with pytest.raises(ConfigError, match="rate_hz"):
        ConvertConfig(rate_hz=0)
    with pytest.raises(ConfigError, match="belong together"):
        ConvertConfig(library_sha256="ab")


def test_a_mapping_changes_the_name_of_a_configuration() -> None:
    one = ConvertConfig(mapping=TopicMapping.parse(GOOD))
    other = ConvertConfig(mapping=TopicMapping.parse({**GOOD, "wrist": "palm_up"}))
    assert len({one.hash, other.hash, ConvertConfig().hash}) == 3
