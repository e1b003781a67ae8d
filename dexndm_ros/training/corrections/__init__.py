# SPDX-License-Identifier: Apache-2.0
"""Corrections of the simulator, learned from recorded motion by PPO: UAN and ASAP, the published alternatives."""
