# SPDX-License-Identifier: Apache-2.0
"""The residual job: a small correction of the base policy's targets, learned through a frozen dynamics model."""
