# SPDX-License-Identifier: Apache-2.0
"""What can be wrong with a dataset, in words."""

from __future__ import annotations

__all__ = ["DatasetError", "DatasetWriteError"]


class DatasetError(ValueError):
    """A dataset, or a file of one, that cannot be read or added to; the message says why and what to do."""


class DatasetWriteError(RuntimeError):
    """The disk refuses; the message names the file and says what is kept."""
