# SPDX-License-Identifier: Apache-2.0
"""Collects the stretches of a bag and gives out episodes as they become whole: memory is that of one episode."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from dexndm_ros.datasets.align import Ticks
from dexndm_ros.datasets.config import ConvertConfig
from dexndm_ros.datasets.cut import (
    each_once,
    foreign_ticks,
    policy_groups,
    policy_ticks,
    replay_groups,
    replay_ticks,
)
from dexndm_ros.datasets.tables import Table, concat, rows, size

__all__ = ["Assembler", "Cut"]

_MARGIN_NS = 2_000_000_000
"""Kept before the beginning of an episode that is not whole yet."""
_SLOW = ("health", "wrist")
"""Topics whose newest message counts, however old."""


@dataclass(frozen=True)
class Cut:
    """An episode before its states were matched.

    Attributes:
        kind: "replay", "policy" or "joint_state".
        ticks: what was decided.
        doubled: messages of ticks that were in the bag twice.
        rows: the messages that the ticks are from, each once.
        tables: all streams of the bag around it, by role.
    """

    kind: str
    ticks: Ticks
    doubled: int
    rows: Table
    tables: Mapping[str, Table]


class Assembler:
    """Feeds on stretches.

    Args:
        config: lengths and rate.
        axis: rotation axis of the bag's trajectories; zeros when not known.
    """

    def __init__(self, config: ConvertConfig, axis: tuple[float, ...]) -> None:
        self._config = config
        self._axis = axis
        self._tables: dict[str, Table] = {}

    def feed(self, stretch: Mapping[str, Table], last: bool) -> Iterator[Cut]:
        """One more stretch of the bag.

        Args:
            stretch: tables by role.
            last: nothing follows: what is open is cut off here.
        """
        for role, table in stretch.items():
            before = self._tables.get(role)
            self._tables[role] = table if before is None else concat([before, table])
        open_from: list[int] = []
        for kind, role in (("replay", "step"), ("policy", "policy")):
            steps = self._tables.get(role)
            if steps is None or not size(steps):
                continue
            groups = (
                replay_groups(steps)
                if kind == "replay"
                else policy_groups(steps, self._config.max_episode_steps)
            )
            whole = groups if last else [g for g in groups if g.stop < size(steps)]
            for group in whole:
                yield self._cut(kind, rows(steps, group))
            done = whole[-1].stop if whole else 0
            self._tables[role] = rows(steps, slice(done, None))
            if done < size(steps):
                open_from.append(int(steps["log_ns"][done]))
        if "foreign_command" in self._tables:
            yield from self._foreign(last)
        elif not last:
            self._forget(min(open_from, default=self._newest()))

    def _cut(self, kind: str, steps: Table) -> Cut:
        commands, states = self._tables.get("command"), self._tables.get("state")
        steps, doubled = each_once(steps, "step" if kind == "replay" else "seq")
        ticks = (
            replay_ticks(steps, self._axis, commands, states)
            if kind == "replay"
            else policy_ticks(steps, commands, states)
        )
        return Cut(kind, ticks, doubled, steps, dict(self._tables))

    def _foreign(self, last: bool) -> Iterator[Cut]:
        mapping = self._config.mapping
        assert mapping is not None
        length_ns = int(mapping.episode_s * 1e9)
        while True:
            commands, states = (
                self._tables.get("foreign_command"),
                self._tables.get("foreign_state"),
            )
            if commands is None or states is None or not size(commands) or not size(states):
                return
            begin = max(int(commands["stamp_ns"][0]), int(states["stamp_ns"][0]))
            end = min(int(commands["stamp_ns"][-1]), int(states["stamp_ns"][-1]))
            whole = end - begin >= length_ns
            if not whole and not last:
                return
            until = begin + length_ns - round(1e9 / self._config.rate_hz)
            ticks = foreign_ticks(
                commands, states, self._config.rate_hz, mapping.axis, until if whole else None
            )
            if len(ticks):
                yield Cut("joint_state", ticks, 0, {}, dict(self._tables))
            if not whole:
                return
            for role in ("foreign_command", "foreign_state"):
                table = self._tables[role]
                # The command in force at the next episode's beginning is the newest before it.
                keep = max(0, int(np.searchsorted(table["stamp_ns"], begin + length_ns)) - 1)
                held = dict(rows(table, slice(keep, None)))
                if role == "foreign_command" and size(held):
                    held["stamp_ns"] = np.maximum(held["stamp_ns"], begin + length_ns)
                self._tables[role] = held

    def _newest(self) -> int:
        return max((int(t["log_ns"][-1]) for t in self._tables.values() if size(t)), default=0)

    def _forget(self, before_ns: int) -> None:
        """Leave out what no open episode needs."""
        for role, table in self._tables.items():
            if role in ("step", "policy") or not size(table):
                continue
            old = table["log_ns"] < before_ns - _MARGIN_NS
            if role in _SLOW:
                old[-1] = False
            if old.any():
                self._tables[role] = rows(table, ~old)
