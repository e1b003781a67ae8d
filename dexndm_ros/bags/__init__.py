# SPDX-License-Identifier: Apache-2.0
"""Bags of any kind, read by columns: rosbag2 MCAP and SQLite, compressed, split, torn. No ROS is needed."""
