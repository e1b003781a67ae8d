# SPDX-License-Identifier: Apache-2.0
"""What ends a loop early."""

from __future__ import annotations

__all__ = ["LoopError", "StepFailedError"]


class LoopError(ValueError):
    """Settings that no loop can use; one sentence says why and what to do."""


class StepFailedError(RuntimeError):
    """A step ended badly; the message says which, why, and which log to read."""
