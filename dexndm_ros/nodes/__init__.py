# SPDX-License-Identifier: Apache-2.0
"""The rclpy nodes, one a file: parameters, topics, services, and a call into the rooms beside."""
