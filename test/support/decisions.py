# SPDX-License-Identifier: Apache-2.0
"""Recordings of decisions without a bag: a guard and a policy that are driven, and what their messages would hold."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from dexndm_ros.hand.guard import Guard, GuardConfig, GuardOutput, Mode
from dexndm_ros.hand.joints import JOINT_NAMES, LOWER_RAD, UPPER_RAD
from dexndm_ros.playback.recorded import Recorded
from dexndm_ros.policy.controller import load_policy
from dexndm_ros.policy.observation import canonical_quaternion
from dexndm_ros.policy.session import HandSample, RotationSession, SessionConfig
from dexndm_ros.policy.spec import Seat

WALL_NS = 1_800_000_000_000_000_000
CYCLE_S = 0.01


def columns(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Rows as columns; {} of no rows."""
    if not rows:
        return {}
    found = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        lengths = {np.shape(value) for value in values}
        if len(lengths) > 1:
            found[name] = np.empty(len(values), dtype=object)
            found[name][:] = values
        else:
            found[name] = np.array(values)
    return found


class Driver:
    """A driver's cycles on a guard of its own, recorded; the hand follows its targets halfway in each cycle."""

    def __init__(self, config: GuardConfig | None = None, seed: int = 0) -> None:
        self.guard = Guard(config or GuardConfig())
        self.config = self.guard.config
        self.rng = np.random.default_rng(seed)
        self.states: list[dict[str, Any]] = []
        self.commands: list[dict[str, Any]] = []
        self.now_s = 1000.0
        self.q = np.clip(np.linspace(0.0, 0.3, 16), LOWER_RAD, UPPER_RAD)
        self._seq = 0
        self._output = GuardOutput(Mode.RELAXED, None)
        self._waiting: list[tuple[Any, int, str, float]] = []

    def send(self, position: Any, seq: int, source: str = "policy") -> None:
        """A command that arrives before the next cycle."""
        arrived_s = self.now_s + self.rng.uniform(0.0, 0.5) * CYCLE_S
        log_ns = self._wall(arrived_s + self.rng.uniform(0.0, 0.003))
        position = np.array(position, dtype=np.float64)
        self.commands.append({"log_ns": log_ns, "seq": seq, "source": source, "position": position})
        self._waiting.append((position, seq, source, arrived_s))

    def cycle(self, whole: bool = True, request: str = "") -> None:
        """Read, guard, publish; without a whole read, or with a request served, no state comes of it."""
        self._seq += 1
        self.now_s += CYCLE_S * self.rng.uniform(0.7, 1.3)
        target = self._output.target
        if target is not None:
            self.q = self.q + 0.5 * (target - self.q)
        measured = np.round((self.q + self.rng.normal(0, 1e-3, 16)) * 652) / 652
        if request == "enable":
            self.guard.enable(measured)
        elif request:
            getattr(self.guard, request)()
        for waiting in self._waiting:
            self.guard.accept(*waiting)
        self._waiting.clear()
        before = self._output
        self._output = self.guard.tick(measured if whole else None, self.now_s)
        if not whole or request:
            return
        self.states.append(
            {
                "log_ns": self._wall(self.now_s + self.rng.uniform(0.0, 0.003)),
                "seq": self._seq,
                "position": measured,
                "command": measured if before.target is None else before.target,
                "mode": int(before.mode),
                "command_seq": before.command_seq,
                "command_source": before.source,
                "decided_s": before.decided_s,
                "arrived_s": before.arrived_s,
            }
        )

    def recorded(self, **changes: Any) -> Recorded:
        """What a bag of all this tells."""
        states = columns(self.states)
        told = Recorded(
            "made",
            int(states["log_ns"].min()),
            states,
            columns(self.commands),
            {},
            {},
            guard=self.config,
        )
        return dataclasses.replace(told, **changes)

    def _wall(self, monotonic_s: float) -> int:
        return WALL_NS + int(monotonic_s * 1e9)


def policy_run(
    policy: Path, residual: Path | None, ticks: int, seed: int = 0, pauses: tuple[int, ...] = ()
) -> Recorded:
    """A session's ticks and the states that they saw.

    Args:
        policy: its file.
        residual: its file, or None.
        ticks: in all, with the start sequence.
        seed: of what the hand does.
        pauses: ticks in which the axis is zero.
    """
    rng = np.random.default_rng(seed)
    config = SessionConfig(open_s=0.1, place_s=0.05, close_s=0.1, settle_s=0.1)
    seat = Seat(JOINT_NAMES, LOWER_RAD.tolist(), UPPER_RAD.tolist(), config.rate_hz)
    session = RotationSession(load_policy(policy, seat, residual), config)
    q, wrist = np.linspace(0.0, 0.2, 16), np.array([1.0, 0.0, 0.0, 0.0])
    states: list[dict[str, Any]] = []
    steps: list[dict[str, Any]] = []
    for number in range(ticks):
        now_ns = number * 50_000_000
        for _ in range(5):
            q = q + rng.normal(0, 2e-3, 16)
            mode = 3 if number == 0 else 2
            states.append(
                {"log_ns": WALL_NS + now_ns, "seq": len(states) + 1, "position": q, "mode": mode}
            )
        sample = HandSample(len(states), q, mode, now_ns)
        axis = np.zeros(3) if number in pauses else np.array([0.0, 0.0, 1.0])
        done = session.tick(now_ns, sample, wrist, axis)
        target = np.full(16, np.nan) if done.command is None else done.command
        steps.append(
            {
                "log_ns": WALL_NS + now_ns + 2_000_000,
                "seq": number,
                "observation_seq": len(states),
                "axis": axis if done.action else np.zeros(3),
                "wrist": canonical_quaternion(wrist).astype(np.float64),
                "base_action": done.action.base if done.action else target,
                "residual_action": done.action.residual if done.action else np.zeros(16),
                "target": target,
                "stopped": done.stopped,
            }
        )
    return Recorded("made", WALL_NS, columns(states), {}, columns(steps), {})


def without(table: Any, rows: Any) -> dict[str, Any]:
    """A table without some of its rows."""
    return {name: np.delete(values, rows, axis=0) for name, values in table.items()}


def changed(table: Any, name: str, row: int, value: Any) -> dict[str, Any]:
    """A table in which one value is another."""
    values = table[name].copy()
    values[row] = value
    return {**table, name: values}
