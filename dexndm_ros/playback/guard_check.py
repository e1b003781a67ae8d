# SPDX-License-Identifier: Apache-2.0
"""Runs the guard again, cycle by cycle, on the commands and readings that were recorded.

Each state tells what was decided in the cycle before it, when, and which command was in force since when; the state
before it tells the reading. What the guard keeps to itself (how much of the step limit is used up) follows from the
cycles before; where cycles are missing, it is known again after a command period without a step.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.hand.guard import Guard, GuardConfig, GuardOutput, GuardState, Mode, Rejected
from dexndm_ros.hand.guard_types import Goal
from dexndm_ros.hand.joints import JOINT_COUNT
from dexndm_ros.playback.check_types import CheckResult, Tracer, compare
from dexndm_ros.playback.guard_cycles import CommandBook, Decision, decisions, require_times
from dexndm_ros.playback.recorded import Recorded

__all__ = ["check_guard"]

Vector = NDArray[np.float64]

FIRST = "the first state of the bag: nothing is known of the cycle before"
GAP = "states are missing before it (cycles without a whole read, or with a service call)"
RESTARTED = "the driver was started again"
SERVED = "a service call switched the torque on"
NO_GOAL = "the command in force is not in the bag"
TWO = "two publishers commanded the hand, and when their commands came is not known well enough"
NO_ALLOWANCE = "how much of the step limit was used up before is not in the bag"
_OFF = (Mode.RELAXED, Mode.FAULT)
_MOST_TRIED = 6
"""Of the commands near a cycle that were followed by nobody; more are a flood, and no one can say which came in it."""


def check_guard(
    recorded: Recorded, progress: Callable[[int, int], None] = lambda done, total: None
) -> CheckResult:
    """Compare mode, target and command in force of every cycle with what the guard makes of its input.

    Relaxing, enabling, recovering and faults are asked for from outside: they are taken as they were recorded.

    Args:
        recorded: states and commands; and the guard's settings, if the bag tells them.
        progress: called with states done and states in all.

    Raises:
        CheckError: there are no states, or they do not tell when things were decided.
    """
    states = require_times(recorded)
    config = recorded.guard or GuardConfig()
    rerun = _Rerun(recorded, config)
    total = len(states["seq"])
    before: Decision | None = None
    for now in decisions(states):
        rerun.cycle(before, now)
        before = now
        if now.row % 500 == 0:
            progress(now.row, total)
    progress(total, total)
    notes = []
    if recorded.guard is None:
        notes.append(
            "the bag does not tell the guard's settings (no /diagnostics of the driver): its defaults were used"
        )
    if rerun.refused:
        notes.append(
            f"commands that were refused, so that the hand stopped or held, {len(rerun.refused)}; the first: "
            f"{rerun.refused[0]}"
        )
    facts = {name: getattr(config, name) for name in config.__dataclass_fields__}
    return rerun.tracer.result(facts, notes)


@dataclass
class _Unsure:
    """What is not known of the guard after cycles that are not in the bag."""

    allowance: Vector | None = (
        None  # at least so much is left of the step limit; None = it is known
    )
    goal: bool = False  # where the command in force wants the joints
    stopped: bool = False  # whether a refused command stopped the target
    capture: bool = False  # whether the pose to hold is still to be read

    def __bool__(self) -> bool:
        return self.allowance is not None or self.goal or self.stopped or self.capture


class _Rerun:
    """A guard that follows a recording."""

    def __init__(self, recorded: Recorded, config: GuardConfig) -> None:
        self.tracer = Tracer("guard", "cycles", recorded.begin_ns)
        self.refused: list[str] = []
        self._config = config
        self._book = CommandBook(recorded)
        self._guard = Guard(config)
        self._unsure = _Unsure()

    def cycle(self, before: Decision | None, now: Decision) -> None:
        """Judge the decision that a state tells."""
        reason = self._why_unknown(before, now)
        if reason or before is None:
            if reason == RESTARTED:
                self._guard = Guard(self._config)
            self.tracer.unknown(now.seq, now.log_ns, now.command, reason, idle=before is None)
            self._take_over(now, all_anew=True)
            return
        near = self._book.near(now.log_ns)
        saved = copy.deepcopy(self._guard) if near or self._unsure else None
        output = self._decide(self._guard, before, now)
        found = _difference(now, output)
        if found is not None and saved is not None:
            other = self._another_way(saved, near, before, now)
            if other is not None:
                self._guard, found = other, None
            elif reason := self._excuse(saved, near, before, now, found):
                self.tracer.unknown(now.seq, now.log_ns, now.command, reason)
                self._take_over(now, all_anew=True, limited=reason == NO_ALLOWANCE)
                return
        if found is None:
            self.tracer.equal(now.seq, now.log_ns, now.command, now.command)
            self._learn(before, now)
            return
        context = (
            f"(command {now.command_seq} of {now.source})" if now.source else f"({now.mode.name})"
        )
        self.tracer.diverged(now.seq, now.log_ns, now.command, _target(output, now), found, context)
        self._take_over(now, all_anew=False)

    def _why_unknown(self, before: Decision | None, now: Decision) -> str:
        if before is None:
            return FIRST
        if now.seq <= before.seq:
            return RESTARTED
        if now.seq != before.seq + 1:
            return GAP
        if before.mode in _OFF and now.mode not in _OFF:
            return SERVED
        if now.source and now.key != before.key and self._book.position(now) is None:
            return NO_GOAL
        return ""

    def _decide(self, guard: Guard, before: Decision, now: Decision) -> GuardOutput | str:
        """One cycle of the driver: what was asked for, the command that came, the tick."""
        if now.mode is not before.mode and now.mode in _OFF:
            if before.mode is Mode.FAULT:
                guard.recover()
            elif now.mode is Mode.RELAXED:
                guard.relax()
            else:
                guard.fault("as recorded")
        elif now.source and now.key != before.key:
            position = self._book.position(now)
            assert position is not None
            said = guard.accept(position, now.command_seq, now.source, now.arrived_s)
            if isinstance(said, Rejected):
                return f"refused: {said.reason}"
        return guard.tick(before.measured, now.decided_s)

    def _another_way(
        self, saved: Guard, near: list[int], before: Decision, now: Decision
    ) -> Guard | None:
        """A guard that decides as recorded, because of what the bag does not tell; None = there is none."""
        state = saved.state
        if self._unsure.stopped and state.goal is not None:
            stopped = copy.deepcopy(saved)
            stopped.resume(replace(state, goal=replace(state.goal, stopped=True)))
            if _difference(now, self._decide(stopped, before, now)) is None:
                return stopped
        if self._unsure.capture and state.mode is Mode.HOLDING:
            reading = copy.deepcopy(saved)
            reading.resume(replace(state, capture=True))
            if _difference(now, self._decide(reading, before, now)) is None:
                return reading
        few = near[:_MOST_TRIED]
        for rows in (*((row,) for row in few), *itertools.permutations(few, 2)):
            # When exactly they came is not recorded. The earliest time is tried first: it ends their publisher's
            # claim on the hand soonest, and what is refused for it later is told by the recording.
            for came_s, late in itertools.product((before.decided_s, now.decided_s), (False, True)):
                guard = copy.deepcopy(saved)
                if self._with_refused(guard, rows, came_s, late, before, now):
                    return guard
        return None

    def _with_refused(
        self,
        guard: Guard,
        rows: tuple[int, ...],
        came_s: float,
        late: bool,
        before: Decision,
        now: Decision,
    ) -> bool:
        """Whether the guard decides as recorded if commands that nobody followed came before, or after, the other."""
        new = bool(now.source) and now.key != before.key
        if late:
            held = self._book.position(now) if new else None
            if held is None or isinstance(
                guard.accept(held, now.command_seq, now.source, now.arrived_s), Rejected
            ):
                return False
        said = []
        for row in rows:
            position, seq, source, _ = self._book.get(row)
            said.append((seq, source, guard.accept(position, seq, source, came_s)))
        output: GuardOutput | str
        output = (
            guard.tick(before.measured, now.decided_s) if late else self._decide(guard, before, now)
        )
        refused = [(seq, source, each) for seq, source, each in said if isinstance(each, Rejected)]
        if not refused or _difference(now, output) is not None:
            return False
        for row in rows:
            self._book.explain(row)
        self.refused += [
            f"command {seq} of {source or '(unnamed)'} before state {now.seq}: {each.reason}"
            for seq, source, each in refused
        ]
        return True

    def _excuse(
        self,
        saved: Guard,
        near: list[int],
        before: Decision,
        now: Decision,
        found: tuple[str, int, Any, Any],
    ) -> str:
        """Why a difference proves nothing; '' = it does."""
        sources = {self._book.get(row)[2] for row in near} | {before.source, now.source} - {""}
        if len(sources) > 1 and now.mode not in _OFF:
            return TWO
        if found[0] not in ("command", "mode") or now.mode in (Mode.HOLDING, *_OFF):
            return ""
        if self._unsure.goal:
            return NO_GOAL
        state, low = saved.state, self._unsure.allowance
        if low is None or found[0] == "mode" or state.goal is None or state.allowance is None:
            return ""
        # A joint may have been given less than was computed, where that is not known, and never more.
        told = self._decide(copy.deepcopy(saved), before, now)
        differ = now.command != _target(told, now)
        position = self._book.position(now)
        goal = before.command if position is None else position
        nearest, furthest = np.minimum(before.command, goal), np.maximum(before.command, goal)
        between = (nearest <= now.command) & (now.command <= furthest)
        known = self._refilled(low, before, now) == self._refilled(state.allowance, before, now)
        return "" if np.any(differ & (known | ~between)) else NO_ALLOWANCE

    def _refilled(self, allowance: Vector, before: Decision, now: Decision) -> Vector:
        """What the step limit allows at a tick, as the guard counts it."""
        config = self._config
        elapsed_s = max(0.0, now.decided_s - before.decided_s)
        more = elapsed_s * config.max_step_rad / config.command_period_s
        return np.minimum(config.max_step_rad, allowance + more)

    def _learn(self, before: Decision, now: Decision) -> None:
        """After a cycle that is explained more is known than before."""
        unsure = self._unsure
        if not unsure:
            return
        unsure.capture = False
        if not now.source or now.key != before.key:
            unsure.goal = unsure.stopped = False
        elif np.any(now.command != before.command):
            unsure.stopped = False
        if unsure.allowance is not None:
            refilled = self._refilled(unsure.allowance, before, now)
            if (refilled >= self._config.max_step_rad).all():
                unsure.allowance = None  # all of it is back, whatever was used before
            else:
                unsure.allowance = np.maximum(refilled - np.abs(now.command - before.command), 0.0)

    def _take_over(self, now: Decision, all_anew: bool, limited: bool = False) -> None:
        """Go on from what was recorded.

        Args:
            now: the last state.
            all_anew: cycles are missing; else the guard's own count of the step limit goes on.
            limited: joints that are not where they shall be have used up the step limit.
        """
        position = self._book.position(now) if now.source else None
        goal = None
        if now.source:
            limits = self._config.lower_rad, self._config.upper_rad
            wanted = now.command if position is None else np.clip(position, *limits)
            goal = Goal(wanted, now.command_seq, now.source, now.arrived_s)
        allowance = None if all_anew else self._guard.state.allowance
        if limited and goal is not None:
            full = np.full(JOINT_COUNT, self._config.max_step_rad)
            allowance = np.where(now.command == goal.position, full, 0.0)
        self._guard.resume(
            GuardState(now.mode, now.command, goal, now.decided_s or None, allowance)
        )
        self._unsure = _Unsure(
            allowance=np.zeros(JOINT_COUNT) if all_anew else None,
            goal=goal is not None and position is None,
            stopped=all_anew and goal is not None,
            capture=all_anew and now.mode is Mode.HOLDING,
        )


def _target(output: GuardOutput | str, now: Decision) -> Vector:
    """What the motors would have been told; while the torque is off, a state tells the reading."""
    if isinstance(output, str):
        return np.full(JOINT_COUNT, np.nan)
    return now.measured if output.target is None else output.target


def _difference(now: Decision, output: GuardOutput | str) -> tuple[str, int, Any, Any] | None:
    if isinstance(output, str):
        return "command", -1, f"followed ({now.command_seq} of {now.source})", output
    recorded = {
        "mode": now.mode.name,
        "command_source": now.source,
        "command_seq": now.command_seq,
        "arrived_s": now.arrived_s,
        "command": now.command,
    }
    computed = {
        "mode": output.mode.name,
        "command_source": output.source,
        "command_seq": output.command_seq,
        "arrived_s": output.arrived_s,
        "command": _target(output, now),
    }
    return compare(recorded, computed)
