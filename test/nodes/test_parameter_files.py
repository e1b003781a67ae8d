# SPDX-License-Identifier: Apache-2.0
"""config/<node>.yaml says what each parameter means, and its values are the node's defaults."""

import pytest
import yaml

pytest.importorskip("rclpy")
pytest.importorskip("dexndm_msgs")

from dexndm_ros.nodes import (
    _driver_settings,
    _quest_settings,
    _replay_io,
    _rotation_policy_io,
    arm_bridge,
    bag_replay,
    dashboard,
    episode_recorder,
    virtual_arm,
    virtual_leap_hand,
)
from dexndm_ros.paths import share_dir

DECLARED = {
    "arm_bridge": arm_bridge.PARAMETERS,
    "bag_replay": bag_replay.PARAMETERS,
    "chaos_box_replay": _replay_io.PARAMETERS,
    "dashboard": dashboard.PARAMETERS,
    "episode_recorder": episode_recorder.PARAMETERS,
    "leap_hand_driver": _driver_settings.PARAMETERS,
    "quest_bridge": _quest_settings.PARAMETERS,
    "rotation_policy": _rotation_policy_io.PARAMETERS,
    "virtual_arm": virtual_arm.PARAMETERS,
    "virtual_leap_hand": virtual_leap_hand.PARAMETERS,
}


def flat(mapping, prefix=""):
    for key, value in mapping.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


@pytest.mark.parametrize("node", DECLARED)
def test_the_file_holds_every_parameter_with_its_default(node):
    content = yaml.safe_load((share_dir() / "config" / f"{node}.yaml").read_text())
    values = dict(flat(content[f"/**/{node}"]["ros__parameters"]))
    assert values == {name: default for name, default, _ in DECLARED[node]}
