# SPDX-License-Identifier: Apache-2.0
"""What datasets of motion are like: overlap of histories, corrections, coupling of joints, smoothness."""
