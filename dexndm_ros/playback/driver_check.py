# SPDX-License-Identifier: Apache-2.0
"""Whether the driver did with commands what it should: each in force in its turn and in time, none left out unsaid."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from dexndm_ros.hand.guard import Guard, GuardConfig, GuardState, Mode, Rejected
from dexndm_ros.playback.check_types import KEPT, CheckResult, Tracer
from dexndm_ros.playback.guard_cycles import CommandBook, Decision, decisions, require_times
from dexndm_ros.playback.recorded import Recorded

__all__ = ["check_driver"]

FIRST = "the first state of the bag: nothing is known of the cycle before"
GAP = "states are missing before it (cycles without a whole read, or with a service call)"
NO_COMMAND = "the command in force is not in the bag"
_OFF = (Mode.RELAXED, Mode.FAULT)
_WAITED_S = 0.02
"""A command that waited longer than this for its cycle is worth a word."""
_NS = 1_000_000_000
_END_NS = _NS
"""A driver that is kept from running takes this long, or more, to go on with newer commands."""


def check_driver(recorded: Recorded) -> CheckResult:
    """Look at each state for what was in force, and at each command for what became of it.

    Args:
        recorded: states and commands.

    Raises:
        CheckError: there are no states, or they do not tell when things were decided.
    """
    states = require_times(recorded)
    run = _Look(recorded)
    before: Decision | None = None
    for now in decisions(states):
        run.state(before, now)
        before = now
    fates = run.commands()
    waits = np.array(run.waits_s) if run.waits_s else np.zeros(0)
    facts: dict[str, Any] = {
        "commands": len(recorded.commands["seq"]) if recorded.commands else 0,
        "came into force": run.in_force,
        "never came into force": {
            fate: {"commands": len(found), "before states": [tick for _, tick in found[:KEPT]]}
            for fate, found in fates.items()
        },
        "missing states": run.missing,
    }
    notes = [
        f"commands that never came into force, {len(found)}: {fate}; the first: {found[0][0]}, at state {found[0][1]}"
        for fate, found in fates.items()
    ]
    if len(waits):
        facts["arrival to decision (ms)"] = {
            "median": float(np.median(waits) * 1e3),
            "max": float(waits.max() * 1e3),
        }
        late = int(np.count_nonzero(waits > _WAITED_S))
        if late:
            notes.append(
                f"commands that waited more than {_WAITED_S * 1e3:.0f} ms for a cycle of the driver, {late}: the "
                f"longest {waits.max() * 1e3:.1f} ms; was the machine busy?"
            )
    if run.missing:
        notes.append(f"cycles without a state (no whole read, or a service call), {run.missing}")
    # Both sides of a trace would be the same numbers: what differs here are no targets.
    return dataclasses.replace(run.tracer.result(facts, notes), trace=None)


class _Look:
    def __init__(self, recorded: Recorded) -> None:
        self.tracer = Tracer("driver", "states", recorded.begin_ns)
        self.waits_s: list[float] = []
        self.in_force = 0
        self.missing = 0
        self._recorded = recorded
        self._config = recorded.guard or GuardConfig()
        self._book = CommandBook(recorded)
        self._newest: dict[str, int] = {}

    # --- states -----------------------------------------------------------------------------------

    def state(self, before: Decision | None, now: Decision) -> None:
        """Judge one state."""
        gap = before is None or now.seq != before.seq + 1
        if before is not None and now.seq > before.seq:
            self.missing += now.seq - before.seq - 1
        elif before is not None:
            self._newest.clear()
        found = self._wrong(None if gap else before, now)
        if found is not None:
            context = f"({now.mode.name})"
            self.tracer.diverged(now.seq, now.log_ns, now.command, now.command, found, context)
        elif gap:
            reason = FIRST if before is None else GAP
            self.tracer.unknown(now.seq, now.log_ns, now.command, reason, idle=before is None)
        elif now.source and self._book.position(now) is None:
            self.tracer.unknown(now.seq, now.log_ns, now.command, NO_COMMAND)
        else:
            self.tracer.equal(now.seq, now.log_ns, now.command, now.command)
        if now.source:
            self._newest[now.source] = now.command_seq

    def _wrong(self, before: Decision | None, now: Decision) -> tuple[str, int, Any, Any] | None:
        """What a state should say otherwise; None = nothing."""
        if now.mode in _OFF and now.source:
            return "command_source", -1, now.source, "empty, as the torque is off"
        if now.mode in _OFF and now.command.tobytes() != now.measured.tobytes():
            joint = int(np.argmax(np.abs(now.command - now.measured)))
            return "command", joint, float(now.command[joint]), float(now.measured[joint])
        if not now.source and (now.command_seq or now.arrived_s):
            return "command_seq", -1, now.command_seq, 0
        if before is None:
            return None
        if now.decided_s <= before.decided_s:
            return "decided_s", -1, now.decided_s, f"later than {before.decided_s!r}"
        if not now.source or now.key == before.key:
            return None
        self.in_force += 1
        self.waits_s.append(max(0.0, now.decided_s - now.arrived_s))
        if before.source == now.source and now.arrived_s < before.arrived_s:
            return "arrived_s", -1, now.arrived_s, f"no earlier than {before.arrived_s!r}"
        if before.key[:2] == now.key[:2] and self._book.count(now) == 1:
            return (
                "arrived_s",
                -1,
                now.arrived_s,
                before.arrived_s,
            )  # it came once, and so at one time
        # It may have come while the cycle was looking for commands, and the machine may have been busy then.
        if now.arrived_s > now.decided_s + self._config.stale_s:
            return (
                "arrived_s",
                -1,
                now.arrived_s,
                f"no later than the decision at {now.decided_s!r}",
            )
        return None

    # --- commands ---------------------------------------------------------------------------------

    def commands(self) -> dict[str, list[tuple[int, int]]]:
        """Commands that never came into force, by reason: their numbers, and the states that came next."""
        fates: dict[str, list[tuple[int, int]]] = {}
        for row in self._book.hidden():
            fate = self._fate(row)
            position, seq, source, log_ns = self._book.get(row)
            at = int(np.searchsorted(self._recorded.states["log_ns"], log_ns))
            at = min(at, len(self._recorded.states["seq"]) - 1)
            if fate:
                fates.setdefault(fate, []).append((seq, int(self._recorded.states["seq"][at])))
                continue
            found = ("command_seq", -1, int(self._recorded.states["command_seq"][at]), seq)
            q = np.asarray(self._recorded.states["command"][at], dtype=np.float64)
            wanted = np.asarray(position, dtype=np.float64)
            wanted = wanted if wanted.shape == q.shape else np.full_like(q, np.nan)
            self.tracer.diverged(
                int(self._recorded.states["seq"][at]), log_ns, q, wanted, found,
                f"(command {seq} of {source} never came into force, and nothing says why)",
            )  # fmt: skip
        return fates

    def _fate(self, row: int) -> str:
        """Why a command never came into force; '' = nobody knows."""
        states, commands = self._recorded.states, self._recorded.commands
        position, seq, source, log_ns = self._book.get(row)
        times = states["log_ns"]
        stale_ns = int(self._config.stale_s * _NS)
        at = int(np.searchsorted(times, log_ns))
        if log_ns - times[0] < stale_ns // 2:
            return "they came before the first state of the bag"
        around = slice(max(0, at - 1), int(np.searchsorted(times, log_ns + stale_ns // 2)) + 1)
        if np.isin(states["mode"][around], _OFF).any():
            return "the torque was off"
        guard = Guard(self._config)
        guard.resume(GuardState(Mode.HOLDING))
        if isinstance(guard.accept(position, seq, source, 1.0), Rejected):
            return "refused: outside the joint limits, or not sixteen finite angles"
        near = np.abs(commands["log_ns"] - log_ns) <= stale_ns
        if len(set(commands["source"][near].tolist())) > 1:
            return "refused: two publishers commanded the hand"
        followed = (states["command_source"][at:] == source) & (states["command_seq"][at:] > seq)
        # The driver's queue holds one command: what its process did not take in time is lost, here or in the network.
        if followed.any():
            return "a newer one came before the driver took them"
        return "the bag ends before they could" if times[-1] - log_ns < _END_NS else ""
