# SPDX-License-Identifier: Apache-2.0
"""System identification: which gains, friction, inertia, torque and delay make the simulator move as a hand moved."""
