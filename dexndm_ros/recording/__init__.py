# SPDX-License-Identifier: Apache-2.0
"""Bags: writing, reading and checking rosbag2 MCAP files, without ROS."""
