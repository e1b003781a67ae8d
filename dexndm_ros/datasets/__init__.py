# SPDX-License-Identifier: Apache-2.0
"""Datasets: bags in, episodes aligned and checked, LeRobot v3.0 out; and windows of it for training."""
