# SPDX-License-Identifier: Apache-2.0
"""Learned dynamics of the hand: what each joint does next, from its own history, its finger's or the hand's."""
