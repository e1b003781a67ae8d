# SPDX-License-Identifier: Apache-2.0
"""Jobs that are asked to end save their state first."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["asked_to_stop"]


@contextmanager
def asked_to_stop() -> Iterator[Callable[[], bool]]:
    """While it lasts, SIGINT and SIGTERM are a wish that can be asked for, not an end."""
    asked = False

    def note(*_: object) -> None:
        nonlocal asked
        asked = True

    before = {}
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            before[number] = signal.signal(number, note)
        except ValueError:  # not the main thread: whoever runs us deals with signals
            break
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
