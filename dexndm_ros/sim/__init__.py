# SPDX-License-Identifier: Apache-2.0
"""The virtual hand: its model and worlds, the emulated servo bus, the vectorised environment."""
