# SPDX-License-Identifier: Apache-2.0
"""The error of learned corrections."""

from __future__ import annotations

__all__ = ["CorrectionError"]


class CorrectionError(RuntimeError):
    """Data or a run that cannot be used; the message says what is wrong and what to do."""
