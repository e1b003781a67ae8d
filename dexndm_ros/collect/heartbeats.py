# SPDX-License-Identifier: Apache-2.0
"""Finds processes that live and do nothing: those who tell their state all the time, and have stopped.

Pure: names, process ids and times come in. One that ends is started again; one that hangs must be ended first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

__all__ = ["HeartbeatLimits", "Heartbeats"]


@dataclass(frozen=True)
class HeartbeatLimits:
    """How long a process may be silent.

    Attributes:
        first_s: from its start to its first word.
        silent_s: from then on. Nodes that are well speak once a second; on a machine short of memory they
            may be kept from it for long.
    """

    first_s: float = 180.0
    silent_s: float = 60.0


class Heartbeats:
    """When each process was last heard, life by life.

    Args:
        names: who is listened to.
        limits: how long they may be silent.
        patient: who of them may take any time to their first word: a driver waits for its hand.
    """

    def __init__(
        self,
        names: Iterable[str],
        limits: HeartbeatLimits = HeartbeatLimits(),
        patient: Iterable[str] = (),
    ) -> None:
        self._limits = limits
        self._patient = frozenset(patient)
        self._lives: dict[str, tuple[int, float]] = {}
        self._heard_s: dict[str, float] = {}
        self._names = tuple(names)

    def heard(self, name: str, now_s: float) -> None:
        """A process said something; may be called from another thread."""
        self._heard_s[name] = now_s

    def frozen(self, pids: Mapping[str, int], now_s: float) -> list[str]:
        """Who lives and has been silent for too long; each is named once for each of its lives.

        Args:
            pids: process ids of those that live, by name.
            now_s: monotonic time.
        """
        found = []
        for name in self._names:
            if name not in pids:
                continue
            pid, since_s = self._lives.get(name, (0, now_s))
            if pid != pids[name]:
                self._lives[name] = (pids[name], now_s)
                self._heard_s.pop(name, None)
                continue
            heard_s = self._heard_s.get(name)
            if heard_s is None and name in self._patient:
                continue
            limit_s = self._limits.first_s if heard_s is None else self._limits.silent_s
            if now_s - max(since_s, heard_s or since_s) > limit_s:
                self._lives[name] = (pid, float("inf"))
                found.append(name)
        return found
