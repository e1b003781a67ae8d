# SPDX-License-Identifier: Apache-2.0
"""Episodes of a bag without ticks: stretches of commands and states whose clock runs on, cut into equal lengths."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.datasets.align import Ticks
from dexndm_ros.datasets.config import ConvertConfig
from dexndm_ros.datasets.cut import foreign_ticks
from dexndm_ros.datasets.episode import Finding
from dexndm_ros.datasets.quality import finding
from dexndm_ros.datasets.tables import Table, concat, rows, size

__all__ = ["ForeignCut", "ForeignCutter"]

_STATE, _COMMAND = "foreign_state", "foreign_command"
_PAUSE_NS = 2_000_000_000
"""Without a command for so long nobody commands the hand; an episode ends with the last one."""
_SAME_STEP_NS = 2_000_000_000
"""Both topics meet a step of the clock with their next message: so far apart, by the other clock, it is one step."""
_JUMP_NS = 1_000_000_000
"""Header time ahead of receive time by so much more than before is a step of the clock."""

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class ForeignCut:
    """One episode's ticks, the tables around them, and what was found on the way."""

    ticks: Ticks
    tables: Mapping[str, Table]
    findings: tuple[Finding, ...]


class ForeignCutter:
    """Feeds on stretches of both topics.

    Time is the headers', if they can be trusted: set, and of one clock on both topics. Else it is the time of receipt
    of both topics, and that is told. Where it falls or leaps, the bag is cut.

    Args:
        config: with its mapping.
    """

    def __init__(self, config: ConvertConfig) -> None:
        assert config.mapping is not None
        self._config = config
        self._mapping = config.mapping
        self._received: bool | None = None
        self._tables: dict[str, Table] = {}
        self._notes: list[Finding] = []

    def feed(self, stretch: Mapping[str, Table], last: bool) -> Iterator[ForeignCut]:
        """One more stretch; ``last``: nothing follows."""
        for role in (_STATE, _COMMAND):
            if role in stretch:
                before = self._tables.get(role)
                self._tables[role] = (
                    stretch[role] if before is None else concat([before, stretch[role]])
                )
        if len(self._tables) < 2 or not all(size(table) for table in self._tables.values()):
            if not last:
                self._tables = {role: _newest(table) for role, table in self._tables.items()}
                return
            self._tables.setdefault(_STATE, {})
            self._tables.setdefault(_COMMAND, {})
        if self._received is None:
            self._received = self._choose_time()
        whole = {role: self._timed(table) for role, table in self._tables.items()}
        breaks = self._breaks(whole)
        begin = 0
        for end, resume, note in breaks:
            yield from self._segment(_between(whole, begin, end), closed=True)
            self._notes.append(note)
            begin = resume
        rest = _between(whole, begin, None)
        if self._idle(rest) and not last:
            yield from self._segment(rest, closed=True)
            rest = {role: rows(table, slice(0, 0)) for role, table in rest.items()}
        else:
            rest = yield from self._segment(rest, closed=last)
        self._tables = {role: _untimed(table) for role, table in rest.items()}

    # --- time ---------------------------------------------------------------------------------------

    def _choose_time(self) -> bool:
        """Whether receive time is to be used."""
        tables = [self._tables[role] for role in (_STATE, _COMMAND)]
        if not all(size(table) for table in tables):
            return False
        offsets = []
        for table in tables:
            stamped = table["stamp_ns"] > 0
            if stamped.mean() < 0.5:
                self._notes.append(self._by_receipt("headers have no stamps"))
                return True
            offsets.append(float(np.median((table["log_ns"] - table["stamp_ns"])[stamped])))
        apart_s = abs(offsets[0] - offsets[1]) / 1e9
        if apart_s > self._config.limits.max_age_s:
            self._notes.append(
                self._by_receipt(
                    f"headers of states and commands are of clocks that differ by {apart_s:.3g} s"
                )
            )
            return True
        return False

    def _by_receipt(self, why: str) -> Finding:
        return finding("order", 1, "flagged", f"{why}: time is that of receipt, of both topics")

    def _timed(self, table: Table) -> Table:
        """With ``time_ns``; single headers without a stamp get the time of receipt less the usual way."""
        if not size(table):
            return {**table, "time_ns": np.zeros(0, np.int64)}
        if self._received:
            return {**table, "time_ns": table["log_ns"]}
        stamps: Ints = table["stamp_ns"]
        missing = stamps <= 0
        if missing.any() and not missing.all():
            way = int(np.median((table["log_ns"] - stamps)[~missing]))
            stamps = np.where(missing, table["log_ns"] - way, stamps)
            count = int(missing.sum())
            self._notes.append(
                finding(
                    "order",
                    count,
                    "repaired",
                    f"headers without a stamp, timed by receipt: {count}",
                )
            )
            table = {**table, "stamp_ns": stamps}
        return {**table, "time_ns": stamps}

    def _breaks(self, tables: Mapping[str, Table]) -> list[tuple[int, int, Finding]]:
        """Where the bag is to be cut: (place of its end, place where it goes on, why), in order."""
        steps: list[
            tuple[int, int, int, float]
        ] = []  # place before, place after, time before, size
        for table in tables.values():
            time, place = table["time_ns"], table["place"]
            change = np.diff(time)
            ahead = change - np.diff(table["log_ns"])
            amount = np.where(change < 0, change, ahead)
            at = (change < 0) | ((np.abs(ahead) > _JUMP_NS) & (not self._received))
            steps += [
                (int(place[k]) + 1, int(place[k + 1]), int(time[k]), float(amount[k]))
                for k in np.flatnonzero(at).tolist()
            ]
        found: list[tuple[int, int, Finding]] = []
        before_ns = 0
        for end, resume, time_ns, ahead_ns in sorted(steps):
            text = f"the clock jumped by {ahead_ns / 1e9:+.3g} s: a new episode begins"
            if found and (end <= found[-1][1] or abs(time_ns - before_ns) < _SAME_STEP_NS):
                found[-1] = (found[-1][0], max(found[-1][1], resume), found[-1][2])
            else:
                found.append((end, resume, finding("clock_jump", 1, "flagged", text)))
            before_ns = time_ns
        commands = tables[_COMMAND]
        pauses = np.flatnonzero(np.diff(commands["time_ns"]) > _PAUSE_NS)
        for k in pauses.tolist():
            end, resume = int(commands["place"][k]) + 1, int(commands["place"][k + 1])
            if any(a <= resume and end <= b for a, b, _ in found):
                continue
            pause_s = float(commands["time_ns"][k + 1] - commands["time_ns"][k]) / 1e9
            note = finding(
                "gap", 1, "noted", f"no command for {pause_s:.3g} s: a new episode begins"
            )
            found.append((end, resume, note))
        return sorted(found, key=lambda each: each[0])

    def _idle(self, tables: Mapping[str, Table]) -> bool:
        """Whether nobody has commanded the hand for some time."""
        states, commands = tables[_STATE], tables[_COMMAND]
        if not size(states) or not size(commands):
            return False
        return int(states["time_ns"][-1] - commands["time_ns"][-1]) > _PAUSE_NS

    # --- episodes -----------------------------------------------------------------------------------

    def _segment(
        self, tables: dict[str, Table], closed: bool
    ) -> Generator[ForeignCut, None, dict[str, Table]]:
        """Episodes of a stretch without breaks; gives back what is not used yet."""
        length_ns = int(self._mapping.episode_s * 1e9)
        while True:
            commands, states = tables[_COMMAND], tables[_STATE]
            if not size(commands) or not size(states):
                return tables
            begin = max(int(commands["time_ns"][0]), int(states["time_ns"][0]))
            end = min(int(commands["time_ns"][-1]), int(states["time_ns"][-1]))
            whole = end - begin >= length_ns
            if not whole and not closed:
                return tables
            until = begin + length_ns - round(1e9 / self._config.rate_hz)
            timed = {
                role: {**table, "stamp_ns": table["time_ns"]} for role, table in tables.items()
            }
            ticks = foreign_ticks(
                timed[_COMMAND],
                timed[_STATE],
                self._config.rate_hz,
                self._mapping.axis,
                until if whole else None,
            )
            if len(ticks):
                notes, self._notes = tuple(self._notes), []
                yield ForeignCut(ticks, timed, notes)
            if not whole:
                return {role: rows(table, slice(0, 0)) for role, table in tables.items()}
            for role in (_COMMAND, _STATE):
                tables[role] = _from(tables[role], begin + length_ns, hold=role == _COMMAND)


def _newest(table: Table) -> Table:
    """The end of a topic whose other half is not there (yet): nothing before it can become a row."""
    if not size(table):
        return table
    return rows(table, table["log_ns"] >= table["log_ns"][-1] - _PAUSE_NS)


def _from(table: Table, time_ns: int, hold: bool) -> Table:
    """What is needed from a time on: for commands also the one in force then, as of that time."""
    keep = max(0, int(np.searchsorted(table["time_ns"], time_ns)) - 1)
    kept = dict(rows(table, slice(keep, None)))
    if hold and size(kept):
        kept["time_ns"] = np.maximum(kept["time_ns"], time_ns)
        kept["stamp_ns"] = kept["time_ns"]
    return kept


def _between(tables: Mapping[str, Table], begin: int, end: int | None) -> dict[str, Table]:
    found = {}
    for role, table in tables.items():
        inside = table["place"] >= begin
        if end is not None:
            inside &= table["place"] < end
        found[role] = table if inside.all() else rows(table, inside)
    return found


def _untimed(table: Table) -> Table:
    return {name: column for name, column in table.items() if name != "time_ns"}
