# SPDX-License-Identifier: Apache-2.0
"""Computes the targets of a recorded trajectory again: library, noise of the seed, what was sent."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.paths import PathError, library_path
from dexndm_ros.playback.check_types import CheckError, CheckResult, Tracer, compare
from dexndm_ros.playback.recorded import Recorded
from dexndm_ros.replay.library import open_source
from dexndm_ros.replay.noise import NoiseConfig, executed, noise
from dexndm_ros.replay.trajectory import STEPS, LibraryError, TrajectorySource

__all__ = ["check_replay_steps"]

Vector = NDArray[np.float64]


def check_replay_steps(recorded: Recorded, library: str | Path | None = None) -> CheckResult:
    """Compare every step's noise and target, and with a library its clean target, to the last bit.

    Args:
        recorded: steps and commands, and in the custom data how much noise there was.
        library: where the clean targets come from; None = they are taken as recorded.

    Raises:
        CheckError: there are no steps, or the library cannot be opened.
    """
    steps = recorded.replay_steps
    if not steps:
        raise CheckError(f"{recorded.name} holds no replay/step: no trajectory was replayed in it")
    notes: list[str] = []
    config = _noise_config(recorded, notes)
    source = _source(recorded, library, config, notes)
    tracer = Tracer("replay", "steps", recorded.begin_ns)
    noises: dict[int, Vector] = {}
    cleans: dict[int, Vector] = {}
    sent = _Sent(recorded)
    for row in range(len(steps["step"])):
        step, seed = int(steps["step"][row]), int(steps["seed"][row])
        log_ns, target = int(steps["log_ns"][row]), steps["target"][row]
        if step >= STEPS:
            tracer.unknown(step, log_ns, target, f"a trajectory has {STEPS} steps")
            continue
        if seed not in noises:
            noises[seed] = noise(config, seed, STEPS)
        clean = steps["clean_target"][row]
        if source is not None:
            clean = _clean(source, int(steps["trajectory"][row]), cleans)[step]
        wanted = executed(clean, noises[seed][step])
        fields = {"clean_target": clean, "noise": noises[seed][step], "target": wanted}
        was = {name: steps[name][row] for name in fields}
        number = int(steps["command_seq"][row])
        position = sent.position(number, log_ns)
        if position is not None:
            was["HandCommand.position"], fields["HandCommand.position"] = position, target
        found = compare(was, fields)
        if found is None:
            tracer.equal(step, log_ns, target, wanted)
        else:
            context = f"(trajectory {int(steps['trajectory'][row])}, command {number})"
            tracer.diverged(step, log_ns, target, wanted, found, context)
    if sent.missing:
        notes.append(f"the commands of {sent.missing} steps are not in the bag")
    facts = {
        "library": str(library or ""),
        "noise_probability": config.probability,
        "noise_sigma_rad": config.sigma_rad,
        "seeds": sorted(noises),
    }
    return tracer.result(facts, notes)


def _noise_config(recorded: Recorded, notes: list[str]) -> NoiseConfig:
    data = recorded.custom_data
    try:
        return NoiseConfig(float(data["noise_probability"]), float(data["noise_sigma_rad"]))
    except KeyError:
        notes.append("the bag does not say how much noise there was: the default was used")
    except ValueError as error:
        raise CheckError(f"{recorded.name}: {error}") from error
    return NoiseConfig()


def _source(
    recorded: Recorded, library: str | Path | None, config: NoiseConfig, notes: list[str]
) -> TrajectorySource | None:
    if library is None:
        notes.append("clean targets are taken as recorded; --library FILE compares them, too")
        return None
    try:
        given = str(library)
        path = given if given.startswith("waves:") else library_path(given)
        source = open_source(str(path), noise=config, check=False)
    except (LibraryError, PathError, OSError) as error:
        raise CheckError(str(error)) from error
    wanted = recorded.custom_data.get("library_sha256", "")
    if wanted and source.sha256 != wanted:
        notes.append(
            f"another library than the recorded one: sha256 {source.sha256[:12]} here, {wanted[:12]} in the bag"
        )
    return source


def _clean(source: TrajectorySource, trajectory: int, known: dict[int, Vector]) -> Vector:
    if trajectory not in known:
        try:
            known[trajectory] = source.trajectory(trajectory).targets_rad
        except LibraryError as error:
            raise CheckError(str(error)) from error
    return known[trajectory]


class _Sent:
    """Finds the command of a step."""

    def __init__(self, recorded: Recorded) -> None:
        self.missing = 0
        self._commands = recorded.commands
        self._rows: dict[int, list[int]] = {}
        if recorded.commands:
            for row, seq in enumerate(recorded.commands["seq"].tolist()):
                self._rows.setdefault(seq, []).append(row)

    def position(self, seq: int, log_ns: int) -> Vector | None:
        """What was commanded under this number, nearest in time; None = it is not in the bag."""
        rows: Sequence[int] = self._rows.get(seq, ())
        if not rows:
            self.missing += 1
            return None
        times = self._commands["log_ns"]
        row = min(rows, key=lambda each: abs(int(times[each]) - log_ns))
        position: Any = np.asarray(self._commands["position"][row], dtype=np.float64)
        return position if position.shape == (16,) else None
