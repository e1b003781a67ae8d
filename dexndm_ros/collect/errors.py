# SPDX-License-Identifier: Apache-2.0
"""What ends a collection early, or keeps it from beginning."""

from __future__ import annotations

__all__ = ["CollectError", "RefusedError"]


class CollectError(RuntimeError):
    """The collection cannot go on; one sentence says why and what to do."""


class RefusedError(ValueError):
    """Nothing was started, nothing has moved; one sentence says why and what to do."""
