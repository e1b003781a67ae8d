# SPDX-License-Identifier: Apache-2.0
"""What keeps a collection from beginning."""

from __future__ import annotations

__all__ = ["RefusedError"]


class RefusedError(ValueError):
    """Nothing was started, nothing has moved; one sentence says why and what to do."""
