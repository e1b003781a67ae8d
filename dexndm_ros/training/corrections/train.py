# SPDX-License-Identifier: Apache-2.0
"""UAN and ASAP jobs: PPO in the free-hand simulator, until it moves as the recorded hand did under the same targets.

    dexndm train uan --data waves --out runs/uan
    dexndm train asap --data replays --structure finger --out runs/asap

The networks that are kept are those with the smallest open-loop error on some of the motion they learned from.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from dexndm_ros.training.corrections.asap import DeltaLesson
from dexndm_ros.training.corrections.config import (
    AsapConfig,
    FollowConfig,
    UanConfig,
    check_config,
    free_world,
)
from dexndm_ros.training.corrections.errors import CorrectionError, CorrectionStoppedError
from dexndm_ros.training.corrections.follow import Follower, recorded_stretches
from dexndm_ros.training.corrections.load import (
    CHECKPOINT,
    correction_of,
    load_correction,
    read_checkpoint,
)
from dexndm_ros.training.corrections.open_loop import open_loop, pieces, rms_mrad
from dexndm_ros.training.corrections.report import write_report
from dexndm_ros.training.corrections.uan import UanLesson
from dexndm_ros.training.ppo import Learner
from dexndm_ros.training.progress import Progress, commit_id
from dexndm_ros.training.runlog import RunLog, plot_curves
from dexndm_ros.training.stopping import asked_to_stop

__all__ = ["train_asap", "train_uan"]

_FREE = ("out", "total_steps", "threads", "torch_threads", "save_every")
"""Settings that may differ when a run goes on."""
_JUDGED, _TESTED = 32, 128
"""Pieces of motion that networks are chosen by, and of motion held out, at most."""


class Lesson(Protocol):
    """What a recipe does in a control step."""

    learners: list[Learner]

    def step(self) -> tuple[float, float]:
        """Mean reward, mean squared error (rad^2)."""


def train_uan(config: UanConfig) -> Path:
    """Train the shared actuator network; see ``_Run.go``."""
    return _Run("uan", config).go(lambda follower: UanLesson(config, follower))


def train_asap(config: AsapConfig) -> Path:
    """Train the networks that change targets; see ``_Run.go``."""
    return _Run("asap", config).go(lambda follower: DeltaLesson(config, follower))


class _Run:
    """One run, or the rest of one."""

    def __init__(self, kind: str, config: FollowConfig) -> None:
        check_config(config)
        torch.set_num_threads(config.torch_threads)
        self._kind, self._config = kind, config
        self._out = Path(config.out)
        self._world = free_world(config)
        self._train = recorded_stretches(config.data, config.wrist, "train")
        self._held_out = pieces(recorded_stretches(config.data, config.wrist, "val"), _TESTED)
        self._judged = pieces(self._train, _JUDGED)
        self._steps, self._wall_s = 0, 0.0
        self._best: dict[str, Any] = {"mrad": float("inf"), "actors": []}

    def go(self, lesson_of: Callable[[Follower], Lesson]) -> Path:
        """Train, or go on where the folder's checkpoint ends; then measure on held-out motion.

        Returns:
            The run folder.

        Raises:
            ConfigError: settings that no run can use.
            CorrectionError: data or a checkpoint that cannot be used.
            CorrectionStoppedError: Ctrl-C or SIGTERM.
            DatasetError: no dataset.
        """
        config, out = self._config, self._out
        state = read_checkpoint(out) if (out / CHECKPOINT).exists() else None
        if state is not None:
            self._go_on(state)
        torch.manual_seed(config.seed + self._steps)
        follower = Follower(
            self._train,
            self._world,
            config.hands,
            max(2, round(config.episode_s / 0.05)),
            config.seed + self._steps,
            config.threads,
        )
        self._lesson = lesson_of(follower)
        if state is not None:
            for learner, part in zip(self._lesson.learners, state["learners"], strict=True):
                learner.load(part)
        out.mkdir(parents=True, exist_ok=True)
        record = {"kind": self._kind} | dataclasses.asdict(config) | {"commit": commit_id()}
        (out / "config.json").write_text(json.dumps(record, indent=2), encoding="utf-8")
        with asked_to_stop() as stop:
            self._learn(stop)
        if self._steps < config.total_steps:
            raise CorrectionStoppedError(
                f"stopped after {self._steps} of {config.total_steps} steps; the same command goes on from there"
            )
        kept = load_correction(out, len(self._held_out), config.physics)
        metrics = write_report(
            out, self._held_out, self._world, kept, config.threads, record | {"steps": self._steps}
        )
        print("open loop on held-out motion, mrad:", metrics["rms_mrad"], file=sys.stderr)
        return out

    def _go_on(self, state: dict[str, Any]) -> None:
        now = dataclasses.asdict(self._config)
        for name, value in state["config"].items():
            if name not in _FREE and now.get(name) != value:
                raise CorrectionError(
                    f"{self._out} was begun with {name} {value}, and {now.get(name)} is asked for; "
                    "give another --out, or the same settings"
                )
        self._steps, self._wall_s, self._best = state["steps"], state["wall_s"], state["best"]

    def _learn(self, stop: Callable[[], bool]) -> None:
        config = self._config
        log = RunLog(
            self._out, ["steps", "wall_s", "reward", "error_mrad", "std", "open_loop_mrad"]
        )
        bar = Progress(config.total_steps, self._kind, self._steps)
        begin = time.monotonic() - self._wall_s
        if not self._steps:
            self._judge()
        while self._steps < config.total_steps and not stop():
            seen: list[tuple[float, float]] = []
            while len(seen) < config.save_every and self._steps < config.total_steps and not stop():
                seen.append(self._lesson.step())
                self._steps += config.hands
                bar.update(self._steps)
            if not seen:
                break
            reward, square = np.mean(seen, axis=0)
            judged = self._judge()
            self._wall_s = time.monotonic() - begin
            log.write(
                {
                    "steps": self._steps,
                    "wall_s": round(self._wall_s, 1),
                    "reward": round(float(reward), 4),
                    "error_mrad": round(1e3 * float(np.sqrt(square)), 3),
                    "std": round(float(np.mean([a.std for a in self._lesson.learners])), 4),
                    "open_loop_mrad": round(judged, 3),
                }
            )
            bar.update(self._steps, f"{judged:.1f} mrad open loop")
            self._save()
        log.close()
        bar.close()
        title = f"{self._kind}, {', '.join(Path(each).name for each in config.data)}"
        plot_curves(self._out, "steps", ["reward", "error_mrad", "open_loop_mrad"], title)

    def _judge(self) -> float:
        """Open-loop error of the networks as they are, mrad; the best are kept."""
        learners = self._lesson.learners
        actors = [each.actor() for each in learners]
        correction = correction_of(self._config, actors, len(self._judged))
        simulated = open_loop(self._judged, self._world, correction, self._config.threads)
        error = float(np.sqrt((rms_mrad(self._judged, simulated) ** 2).mean()))
        if not np.isfinite(error):
            raise CorrectionError("the simulation gave angles that are not finite; lower the bound")
        if error < self._best["mrad"]:
            weights = [each.state()["actor_state_dict"] for each in learners]
            copies = [{k: v.clone() for k, v in each.items()} for each in weights]
            self._best = {"mrad": error, "actors": copies}
        return error

    def _save(self) -> None:
        state = {
            "kind": self._kind,
            "config": dataclasses.asdict(self._config),
            "steps": self._steps,
            "wall_s": self._wall_s,
            "best": self._best,
            "learners": [each.state() for each in self._lesson.learners],
        }
        partial = self._out / f"{CHECKPOINT}.part"
        torch.save(state, partial)
        partial.replace(self._out / CHECKPOINT)
