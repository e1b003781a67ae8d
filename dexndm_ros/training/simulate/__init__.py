# SPDX-License-Identifier: Apache-2.0
"""Simulated data at full size: rollouts of policies and replays of trajectories, written as datasets."""
