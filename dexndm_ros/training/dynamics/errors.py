# SPDX-License-Identifier: Apache-2.0
"""What can be wrong with a dynamics model or its training, in words."""

from __future__ import annotations

__all__ = ["DynamicsError"]


class DynamicsError(RuntimeError):
    """A run, a model file or data that cannot be used; the message says why and what to do."""
