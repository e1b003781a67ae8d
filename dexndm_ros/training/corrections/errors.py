# SPDX-License-Identifier: Apache-2.0
"""The errors of learned corrections."""

from __future__ import annotations

__all__ = ["CorrectionError", "CorrectionStoppedError"]


class CorrectionError(RuntimeError):
    """Data or a run that cannot be used; the message says what is wrong and what to do."""


class CorrectionStoppedError(RuntimeError):
    """The run was asked to stop; the same command goes on."""
