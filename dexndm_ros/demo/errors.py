# SPDX-License-Identifier: Apache-2.0
"""What ends a demo early."""

from __future__ import annotations

__all__ = ["DemoError"]


class DemoError(RuntimeError):
    """The demo cannot go on, or its report cannot be made; one sentence says why and what to do."""
