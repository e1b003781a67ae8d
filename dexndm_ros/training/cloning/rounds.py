# SPDX-License-Identifier: Apache-2.0
"""Rounds of rollouts and supervised epochs: driven by the oracles, then by the student under their labels (DAgger).

Where there are shards too, half of each batch comes from them: what was learned there is not to be forgotten.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dexndm_ros.policy.wrist import parse_axis
from dexndm_ros.sim.batch import HandBatch
from dexndm_ros.sim.env import EnvConfig, RotationEnv
from dexndm_ros.sim.grasps import make_grasps
from dexndm_ros.sim.randomise import draw_worlds
from dexndm_ros.sim.worlds import World
from dexndm_ros.training.cloning.cloner import Cloner
from dexndm_ros.training.cloning.config import GeneralistConfig
from dexndm_ros.training.cloning.stream import Batch, Position, SampleStream
from dexndm_ros.training.oracle import correction_for, load_oracle
from dexndm_ros.training.progress import OpenBar
from dexndm_ros.training.rollouts import RolloutBatch, collect, label_by_task
from dexndm_ros.training.runlog import RunLog, plot_curves

__all__ = ["NothingSurvivedError", "build_env", "learn_rounds"]

_FIELDS = ["round", "driver", "samples", "survived", "turned_rad", "loss", "wall_s"]
_Sample = Callable[[int], tuple[Tensor, Tensor]]


class NothingSurvivedError(RuntimeError):
    """The oracles left no episode to learn from."""


def build_env(config: GeneralistConfig, seed: int) -> tuple[RotationEnv, list[slice]]:
    """The environment of the rounds, and which hands are whose task."""
    base = dataclasses.replace(World.load(config.world), physics=config.physics)
    share = config.envs // len(config.tasks)
    worlds: list[World] = []
    axes, grasps, rows = [], {}, []
    for number, task in enumerate(config.tasks):
        of_task = dataclasses.replace(base, wrist=task.wrist)
        drawn = draw_worlds(of_task, share, config.randomisation, seed + 101 * number)
        rows.append(slice(len(worlds), len(worlds) + share))
        if task.wrist not in grasps:
            batch = HandBatch(drawn, config.threads)
            grasps[task.wrist] = make_grasps(drawn, 16 * share, seed, batch=batch)
        worlds += drawn
        axes += [parse_axis(task.axis)] * share
    env_config = EnvConfig(auto_reset=False, joint_noise_rad=config.joint_noise_rad)
    correction = correction_for(config.correction, len(worlds), config.physics)
    env = RotationEnv(
        worlds, grasps, np.array(axes), env_config, seed, config.threads, correction=correction
    )
    return env, rows


class _Data:
    """All samples so far, growing."""

    def __init__(self) -> None:
        self.observations: list[Tensor] = []
        self.actions: list[Tensor] = []
        self.sizes = np.zeros(0, dtype=np.int64)

    def add(self, batch: RolloutBatch) -> None:
        self.observations.append(torch.from_numpy(batch.observation))
        self.actions.append(torch.from_numpy(batch.action))
        self.sizes = np.append(self.sizes, len(batch.observation))

    def __len__(self) -> int:
        return int(self.sizes.sum())

    def sample(self, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """``count`` samples with replacement, from chunks in proportion to their size."""
        ends = np.cumsum(self.sizes)
        picks = np.sort(rng.integers(0, ends[-1], count))
        chunks = np.searchsorted(ends, picks, side="right")
        obs, act = [], []
        for chunk in np.unique(chunks):
            local = picks[chunks == chunk] - (ends[chunk] - self.sizes[chunk])
            index = torch.from_numpy(local)
            obs.append(self.observations[chunk][index])
            act.append(self.actions[chunk][index])
        return torch.cat(obs), torch.cat(act)


def learn_rounds(
    config: GeneralistConfig, cloner: Cloner, stream: SampleStream | None, bar: OpenBar
) -> None:
    """Collect, clone, save; goes on after the last finished round's weights where there is a checkpoint.

    Args:
        config: of the run.
        cloner: what learns.
        stream: of the shards that were learned from before, or None.
        bar: shows how far it is.

    Raises:
        NothingSurvivedError: the oracles hold nothing.
    """
    rng = np.random.default_rng(config.seed)
    oracle_rounds, student_rounds = config.rounds
    rounds = oracle_rounds + student_rounds
    env, rows = build_env(config, config.seed)
    label = label_by_task([load_oracle(Path(task.oracle)) for task in config.tasks], rows)
    # The final epochs need data: where only they are missing, the last round is driven again.
    first_round = min(cloner.progress.get("rounds", 0), rounds - 1)
    data = _Data()
    shown = bar(rounds + 1, "generalist", first_round)
    begin = time.monotonic()
    log = RunLog(Path(config.out), _FIELDS)
    for number in range(first_round, rounds):
        # A resumed run has lost its data: without shards it drives one round with the oracles again.
        by_student = number >= oracle_rounds and (len(data) > 0 or stream is not None)
        act = cloner.driver() if by_student else None
        noise = config.student_noise_std if by_student else config.noise_std
        keep_all = by_student or not config.survivors_only
        batch = collect(env, label, act, noise, rng, keep_all)
        data.add(batch)
        if not len(data):
            raise NothingSurvivedError(
                "no episode of the oracles survived, so there is nothing to clone: "
                "train them longer, lower noise_std, or pass --no-survivors-only"
            )
        if number == 0 and stream is None and not config.init:
            cloner.net.fit_normaliser(torch.from_numpy(batch.observation))
        steps = int(config.passes * len(batch.observation) / config.batch)
        loss = _fit(
            cloner, _sampler(data, rng, stream, config.epochs + number), steps, config.batch
        )
        driver = "student" if by_student else "oracle"
        log.write(
            {
                "round": number,
                "driver": driver,
                "samples": len(data),
                "survived": round(batch.survived, 3),
                "turned_rad": round(batch.turned_rad, 2),
                "loss": round(loss, 5),
                "wall_s": round(time.monotonic() - begin),
            }
        )
        cloner.save({"rounds": number + 1, "final": False})
        shown.update(number + 1, f"{driver} {batch.turned_rad:.1f} rad, loss {loss:.4f}")
    steps = int(config.final_epochs * len(data) / config.batch)
    sample = _sampler(data, rng, stream, config.epochs + rounds)
    loss = _fit(cloner, sample, steps, config.batch, anneal=True)
    seconds = round(time.monotonic() - begin)
    log.write(
        {
            "round": rounds,
            "driver": "final",
            "samples": len(data),
            "loss": round(loss, 5),
            "wall_s": seconds,
        }
    )
    log.close()
    cloner.save({"rounds": rounds, "final": True})
    shown.update(rounds + 1)
    shown.close()
    plot_curves(Path(config.out), "round", ["turned_rad", "survived", "loss"], "generalist")


def _sampler(
    data: _Data, rng: np.random.Generator, stream: SampleStream | None, epoch: int
) -> _Sample:
    """Draws samples: from the rounds, half of them from the shards where there are any."""
    if stream is None:
        return lambda count: data.sample(count, rng)
    more = _endless(stream, epoch)

    def sample(count: int) -> tuple[Tensor, Tensor]:
        other = next(more)
        observation, action = data.sample(count // 2, rng)
        half = slice(count - count // 2)
        return (
            torch.cat([observation, torch.from_numpy(other.observation[half])]),
            torch.cat([action, torch.from_numpy(other.action[half])]),
        )

    return sample


def _endless(stream: SampleStream, epoch: int) -> Iterator[Batch]:
    while True:
        yield from stream.batches(Position(epoch), epoch + 1)
        epoch += 1


def _fit(cloner: Cloner, sample: _Sample, steps: int, batch: int, anneal: bool = False) -> float:
    """Gradient steps on random samples; returns the mean loss of the last half."""
    losses = [
        cloner.step(*sample(batch), share=1.0 - step / steps if anneal else 1.0)
        for step in range(steps)
    ]
    return float(np.mean(losses[len(losses) // 2 :])) if losses else float("nan")
