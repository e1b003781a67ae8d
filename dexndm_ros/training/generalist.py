# SPDX-License-Identifier: Apache-2.0
"""Generalist job: behaviour cloning of the oracles from proprioception alone.

    dexndm train generalist --out runs/generalist --tasks palm_up:+z:runs/up_plus,palm_down:+z:runs/down_plus

Rounds of rollouts and supervised epochs. The first rounds are driven by the oracles (survivors only, as in
paper section 3.1); further rounds may be driven by the student and labelled by the oracles (DAgger).
"""

from __future__ import annotations

import dataclasses
import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from dexndm_ros.policy.wrist import parse_axis
from dexndm_ros.sim.batch import HandBatch
from dexndm_ros.sim.env import EnvConfig, RotationEnv
from dexndm_ros.sim.grasps import make_grasps
from dexndm_ros.sim.randomise import Randomisation, draw_worlds
from dexndm_ros.sim.worlds import World
from dexndm_ros.training.cli import ConfigError
from dexndm_ros.training.networks import ResidualMlp
from dexndm_ros.training.oracle import correction_for, load_oracle
from dexndm_ros.training.progress import OpenBar, commit_id, open_bar
from dexndm_ros.training.rollouts import RolloutBatch, Task, collect, label_by_task
from dexndm_ros.training.runlog import RunLog, plot_curves

__all__ = ["GeneralistConfig", "NothingSurvivedError", "load_generalist", "train_generalist"]


@dataclass(frozen=True)
class GeneralistConfig:
    """One generalist run.

    Attributes:
        out: run folder.
        tasks: what to clone.
        world: world everything is drawn around.
        physics: preset the rollouts run on.
        envs: parallel environments, shared by the tasks.
        oracle_rounds: rounds driven by the oracles.
        student_rounds: rounds driven by the student (DAgger).
        noise_std: largest action noise while the oracles drive.
        student_noise_std: the same while the student drives.
        joint_noise_rad: uniform noise on measured joint angles.
        width: of the network.
        blocks: of the network.
        batch: samples a gradient step.
        passes: how often a round's worth of samples is drawn from all data, a round.
        final_epochs: epochs over all data at the end, learning rate falling to zero.
        learning_rate: of Adam.
        survivors_only: of the oracle's rounds keep only episodes that lasted (paper, section 3.1).
        seed: of worlds, grasps, noise and network.
        threads: physics threads.
        torch_threads: learner threads.
        init: run folder of a generalist of the same size to begin from, or empty.
        correction: run folder of ``dexndm train uan`` or ``asap`` that corrects the simulator, or empty.
        randomisation: of the worlds.
    """

    out: str = "runs/generalist"
    tasks: tuple[Task, ...] = ()
    world: str = "nominal"
    physics: str = "fast"
    envs: int = 256
    oracle_rounds: int = 4
    student_rounds: int = 12
    noise_std: float = 0.5
    student_noise_std: float = 0.15
    joint_noise_rad: float = 0.003
    width: int = 256
    blocks: int = 3
    batch: int = 1024
    passes: float = 3.0
    final_epochs: float = 3.0
    learning_rate: float = 6e-4
    survivors_only: bool = True
    seed: int = 7
    threads: int = 2
    torch_threads: int = 2
    init: str = ""
    correction: str = ""
    randomisation: Randomisation = field(default_factory=Randomisation)


class NothingSurvivedError(RuntimeError):
    """The oracles left no episode to learn from."""


def _build_env(config: GeneralistConfig, seed: int) -> tuple[RotationEnv, list[slice]]:
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
        self.observations: list[torch.Tensor] = []
        self.actions: list[torch.Tensor] = []
        self.sizes = np.zeros(0, dtype=np.int64)

    def add(self, batch: RolloutBatch) -> None:
        self.observations.append(torch.from_numpy(batch.observation))
        self.actions.append(torch.from_numpy(batch.action))
        self.sizes = np.append(self.sizes, len(batch.observation))

    def __len__(self) -> int:
        return int(self.sizes.sum())

    def sample(self, count: int, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
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


def train_generalist(config: GeneralistConfig, bar: OpenBar = open_bar) -> Path:
    """Collect, clone, save; resumes after the last finished round's weights where the folder has them.

    Args:
        config: what to train.
        bar: shows how far it is.

    Returns:
        ``<out>/generalist.pt``.
    """
    torch.set_num_threads(config.torch_threads)
    torch.manual_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    out = Path(config.out)
    checkpoint = out / "generalist.pt"
    rounds = config.oracle_rounds + config.student_rounds
    if _finished(checkpoint, rounds):
        return checkpoint
    out.mkdir(parents=True, exist_ok=True)
    record = asdict(config) | {"commit": commit_id()}
    (out / "config.json").write_text(json.dumps(record, indent=2), encoding="utf-8")
    env, rows = _build_env(config, config.seed)
    label = label_by_task([load_oracle(Path(task.oracle)) for task in config.tasks], rows)
    net = _first_network(config)
    optimiser = torch.optim.AdamW(net.parameters(), config.learning_rate, weight_decay=1e-4)
    # The final epochs need data: where only they are missing, the last round is driven again.
    first_round = min(_resume(checkpoint, net, optimiser), rounds - 1)
    data = _Data()
    shown = bar(rounds + 1, "generalist", first_round)
    begin = time.monotonic()
    log = RunLog(out, ["round", "driver", "samples", "survived", "turned_rad", "loss", "wall_s"])
    for number in range(first_round, rounds):
        # A resumed run has lost its data: it drives one round with the oracles again.
        by_student = number >= config.oracle_rounds and len(data) > 0
        act = _student(net) if by_student else None
        noise = config.student_noise_std if by_student else config.noise_std
        keep_all = by_student or not config.survivors_only
        batch = collect(env, label, act, noise, rng, keep_all)
        data.add(batch)
        if not len(data):
            raise NothingSurvivedError(
                "no episode of the oracles survived, so there is nothing to clone: "
                "train them longer, lower noise_std, or pass --no-survivors-only"
            )
        if number == 0 and not config.init:
            net.fit_normaliser(torch.from_numpy(batch.observation))
        steps = int(config.passes * len(batch.observation) / config.batch)
        loss = _fit(net, optimiser, data, steps, config.batch, rng)
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
        _save(checkpoint, net, optimiser, number + 1)
        shown.update(number + 1, f"{driver} {batch.turned_rad:.1f} rad, loss {loss:.4f}")
    steps = int(config.final_epochs * len(data) / config.batch)
    loss = _fit(net, optimiser, data, steps, config.batch, rng, anneal=True)
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
    _save(checkpoint, net, optimiser, rounds, final=True)
    shown.update(rounds + 1)
    shown.close()
    plot_curves(out, "round", ["turned_rad", "survived", "loss"], "generalist")
    return checkpoint


def _first_network(config: GeneralistConfig) -> ResidualMlp:
    """A fresh network, or the one to begin from.

    Raises:
        ConfigError: that one has another size.
    """
    if not config.init:
        return ResidualMlp(config.width, config.blocks)
    net = load_generalist(Path(config.init))
    size = (net.first.out_features, len(net.blocks))
    if size != (config.width, config.blocks):
        raise ConfigError(
            f"init {config.init} has width {size[0]} and {size[1]} blocks, and {config.width} and {config.blocks} are "
            f"asked for: set width to {size[0]} and blocks to {size[1]}"
        )
    return net


def _student(net: ResidualMlp) -> Any:
    def act(env: RotationEnv) -> np.ndarray:
        with torch.inference_mode():
            action = net(torch.from_numpy(env.proprioceptive())).numpy()
        return np.clip(action.astype(np.float64), -1.0, 1.0)

    return act


def _fit(
    net: ResidualMlp,
    optimiser: torch.optim.Optimizer,
    data: _Data,
    steps: int,
    batch: int,
    rng: np.random.Generator,
    anneal: bool = False,
) -> float:
    """Gradient steps on random samples; returns the mean loss of the last half."""
    net.train()
    base_rate = optimiser.param_groups[0]["lr"]
    losses = []
    for step in range(steps):
        if anneal:
            for group in optimiser.param_groups:
                group["lr"] = base_rate * (1.0 - step / steps)
        observation, action = data.sample(batch, rng)
        loss = nn.functional.mse_loss(net(observation), action)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        losses.append(loss.item())
    for group in optimiser.param_groups:
        group["lr"] = base_rate
    net.eval()
    return float(np.mean(losses[len(losses) // 2 :])) if losses else float("nan")


def _save(
    path: Path,
    net: ResidualMlp,
    optimiser: torch.optim.Optimizer,
    rounds: int,
    final: bool = False,
) -> None:
    partial = path.with_name(path.name + ".part")
    state = {"net": net.state_dict(), "optimiser": optimiser.state_dict()}
    torch.save(state | {"rounds": rounds, "final": final}, partial)
    partial.replace(path)


def _finished(path: Path, rounds: int) -> bool:
    """All rounds and the final epochs are done."""
    if not path.exists():
        return False
    state = torch.load(path, weights_only=True)
    return bool(state["rounds"] >= rounds and state.get("final", False))


def _resume(path: Path, net: ResidualMlp, optimiser: torch.optim.Optimizer) -> int:
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    net.load_state_dict(state["net"])
    optimiser.load_state_dict(state["optimiser"])
    return int(state["rounds"])


def load_generalist(folder: Path) -> ResidualMlp:
    """The network of a run folder, in evaluation mode."""
    record = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    net = ResidualMlp(record["width"], record["blocks"])
    net.load_state_dict(torch.load(folder / "generalist.pt", weights_only=True)["net"])
    net.eval()
    return net
