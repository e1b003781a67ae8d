# SPDX-License-Identifier: Apache-2.0
"""A ROS 2 stack that lets a LEAP hand rotate objects and close its own reality gap."""

__version__ = "0.1.0"
