# SPDX-License-Identifier: Apache-2.0
"""Behaviour cloning of oracles into a generalist: from shards of rollouts, and in rounds of its own (DAgger)."""
