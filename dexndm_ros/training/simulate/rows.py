# SPDX-License-Identifier: Apache-2.0
"""From what simulated hands did to episodes of a dataset, with the columns and figures that a recording has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.datasets.config import Limits
from dexndm_ros.datasets.episode import Episode, Finding
from dexndm_ros.datasets.features import RowFlag, empty_columns
from dexndm_ros.datasets.quality import finding, verdict
from dexndm_ros.datasets.row_checks import lag_ticks, tracking_error
from dexndm_ros.hand.joints import JOINT_COUNT
from dexndm_ros.hand.units import CURRENT_UNIT_A, TICKS_PER_TURN, VELOCITY_UNIT_RAD_S, MotorModel

__all__ = ["PERIOD_S", "About", "Rows", "read_angle"]

Array = NDArray[np.float64]
PERIOD_S = 0.05
"""Of the control ticks."""
_RAD_PER_TICK = 2.0 * np.pi / TICKS_PER_TURN
_JOINTS = {
    "q": "observation.state",
    "qd": "observation.velocity",
    "current": "observation.current",
    "command": "observation.command",
    "action": "action",
    "clean": "action.clean",
    "noise": "action.noise",
    "residual": "action.residual",
}


def read_angle(q: Array) -> Array:
    """Angles as the servos report them: whole encoder ticks, rad."""
    return np.round(q / _RAD_PER_TICK) * _RAD_PER_TICK


@dataclass(frozen=True)
class About:
    """What an episode is, beside its rows.

    Attributes:
        identity: the same for the same episode, wherever it is made.
        kind: "rollout" or "sim_replay".
        task: LeRobot's task in words.
        world: name of the world.
        orientation: wrist orientation by name.
        wrist_xyzw: the same, (4,).
        axis: palm frame, (3,); zero = none.
        axis_name: as a word.
        index: of the episode in its task; it stands for the time of day too.
        seed: of its noise; -1 = none.
        trajectory: id in the library; -1 = none.
        load: what the hand worked against, in words.
        facts: more of them.
    """

    identity: str
    kind: str
    task: str
    world: str
    orientation: str
    wrist_xyzw: Array
    axis: Sequence[float]
    axis_name: str
    index: int
    seed: int
    trajectory: int
    load: str
    facts: Mapping[str, Any]


class Rows:
    """What N hands saw and were told, step by step.

    Args:
        count: hands, N.
        steps: control steps of an episode.
        motor: their motors, for the currents.
    """

    def __init__(self, count: int, steps: int, motor: MotorModel) -> None:
        self._motor = motor
        self.values = {
            name: np.zeros((count, steps, JOINT_COUNT), dtype=np.float32) for name in _JOINTS
        }

    def see(
        self, step: int, q: Array, qd: Array, torque: Array, command: Array, row: Any = slice(None)
    ) -> None:
        """What is read before a target is sent; each (N, 16), or (16,) of one row.

        Args:
            step: control step.
            q: angles as reported, rad.
            qd: velocities, rad/s; rounded to the register's unit here.
            torque: of the servos, N·m; becomes a current.
            command: target in force, rad.
            row: which hands.
        """
        amperes = torque / self._motor.nm_per_a
        seen = {
            "q": q,
            "qd": np.round(qd / VELOCITY_UNIT_RAD_S) * VELOCITY_UNIT_RAD_S,
            "current": np.round(amperes / CURRENT_UNIT_A) * CURRENT_UNIT_A,
            "command": command,
        }
        self._keep(row, step, seen)

    def tell(
        self,
        step: int,
        action: Array,
        clean: Array,
        noise: Array | float = 0.0,
        residual: Array | float = 0.0,
        row: Any = slice(None),
    ) -> None:
        """The target that is sent, and what it is made of; each (N, 16) rad, or (16,) of one row."""
        told = {"action": action, "clean": clean, "noise": noise, "residual": residual}
        self._keep(row, step, told)

    def _keep(self, row: Any, step: int, values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            self.values[name][row, step] = value

    def episode(
        self, row: int, length: int, about: About, findings: Sequence[Finding] = ()
    ) -> Episode:
        """The first ``length`` steps of a hand as an episode; one that is dropped has its figures and no rows."""
        columns = empty_columns(length)
        for name, column in _JOINTS.items():
            columns[column][...] = self.values[name][row, :length]
        columns["observation.wrist"][...] = about.wrist_xyzw
        columns["observation.axis"][...] = about.axis
        steps = self.values["q"].shape[1]
        ticks = (1 + about.index) * steps + np.arange(length, dtype=np.int64)
        for stamp in ("observation.stamp_ns", "action.stamp_ns"):
            columns[stamp][...] = ticks * round(PERIOD_S * 1e9)
        columns["flags"][...] = 0
        columns["valid"][...] = True
        found = [*findings, *_not_finite(columns)]
        if length < Limits.min_steps:
            found.append(finding("short", length, "dropped", f"it has {length} rows"))
        facts, judged = _facts(columns, about), verdict(found)
        if judged == "drop":
            columns = empty_columns(0)
        return Episode(about.identity, about.task, columns, facts, tuple(found), judged)


def _not_finite(columns: Mapping[str, NDArray[Any]]) -> list[Finding]:
    """A simulation that ran away: its rows are no use, nor is the one before."""
    bad = ~np.isfinite(columns["observation.state"]).all(axis=1)
    if not bad.any():
        return []
    columns["flags"][bad] = RowFlag.NOT_FINITE
    columns["valid"][bad] = False
    text = f"the simulation ran away in row {int(np.argmax(bad))}"
    return [finding("not_finite", int(bad.sum()), "dropped", text)]


def _facts(columns: Mapping[str, NDArray[Any]], about: About) -> dict[str, Any]:
    """Those of ``datasets.facts.episode_facts`` and more."""
    rows = len(columns["valid"])
    error = tracking_error(columns)
    error = error[np.isfinite(error)]
    period_ms = PERIOD_S * 1e3
    return {
        "kind": about.kind,
        "bag": "",  # filled in with the block's name when the dataset is written
        "campaign": about.world,
        "session": "",
        "orientation": about.orientation,
        "hand_load": about.load,
        "axis": about.axis_name,
        "trajectory": about.trajectory,
        "entry": about.index,
        "attempt": 0,
        "seed": about.seed,
        "started_ns": int(columns["action.stamp_ns"][0]) if rows else 0,
        "duration_s": max(rows - 1, 0) * PERIOD_S,
        "rows": rows,
        "invalid_rows": int((~columns["valid"]).sum()),
        "limited_rows": 0,
        "passed_over_rows": 0,
        "period_p50_ms": period_ms,
        "period_p99_ms": period_ms,
        "period_max_ms": period_ms,
        "state_hz": 1.0 / PERIOD_S,
        "error_rms_rad": float(np.sqrt(np.mean(error**2))) if len(error) else 0.0,
        "error_p95_rad": float(np.percentile(np.abs(error), 95)) if len(error) else 0.0,
        "lag_ticks": lag_ticks(columns),
        "temperature_max_c": float("nan"),
        "current_max_a": float(np.nanmax(np.abs(columns["observation.current"]), initial=0.0)),
        **about.facts,
    }
