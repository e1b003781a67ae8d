# SPDX-License-Identifier: Apache-2.0
"""A hand in a box of balls collects data unattended: ``ros2 launch dexndm_ros chaos_box.launch.py --show-args``."""

from launch import LaunchDescription

from dexndm_ros.launching import launch_description


def generate_launch_description() -> LaunchDescription:
    return launch_description("chaos_box")
