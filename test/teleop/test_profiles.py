# SPDX-License-Identifier: Apache-2.0
"""The shipped profiles load, and a file that cannot work is refused with its key."""

from __future__ import annotations

import math

import pytest

from dexndm_ros.paths import share_dir
from dexndm_ros.teleop.errors import SettingsError
from dexndm_ros.teleop.profiles import CommandKind, load_profile

SHIPPED = sorted(path.stem for path in (share_dir() / "config" / "teleop").glob("*.yaml"))


def test_the_four_controllers_have_a_profile() -> None:
    assert {"crisp", "fzi", "servo", "jtc"} <= set(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_profile_is_gentle_and_complete(name) -> None:
    profile = load_profile(name)
    assert profile.limits.speed_m_s <= 0.25
    assert profile.base_frame
    if name != "virtual":  # the only arm without anything to ask
        assert profile.controller.name or profile.controller.command_type_service
    joints = profile.command_topic.endswith("joint_trajectory")
    assert profile.command is (CommandKind.JOINTS if joints else CommandKind.POSE)


GOOD = "command: pose\ncommand_topic: target_pose\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "command is missing"),
        ("command: pose", "command_topic is missing"),
        ("- 1", "keys and values"),
        ("command: twist\ncommand_topic: t", "'twist' is none of pose, joints"),
        (GOOD + "speed: 1", "unknown key 'speed'"),
        (GOOD + "limits: {speed: 1}", "limits: unknown key 'speed'"),
        (GOOD + "limits: {speed_m_s: 2.0}", "limits: speed_m_s 2.0 is above 0.6"),
        (GOOD + "limits: {speed_m_s: .nan}", "finite"),
        (GOOD + "limits: {speed_m_s: true}", "expected float"),
        (GOOD + "limits: {box_lower_m: [0, 0]}", "expected 3 values"),
        (GOOD + "limits: {box_lower_m: 0}", "expected a list"),
        (GOOD + "limits: fast", "keys and values"),
        (GOOD + "rate_hz: 200", "period_s"),
        (GOOD + "lead_s: 0", "lead_s"),
        (GOOD + "base_frame: 3", "expected str"),
        (GOOD + "controller: {alone: 1}", "expected bool"),
        (GOOD + "controller: {types: [1]}", "expected str"),
        (GOOD + "controller: {error_clip_m: 0.05}", "leash_m"),
        (GOOD + "controller: {timeout_s: 0.02}", "timeout_s"),
        (GOOD + "controller: {tool_parameter: end_effector_frame}", "tool.frame must name"),
        (GOOD + "controller: {group_parameter: group}", "tool.frame must name"),
        ("command: pose\ncommand_topic: ''", "command_topic"),
        (GOOD + "tool: {rotation_xyzw: [0, 0, 0, 2]}", "unit quaternion"),
        ("{", "not valid YAML"),
    ],
)
def test_a_file_that_cannot_work_is_refused(tmp_path, text, words) -> None:
    file = tmp_path / "arm.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match=str(file)) as caught:
        load_profile(file)
    assert words in str(caught.value)


def test_an_own_file_may_narrow_what_it_wants(tmp_path) -> None:
    file = tmp_path / "arm.yaml"
    file.write_text(
        GOOD + "limits: {box_upper_m: [0.6, 0.2, 0.5], speed_m_s: 0.1, leash_rad: 0.1}",
        encoding="utf-8",
    )
    profile = load_profile(file)
    assert profile.limits.box_upper_m == (0.6, 0.2, 0.5)
    assert math.isclose(profile.limits.speed_m_s, 0.1)


def test_an_unknown_name_lists_the_shipped_ones() -> None:
    with pytest.raises(SettingsError, match="crisp, fzi"):
        load_profile("kuka")
