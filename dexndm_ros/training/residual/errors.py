# SPDX-License-Identifier: Apache-2.0
"""What a residual job refuses."""

__all__ = ["ResidualError"]


class ResidualError(RuntimeError):
    """A residual that cannot be trained; the message says what it is and what to do."""
