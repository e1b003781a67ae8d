# SPDX-License-Identifier: Apache-2.0
"""Teleoperation: what the operator's headset tells, and when and how the arm may follow it."""
