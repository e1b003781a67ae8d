# SPDX-License-Identifier: Apache-2.0
"""A bag's topics, played back as recorded: ``ros2 launch dexndm_ros bag_replay.launch.py --show-args``."""

from launch import LaunchDescription

from dexndm_ros.launching import launch_description


def generate_launch_description() -> LaunchDescription:
    return launch_description("bag_replay")
