# SPDX-License-Identifier: Apache-2.0
"""An operator moves an arm with a hand: ``ros2 launch dexndm_ros teleop.launch.py --show-args``."""

from launch import LaunchDescription

from dexndm_ros.launching import launch_description


def generate_launch_description() -> LaunchDescription:
    return launch_description("teleop")
