# SPDX-License-Identifier: Apache-2.0
"""The cycles of a driver as its states tell them: what was decided, from what, and when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.hand.guard import Mode
from dexndm_ros.playback.check_types import CheckError
from dexndm_ros.playback.recorded import Columns, Recorded

__all__ = ["CommandBook", "Decision", "decisions", "require_times"]

Vector = NDArray[np.float64]

_NEAR_NS = 100_000_000
"""A command that nobody followed may have come this long before or after it was received by the recorder."""


@dataclass(frozen=True)
class Decision:
    """What one state tells: the reading of its cycle, and what the cycle before it decided.

    Attributes:
        row: of the state.
        seq: HandState.seq.
        log_ns: when it was recorded.
        measured: angles read, (16,) rad.
        mode: the guard's state.
        command: target in force, (16,) rad.
        command_seq: of the command that it follows.
        source: of that command; empty = none.
        decided_s: monotonic time of the decision; 0 = nothing was decided yet.
        arrived_s: when that command arrived.
    """

    row: int
    seq: int
    log_ns: int
    measured: Vector
    mode: Mode
    command: Vector
    command_seq: int
    source: str
    decided_s: float
    arrived_s: float

    @property
    def key(self) -> tuple[str, int, float]:
        """Tells one command in force from the next."""
        return self.source, self.command_seq, self.arrived_s


def require_times(recorded: Recorded) -> Columns:
    """The states, if they tell enough to do the decisions again.

    Raises:
        CheckError: no states, or of a driver that did not tell when it decided.
    """
    states = recorded.states
    if not states:
        raise CheckError(f"{recorded.name} holds no hand/state: the driver was not recorded")
    if "decided_s" not in states or "arrived_s" not in states:
        raise CheckError(
            f"{recorded.name} was recorded with a driver that did not tell when it decided (HandState has no "
            "decided_s): its decisions cannot be done again; record with this version"
        )
    return states


def decisions(states: Columns) -> Iterator[Decision]:
    """The states of a bag, in order."""
    columns = [
        states[name]
        for name in (
            "seq",
            "log_ns",
            "position",
            "mode",
            "command",
            "command_seq",
            "command_source",
            "decided_s",
            "arrived_s",
        )
    ]
    numbers = [each.tolist() if each.ndim == 1 else each for each in columns]
    for row, (seq, log_ns, q, mode, command, number, source, decided_s, arrived_s) in enumerate(
        zip(*numbers, strict=True)
    ):
        yield Decision(
            row, seq, log_ns, q, Mode(mode), command, number, source, decided_s, arrived_s
        )


class CommandBook:
    """The commands of a bag: those that came into force, found by number, and the others, by time."""

    def __init__(self, recorded: Recorded) -> None:
        commands, states = recorded.commands, recorded.states
        self._commands: Columns = commands
        self._rows: dict[tuple[str, int], list[int]] = {}
        self._hidden: list[int] = []
        if not commands:
            return
        keys = zip(commands["source"].tolist(), commands["seq"].tolist(), strict=True)
        for row, (source, seq) in enumerate(keys):
            self._rows.setdefault((source or "(unnamed)", seq), []).append(row)
        in_force = set(
            zip(states["command_source"].tolist(), states["command_seq"].tolist(), strict=True)
        )
        self._hidden = sorted(
            row for key, rows in self._rows.items() if key not in in_force for row in rows
        )

    def position(self, decision: Decision) -> Vector | None:
        """Where the command that a state follows wanted the joints; None = it is not in the bag."""
        rows = self._rows.get((decision.source, decision.command_seq), [])
        if not rows:
            return None
        # A number may come twice (a node that was started again): the newest that was there already.
        there = [row for row in rows if self._commands["log_ns"][row] <= decision.log_ns + _NEAR_NS]
        return np.asarray(self._commands["position"][(there or rows)[-1]], dtype=np.float64)

    def count(self, decision: Decision) -> int:
        """How often the bag holds a command with the number and source of the one in force."""
        return len(self._rows.get((decision.source, decision.command_seq), []))

    def near(self, log_ns: int) -> list[int]:
        """Rows of commands that never came into force and may have arrived about then, as they came."""
        times = self._commands["log_ns"] if self._hidden else ()
        return [row for row in self._hidden if abs(int(times[row]) - log_ns) <= _NEAR_NS]

    def hidden(self) -> list[int]:
        """Rows of all commands that never came into force and were not explained yet."""
        return list(self._hidden)

    def explain(self, row: int) -> None:
        """It is known now why a command did not come into force."""
        self._hidden.remove(row)

    def get(self, row: int) -> tuple[Any, int, str, int]:
        """Position, number, source and log time of a command."""
        commands = self._commands
        return (
            commands["position"][row],
            int(commands["seq"][row]),
            str(commands["source"][row]),
            int(commands["log_ns"][row]),
        )
