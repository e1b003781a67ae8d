# SPDX-License-Identifier: Apache-2.0
"""The LEAP hand: joint table, units, Dynamixel bus and the guard every command passes."""
