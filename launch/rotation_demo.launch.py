# SPDX-License-Identifier: Apache-2.0
"""A LEAP hand, real or virtual, rotates an object: ``ros2 launch dexndm_ros rotation_demo.launch.py --show-args``."""

from launch import LaunchDescription

from dexndm_ros.launching import launch_description


def generate_launch_description() -> LaunchDescription:
    return launch_description("rotation_demo")
