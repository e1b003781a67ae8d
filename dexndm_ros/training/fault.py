# SPDX-License-Identifier: Apache-2.0
"""Numbers that are not finite end a job, and what made them is kept: worlds, state before the step, commands.

``python -m dexndm_ros.training.fault runs/oracle/fault.npz`` does the step again on the CPU.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.sim.batch import HandBatch
from dexndm_ros.sim.env import RotationEnv, StepResult
from dexndm_ros.sim.hands import Array, Hands
from dexndm_ros.sim.worlds import World

__all__ = ["Fault", "FaultWatch", "NotFiniteError"]

_MOST = 64
"""Worlds that a file keeps; more have rarely another cause."""
_MEMORY = "memory_"


class NotFiniteError(RuntimeError):
    """A state, reward, observation or action that is not finite; the message names the world and the file."""


@dataclass(frozen=True)
class Fault:
    """What made numbers that are not finite, in n worlds.

    Attributes:
        what: which numbers.
        rows: places of the worlds in the job's batch, (n,).
        worlds: the worlds, n.
        memory: of ``Hands`` before the step, rows by name.
        action: of the policy, (n, 16).
        target: in force before the step, (n, 16) rad.
        executed: what the motors got, (n, 16) rad.
        push: force on the object, (n, 3) N, world frame.
        axes: rotation axes, (n, 3), palm frame.
        wrists_xyzw: palm orientations, (n, 4).
        episode_step: of each episode, (n,).
        steps: control steps of all environments when it happened.
    """

    what: str
    rows: NDArray[np.intp]
    worlds: list[World]
    memory: dict[str, Array]
    action: Array
    target: Array
    executed: Array
    push: Array
    axes: Array
    wrists_xyzw: Array
    episode_step: NDArray[np.int64]
    steps: int

    def save(self, path: Path) -> None:
        """Write one npz file, whole or not at all."""
        arrays = {
            f.name: getattr(self, f.name)
            for f in fields(self)
            if isinstance(getattr(self, f.name), np.ndarray)
        }
        arrays |= {_MEMORY + name: rows for name, rows in self.memory.items()}
        meta = {"what": self.what, "steps": self.steps, "worlds": [asdict(w) for w in self.worlds]}
        part = path.with_name(path.name + ".part")
        with part.open("wb") as file:
            np.savez_compressed(file, meta=json.dumps(meta), **arrays)
        part.replace(path)

    @classmethod
    def load(cls, path: Path) -> Fault:
        """Read what `save` wrote."""
        with np.load(path) as file:
            meta = json.loads(str(file["meta"]))
            arrays = {name: file[name] for name in file.files if name != "meta"}
        memory = {
            name.removeprefix(_MEMORY): arrays.pop(name)
            for name in list(arrays)
            if name.startswith(_MEMORY)
        }
        worlds = [World.from_dict(world, str(path)) for world in meta.pop("worlds")]
        return cls(worlds=worlds, memory=memory, **meta, **arrays)

    def replay(self) -> Hands:
        """The same step once more on the CPU, without the corrections of a corrected simulator."""
        hands = HandBatch(self.worlds, threads=1)
        hands.recall(self.memory)
        hands.step(self.executed, push=self.push)
        return hands


class FaultWatch:
    """Looks at every step of an environment, and keeps what the step before the bad one left.

    Args:
        env: it.
        file: where a fault is written.
    """

    def __init__(self, env: RotationEnv, file: Path) -> None:
        self._env, self._file = env, file
        self._before: dict[str, Any] = {}

    def before(self, action: Array) -> None:
        """Note what the environment stands on; an action (N, 16) that is not finite is the end here."""
        env = self._env
        self._before = {
            "memory": env.batch.memory(),
            "action": action,
            "target": env.target.copy(),
            "axes": env.axes.copy(),
            "wrists_xyzw": env.wrists.copy(),
            "episode_step": env.episode_step.copy(),
        }
        self._raise_for("action", np.isfinite(action), env.target, None)

    def after(self, result: StepResult, observation: NDArray[np.float32]) -> None:
        """End the job if the step gave something that is not finite.

        Raises:
            NotFiniteError: names the world and the file.
        """
        env = self._env
        good = {
            "physics state": result.finite,
            "reward": np.isfinite(result.reward),
            "observation": np.isfinite(observation),
        }
        for what, mask in good.items():
            self._raise_for(what, mask, env.executed, result.push)

    def _raise_for(
        self, what: str, good: NDArray[np.bool_], executed: Array, push: Array | None
    ) -> None:
        if good.all():
            return
        env, bad = self._env, np.unique(np.nonzero(~good)[0])
        rows = bad[:_MOST]
        forces = np.zeros((env.count, 3)) if push is None else push
        arrays = {name: value[rows] for name, value in self._before.items() if name != "memory"}
        Fault(
            what=what,
            rows=rows,
            worlds=[env.batch.worlds[row] for row in rows],
            memory={name: value[rows] for name, value in self._before["memory"].items()},
            executed=executed[rows],
            push=forces[rows],
            steps=env.steps,
            **arrays,
        ).save(self._file)
        raise NotFiniteError(
            f"the {what} of world {rows[0]}{f' and {len(bad) - 1} more' if len(bad) > 1 else ''} is not finite after "
            f"{env.steps} control steps; the state before and what was commanded are in {self._file}: "
            f"`python -m dexndm_ros.training.fault {self._file}` does that step again"
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Do the steps of fault files again; 1 when one of them breaks again."""
    broken = False
    for name in sys.argv[1:] if argv is None else argv:
        fault = Fault.load(Path(name))
        held = fault.replay().finite()
        broken |= not held.all()
        for row, world, ok in zip(fault.rows, fault.worlds, held, strict=True):
            print(
                f"{name}: {fault.what} of world {row} ({world.name}): {'held' if ok else 'broke'}"
            )
    return int(broken)


if __name__ == "__main__":
    sys.exit(main())
