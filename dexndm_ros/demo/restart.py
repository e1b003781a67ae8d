# SPDX-License-Identifier: Apache-2.0
"""After a fall: hand the object over anew, so that the show goes on."""

from __future__ import annotations

from collections.abc import Callable

from dexndm_ros.demo.errors import DemoError
from dexndm_ros.demo.run import DemoRun

__all__ = ["FallWatch", "Trigger"]

Trigger = Callable[[str], str]
"""Calls a service by name; returns why it did not do it, empty = done."""

_LOOK_AT_IT_S = 1.0


class FallWatch:
    """Restarts object and policy once after each fall.

    Args:
        run: tells of falls.
        trigger: calls a service.
    """

    def __init__(self, run: DemoRun, trigger: Trigger) -> None:
        self._run = run
        self._trigger = trigger
        self._fell_s: float | None = None
        self._handled = 0

    def look(self, now_s: float) -> None:
        """Call it now and then.

        Args:
            now_s: monotonic time.

        Raises:
            DemoError: a service refused.
        """
        episode = self._run.episode
        if not self._run.fallen or episode == self._handled:
            self._fell_s = None
            return
        if self._fell_s is None:
            self._fell_s = now_s
        if now_s - self._fell_s < _LOOK_AT_IT_S:
            return
        self._handled = episode
        # The object first: the hand must not close on one that still lies there.
        for service in ("sim/reset", "policy/restart"):
            problem = self._trigger(service)
            if problem:
                raise DemoError(f"the object fell, and could not be handed over again: {problem}")
