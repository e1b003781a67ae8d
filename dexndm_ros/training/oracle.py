# SPDX-License-Identifier: Apache-2.0
"""Oracle job: PPO (``rsl-rl-lib``) on the privileged observation, resumable, one wrist and axis a run.

    dexndm train oracle --wrist palm_down --axis=+z --out runs/down_plus

Settings are those of the probe that learned both wrists from nothing on two cores.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from rsl_rl.runners import OnPolicyRunner
from tensordict import TensorDict

from dexndm_ros.policy.wrist import parse_axis
from dexndm_ros.sim.batch import HandBatch
from dexndm_ros.sim.correction import Correction
from dexndm_ros.sim.env import EnvConfig, RotationEnv
from dexndm_ros.sim.grasp_cache import GraspCache
from dexndm_ros.sim.grasps import make_grasps
from dexndm_ros.sim.hands import Hands
from dexndm_ros.sim.randomise import draw_worlds
from dexndm_ros.sim.worlds import World
from dexndm_ros.training.cli import ConfigError
from dexndm_ros.training.fault import FaultWatch
from dexndm_ros.training.oracle_config import HIDDEN, OracleConfig, runner_config
from dexndm_ros.training.oracle_env import OracleVecEnv
from dexndm_ros.training.ppo import load_actor
from dexndm_ros.training.progress import OpenBar, commit_id, open_bar
from dexndm_ros.training.runlog import RunLog, plot_curves
from dexndm_ros.training.stopping import asked_to_stop
from dexndm_ros.training.torchrun import NO_CUDA, Rank, any_process, rank_here
from dexndm_ros.training.widen import input_count, widen_checkpoint

__all__ = ["OracleConfig", "correction_for", "load_oracle", "train_oracle"]


def build_env(config: OracleConfig) -> RotationEnv:
    """Worlds, grasps and environment of a run."""
    base = replace(World.load(config.world), wrist=config.wrist, physics=config.physics)
    worlds = draw_worlds(base, config.envs, config.randomisation, config.seed)
    batch = _hands(worlds, config)
    if config.grasps_from:
        grasps = GraspCache.load(Path(config.grasps_from))
    else:
        grasps = make_grasps(worlds, config.grasps, config.seed, config.grasp, batch=batch)
    axis = parse_axis(config.axis)
    if config.starts_from:
        folder = Path(config.starts_from)
        record = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        lender = RotationEnv(
            worlds, grasps, parse_axis(record["axis"]), EnvConfig(auto_reset=False), config.seed,
            batch=batch,
        )  # fmt: skip
        grasps = grasps.joined(harvest_starts(lender, load_oracle(folder), every=20))
    correction = correction_for(config.correction, config.envs, config.physics)
    return RotationEnv(
        worlds, grasps, axis, config.env, config.seed, batch=batch, correction=correction
    )


def _hands(worlds: list[World], config: OracleConfig) -> Hands:
    """The worlds on the engine that is asked for.

    Raises:
        ConfigError: it is not installed, or cannot do these worlds.
    """
    if config.engine == "cpu":
        return HandBatch(worlds, config.threads)
    try:
        from dexndm_ros.sim.warp_batch import WarpHandBatch
        from dexndm_ros.sim.warp_model import WarpConfig, WarpError
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"engine is warp, and {error.name} is not installed: pip install -c constraints.txt -r "
            "requirements-gpu.txt, or use --engine cpu"
        ) from error
    try:
        room = WarpConfig(config.nconmax, config.njmax)
        return WarpHandBatch(worlds, room, str(_device(config, rank_here())))
    except WarpError as error:
        raise ConfigError(str(error)) from error


def _device(config: OracleConfig, rank: Rank) -> torch.device:
    """Where this process learns.

    Raises:
        ConfigError: a GPU is asked for and not there, or several processes are to share none.
    """
    if config.device == "cuda":
        if not torch.cuda.is_available():
            raise ConfigError(NO_CUDA)
        return torch.device("cuda", rank.local)
    if rank.count > 1:
        raise ConfigError(
            f"torchrun started {rank.count} processes, which learn one oracle together only on GPUs (rsl_rl speaks "
            "NCCL alone): give --device cuda, or start one process"
        )
    return torch.device("cpu")


def correction_for(folder: str, count: int, physics: str) -> Correction | None:
    """The correction of a run folder for ``count`` hands; None without one."""
    if not folder:
        return None
    from dexndm_ros.training.corrections.load import load_correction

    return load_correction(folder, count, physics)


def harvest_starts(env: RotationEnv, actor: torch.nn.Module, every: int) -> GraspCache:
    """States that an oracle passes through, as starts for another.

    Args:
        env: environment without automatic reset.
        actor: the oracle.
        every: control steps between two harvests; only hands that still hold the object give one.
    """
    holding = np.ones(env.count, dtype=bool)
    parts: list[GraspCache] = []
    for step in range(env.config.episode_steps):
        with torch.inference_mode():
            action = actor(torch.from_numpy(env.privileged())).numpy().astype(np.float64)
        holding &= ~env.step(action).terminated
        if step % every == every - 1:
            parts.append(env.starts(holding))
    return parts[0].joined(*parts[1:])


def train_oracle(config: OracleConfig, bar: OpenBar = open_bar) -> Path:
    """Train, or resume when the run folder has a checkpoint.

    Args:
        config: what to train.
        bar: shows how far it is.

    Returns:
        The final checkpoint, ``<out>/oracle.pt``; ``log.csv`` and ``config.json`` stand beside it.
    """
    rank = rank_here()
    device = _device(config, rank)
    config = replace(config, seed=config.seed + rank.number)
    torch.set_num_threads(config.torch_threads)
    torch.manual_seed(config.seed)
    out = Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    if rank.first:
        record = asdict(config) | {"commit": commit_id(), "processes": rank.count}
        (out / "config.json").write_text(json.dumps(record, indent=2), encoding="utf-8")
    checkpoint = out / "oracle.pt"
    env = build_env(config)
    watch = FaultWatch(env, out / (f"fault_{rank.number}.npz" if rank.count > 1 else "fault.npz"))
    inputs = input_count(checkpoint)
    vec = OracleVecEnv(env, config.reward_scale, inputs, watch, device, rank.count)
    train_cfg = runner_config(config)
    runner = OnPolicyRunner(vec, copy.deepcopy(train_cfg), log_dir=None, device=str(device))
    done_steps, wall_s = 0, 0.0
    if checkpoint.exists():
        state = runner.load(str(checkpoint), map_location=str(device))
        done_steps, wall_s = state["steps"], state["wall_s"]
        vec.env.steps = done_steps
    elif config.init_from:
        wider = out / f"begin_{rank.number}.pt"
        begin = widen_checkpoint(Path(config.init_from), vec.inputs, wider)
        runner.load(
            str(begin),
            load_cfg={"actor": True, "critic": True, "optimizer": False, "iteration": False},
            map_location=str(device),
        )
        wider.unlink(missing_ok=True)
        _set_std(runner, config.init_std)
        if not _same_task(config):
            _forget_constants(runner)
    with asked_to_stop() as stop:
        _learn(config, runner, vec, done_steps, wall_s, stop, bar, rank)
    return checkpoint


def _same_task(config: OracleConfig) -> bool:
    """The run we start from turned the same axis under the same wrist."""
    file = Path(config.init_from).with_name("config.json")
    if not file.is_file():
        return False
    record = json.loads(file.read_text(encoding="utf-8"))
    return (record["wrist"], record["axis"]) == (config.wrist, config.axis)


def _log_std(runner: OnPolicyRunner) -> torch.nn.Parameter:
    parameter: torch.nn.Parameter = runner.alg.get_policy().distribution.log_std_param
    return parameter


def _set_std(runner: OnPolicyRunner, std: float) -> None:
    with torch.no_grad():
        _log_std(runner).fill_(float(np.log(std)))


def _forget_constants(runner: OnPolicyRunner) -> None:
    """Undo the normalisation of inputs that never changed in the run we start from.

    Wrist and axis are constant there: their spread is zero, and the new wrist would reach the network
    magnified a hundredfold.
    """
    for model in (runner.alg.actor, runner.alg.critic):
        normaliser = model.obs_normalizer
        still = normaliser._var < 1e-6
        normaliser._mean[still] = 0.0
        normaliser._var[still] = 1.0
        normaliser._std[still] = 1.0


def _learn(
    config: OracleConfig,
    runner: OnPolicyRunner,
    vec: OracleVecEnv,
    steps: int,
    wall_s: float,
    stop: Callable[[], bool],
    open_one: OpenBar,
    rank: Rank,
) -> None:
    out = Path(config.out)
    alg = runner.alg
    fields = ["steps", "wall_s", "rad", "length", "fall", "reward", "std", "learning_rate", "value"]
    log = RunLog(out, fields, steps) if rank.first else None
    label = f"oracle {config.wrist} {config.axis}"
    bar = open_one(config.total_steps, label, steps) if rank.first else None
    with ExitStack() as at_end:
        for shown in (log, bar):
            if shown is not None:
                at_end.callback(shown.close)
        begin = time.monotonic() - wall_s
        iteration = 0
        obs = vec.get_observations()
        alg.train_mode()
        while steps < config.total_steps and not any_process(stop(), vec.device):
            if rank.count > 1:  # weights are equal already, normalisers know only their own hands
                alg.broadcast_parameters()
            rewards = 0.0
            with torch.inference_mode():
                for _ in range(config.steps_per_iteration):
                    actions = alg.act(obs)
                    obs, reward, dones, extras = vec.step(actions)
                    alg.process_env_step(obs, reward, dones, extras)
                    rewards += float(reward.mean())
                alg.compute_returns(obs)
            losses = alg.update()
            steps = vec.env.steps
            iteration += 1
            wall_s = time.monotonic() - begin
            if log is None or bar is None:
                continue
            rad, length, fall = np.array(vec.finished or [(0.0, 0, False)], dtype=float).mean(
                axis=0
            )
            log.write(
                {
                    "steps": steps,
                    "wall_s": round(wall_s, 1),
                    "rad": round(rad, 3),
                    "length": round(length, 1),
                    "fall": round(fall, 3),
                    "reward": round(rewards / config.steps_per_iteration / config.reward_scale, 4),
                    "std": round(float(_log_std(runner).detach().exp().mean()), 3),
                    "learning_rate": alg.learning_rate,
                    "value": losses["value"],
                }
            )
            bar.update(steps, f"{rad:.1f} rad, {length:.0f} steps an episode")
            if iteration % config.save_every == 0:
                _save(runner, out, steps, wall_s)
        if rank.first:
            _save(runner, out, steps, wall_s)
    if rank.first:
        plot_curves(
            out, "steps", ["rad", "length", "fall"], f"oracle, {config.wrist} {config.axis}"
        )


def _save(runner: OnPolicyRunner, out: Path, steps: int, wall_s: float) -> None:
    partial = out / "oracle.pt.part"
    runner.save(str(partial), {"steps": steps, "wall_s": wall_s})
    partial.replace(out / "oracle.pt")


class Oracle(torch.nn.Module):
    """A trained actor, deterministic.

    Args:
        actor: of a checkpoint.
        inputs: what it was trained on: so many of the first entries of the privileged observation.
    """

    def __init__(self, actor: torch.nn.Module, inputs: int) -> None:
        super().__init__()
        self.actor, self.inputs = actor, inputs

    def forward(self, privileged: torch.Tensor) -> torch.Tensor:
        """Map observations (N, D) to actions (N, 16), not clipped."""
        seen = TensorDict({"privileged": privileged[:, : self.inputs]}, [len(privileged)])
        action: torch.Tensor = self.actor(seen)
        return action


def load_oracle(folder: Path) -> Oracle:
    """The oracle of a run folder."""
    record = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    state = torch.load(folder / "oracle.pt", weights_only=False, map_location="cpu")
    weights = state["actor_state_dict"]
    actor = load_actor(weights, HIDDEN, record["init_std"], 16, "privileged")
    return Oracle(actor, weights["mlp.0.weight"].shape[1])
