# SPDX-License-Identifier: Apache-2.0
"""The error of system identification."""

from __future__ import annotations

__all__ = ["SysidError"]


class SysidError(ValueError):
    """An identification that cannot be done; the message says what is wrong and what to do."""
