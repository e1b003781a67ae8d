# SPDX-License-Identifier: Apache-2.0
"""Shapes made of convex pieces: what is trained on, and a family that nothing is trained on."""
