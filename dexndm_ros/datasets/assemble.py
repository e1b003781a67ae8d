# SPDX-License-Identifier: Apache-2.0
"""Collects the stretches of a bag and gives out episodes as they become whole: memory is that of one episode."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dexndm_ros.datasets.align import Ticks
from dexndm_ros.datasets.config import ConvertConfig
from dexndm_ros.datasets.cut import (
    demonstration_groups,
    each_once,
    idle_at_begin,
    policy_groups,
    policy_ticks,
    replay_groups,
    replay_ticks,
)
from dexndm_ros.datasets.demonstration_streams import KIND, ROLES
from dexndm_ros.datasets.episode import Finding
from dexndm_ros.datasets.foreign_cut import ForeignCutter
from dexndm_ros.datasets.quality import finding
from dexndm_ros.datasets.tables import Table, concat, rows, size

__all__ = ["Assembler", "Cut"]

_MARGIN_NS = 2_000_000_000
"""Kept before the beginning of an episode that is not whole yet."""
_SILENT_NS = 5_000_000_000
"""Without a tick for so long a run is over."""
_SLOW = ("health", "wrist", *ROLES)
"""Topics whose newest message counts, however old."""


@dataclass(frozen=True)
class Cut:
    """An episode before its states were matched.

    Attributes:
        kind: "replay", "policy", "demonstration" or "joint_state".
        ticks: what was decided.
        doubled: messages of ticks that were in the bag twice.
        rows: the messages that the ticks are from, each once.
        tables: all streams of the bag around it, by role.
        findings: of cutting.
    """

    kind: str
    ticks: Ticks
    doubled: int
    rows: Table
    tables: Mapping[str, Table]
    findings: tuple[Finding, ...] = ()


class Assembler:
    """Feeds on stretches.

    Args:
        config: lengths and rate.
        axis: rotation axis of the bag's trajectories; zeros when not known.
        foreign: the bag is another driver's.
    """

    def __init__(self, config: ConvertConfig, axis: tuple[float, ...], foreign: bool) -> None:
        self._config = config
        self._axis = axis
        self._tables: dict[str, Table] = {}
        self._foreign = ForeignCutter(config) if foreign else None

    def feed(self, stretch: Mapping[str, Table], last: bool) -> Iterator[Cut]:
        """One more stretch of the bag.

        Args:
            stretch: tables by role.
            last: nothing follows: what is open is cut off here.
        """
        if self._foreign is not None:
            for found in self._foreign.feed(stretch, last):
                yield Cut("joint_state", found.ticks, 0, {}, found.tables, found.findings)
            return
        for role, table in stretch.items():
            before = self._tables.get(role)
            self._tables[role] = table if before is None else concat([before, table])
        open_from: list[int] = []
        kinds = (("replay", "step"), ("policy", "policy"))
        for kind, role in ((KIND, "policy"),) if self._config.demonstrations else kinds:
            steps = self._tables.get(role)
            if steps is None or not size(steps):
                continue
            groups = self._groups(kind, steps)
            # One that was left in its middle is not waited for: the hand may stand for the rest of the night.
            silent = self._newest() - int(steps["log_ns"][-1]) > _SILENT_NS
            whole = groups if last or silent else [g for g in groups if g.stop < size(steps)]
            for group in whole:
                yield self._cut(kind, rows(steps, group))
            done = size(steps) if last or silent else whole[-1].stop if whole else 0
            self._tables[role] = rows(steps, slice(done, None))
            if done < size(steps):
                open_from.append(int(steps["log_ns"][done]))
        if not last:
            self._forget(min(open_from, default=self._newest()))

    def _groups(self, kind: str, steps: Table) -> list[slice]:
        if kind == "replay":
            return replay_groups(steps)
        cut = demonstration_groups if kind == KIND else policy_groups
        return cut(steps, self._config.max_episode_steps)

    def _cut(self, kind: str, steps: Table) -> Cut:
        commands, states = self._tables.get("command"), self._tables.get("state")
        steps, doubled = each_once(steps, "step" if kind == "replay" else "seq")
        findings: tuple[Finding, ...] = ()
        if kind == KIND:
            idle = idle_at_begin(steps, states, self._tables.get("arm_command"))
            steps = rows(steps, slice(idle, None))
            text = f"ticks before the hand followed and the arm was told where to be: {idle}"
            findings = (finding("late_start", idle, "noted", text),) if idle else ()
        ticks = (
            replay_ticks(steps, self._axis, commands, states)
            if kind == "replay"
            else policy_ticks(steps, commands, states)
        )
        return Cut(kind, ticks, doubled, steps, dict(self._tables), findings)

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
