# SPDX-License-Identifier: Apache-2.0
"""The driver of one LEAP hand, real or virtual: ``ros2 launch dexndm_ros leap_hand.launch.py --show-args``."""

from launch import LaunchDescription

from dexndm_ros.launching import launch_description


def generate_launch_description() -> LaunchDescription:
    return launch_description("leap_hand")
