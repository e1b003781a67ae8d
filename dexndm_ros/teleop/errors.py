# SPDX-License-Identifier: Apache-2.0
"""Errors of teleoperation: each says what was found and what mends it."""

from __future__ import annotations

__all__ = ["RecordingError", "SettingsError", "SourceError", "TeleopError"]


class TeleopError(Exception):
    """Base of every error that teleoperation raises on purpose."""


class SourceError(TeleopError):
    """A source of samples cannot be started."""


class RecordingError(TeleopError):
    """A recorded session cannot be read or written."""


class SettingsError(TeleopError):
    """A settings file says what cannot be."""
