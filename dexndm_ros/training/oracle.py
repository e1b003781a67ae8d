# SPDX-License-Identifier: Apache-2.0
"""Oracle job: PPO (``rsl-rl-lib``) on the privileged observation, resumable, one wrist and axis a run.

    dexndm train oracle --wrist palm_down --axis=+z --out runs/down_plus

Settings are those of the probe that learned both wrists from nothing on two cores.
"""

from __future__ import annotations

import copy
import json
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rsl_rl.env import VecEnv
from rsl_rl.runners import OnPolicyRunner
from tensordict import TensorDict

from dexndm_ros.policy.wrist import parse_axis
from dexndm_ros.sim.batch import HandBatch
from dexndm_ros.sim.correction import Correction
from dexndm_ros.sim.env import EnvConfig, RotationEnv
from dexndm_ros.sim.grasp_cache import GraspCache
from dexndm_ros.sim.grasps import GraspConfig, make_grasps
from dexndm_ros.sim.randomise import Randomisation, draw_worlds
from dexndm_ros.sim.worlds import World
from dexndm_ros.training.ppo import PpoConfig, algorithm_settings, load_actor, network_settings
from dexndm_ros.training.progress import OpenBar, commit_id, open_bar
from dexndm_ros.training.runlog import RunLog, plot_curves
from dexndm_ros.training.stopping import asked_to_stop
from dexndm_ros.training.widen import input_count, widen_checkpoint

__all__ = ["OracleConfig", "correction_for", "load_oracle", "train_oracle"]

_HIDDEN = (256, 128)


@dataclass(frozen=True)
class OracleConfig:
    """One oracle run.

    Attributes:
        out: run folder.
        wrist: wrist orientation.
        axis: rotation axis, palm frame.
        world: world file or shipped name that everything is drawn around.
        physics: preset to train on.
        envs: parallel environments.
        grasps: size of the grasp cache.
        grasps_from: a file of ``dexndm grasps make`` with all objects of the run, in place of making them; or empty.
        total_steps: environment steps in all.
        steps_per_iteration: control steps of each environment between updates.
        seed: of worlds, grasps, starts and networks.
        threads: physics threads.
        torch_threads: learner threads (1 is fastest for nets this small on shared cores).
        init_from: checkpoint to start from, or empty.
        starts_from: run folder of an oracle for the same wrist whose rollouts lend start states, or empty. A gait
            visited backwards in time passes through the same states, so the oracle of one direction shows
            the other what regrasping looks like.
        init_std: initial action noise.
        learning_rate: initial.
        reward_scale: rewards are multiplied by this before PPO sees them (keeps returns near 1).
        save_every: iterations between checkpoints.
        correction: run folder of ``dexndm train uan`` or ``asap`` that corrects the simulator, or empty.
        env: episode settings.
        randomisation: of the worlds.
        grasp: how grasps are sampled; where wrists are drawn, they must hold under every one of them.
    """

    out: str = "runs/oracle"
    wrist: str = "palm_up"
    axis: str = "+z"
    world: str = "nominal"
    physics: str = "fast"
    envs: int = 256
    grasps: int = 3000
    grasps_from: str = ""
    total_steps: int = 5_000_000
    steps_per_iteration: int = 16
    seed: int = 0
    threads: int = 2
    torch_threads: int = 1
    init_from: str = ""
    starts_from: str = ""
    init_std: float = 0.67
    learning_rate: float = 5e-4
    reward_scale: float = 0.05
    save_every: int = 25
    correction: str = ""
    env: EnvConfig = field(default_factory=EnvConfig)
    randomisation: Randomisation = field(default_factory=Randomisation)
    grasp: GraspConfig = field(default_factory=GraspConfig)


def runner_config(config: OracleConfig) -> dict[str, Any]:
    """The nested dict that rsl_rl 5 wants."""
    ppo = PpoConfig(
        hidden=_HIDDEN,
        steps=config.steps_per_iteration,
        epochs=4,
        minibatches=max(1, config.envs * config.steps_per_iteration // 1024),
        learning_rate=config.learning_rate,
        desired_kl=0.016,
        entropy=0.0,
        init_std=config.init_std,
    )
    model = {"class_name": "MLPModel"}
    return {
        "num_steps_per_env": ppo.steps,
        "save_interval": config.save_every,
        "obs_groups": {"actor": ["privileged"], "critic": ["privileged"]},
        "algorithm": {"class_name": "PPO"} | algorithm_settings(ppo),
        "actor": model | network_settings(ppo.hidden, ppo.init_std),
        "critic": model | network_settings(ppo.hidden),
    }


class OracleVecEnv(VecEnv):
    """``RotationEnv`` as rsl_rl sees it, keeping the statistics of finished episodes.

    Args:
        env: it.
        reward_scale: rewards are multiplied by this.
        inputs: so many of the first entries of the privileged observation are given; 0 = all.
    """

    def __init__(self, env: RotationEnv, reward_scale: float, inputs: int = 0) -> None:
        self.env = env
        self.inputs = inputs or env.privileged().shape[1]
        self.num_envs = env.count
        self.num_actions = 16
        self.max_episode_length = env.config.episode_steps
        self.device = "cpu"
        self.cfg: dict[str, Any] = {}
        self._scale = reward_scale
        self._turned = np.zeros(env.count)
        self.finished: deque[tuple[float, int, bool]] = deque(maxlen=512)

    @property
    def episode_length_buf(self) -> torch.Tensor:
        """Steps of the running episodes."""
        return torch.from_numpy(self.env.episode_step)

    @episode_length_buf.setter
    def episode_length_buf(self, value: torch.Tensor) -> None:
        self.env.episode_step[:] = value.numpy()

    def get_observations(self) -> TensorDict:
        """The privileged observation."""
        obs = torch.from_numpy(self.env.privileged())[:, : self.inputs]
        return TensorDict({"privileged": obs}, batch_size=[self.num_envs])

    def step(
        self, actions: torch.Tensor
    ) -> tuple[TensorDict, torch.Tensor, torch.Tensor, dict[str, Any]]:
        """Advance; a time-out is told apart from a fall, so that PPO bootstraps it."""
        steps = self.env.episode_step + 1
        result = self.env.step(actions.numpy().astype(np.float64))
        if not np.isfinite(result.reward).all():
            raise FloatingPointError("the simulation gave a reward that is not finite")
        self._turned += result.turned_rad
        for k in np.flatnonzero(result.done):
            self.finished.append((self._turned[k], int(steps[k]), bool(result.terminated[k])))
        self._turned[result.done] = 0.0
        reward = torch.from_numpy((result.reward * self._scale).astype(np.float32))
        extras = {"time_outs": torch.from_numpy(result.truncated.astype(np.float32))}
        return self.get_observations(), reward, torch.from_numpy(result.done), extras


def build_env(config: OracleConfig) -> RotationEnv:
    """Worlds, grasps and environment of a run."""
    base = replace(World.load(config.world), wrist=config.wrist, physics=config.physics)
    worlds = draw_worlds(base, config.envs, config.randomisation, config.seed)
    batch = HandBatch(worlds, config.threads)
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
            config.threads,
        )  # fmt: skip
        grasps = grasps.joined(harvest_starts(lender, load_oracle(folder), every=20))
    correction = correction_for(config.correction, config.envs, config.physics)
    return RotationEnv(
        worlds, grasps, axis, config.env, config.seed, config.threads, correction=correction
    )


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
    torch.set_num_threads(config.torch_threads)
    torch.manual_seed(config.seed)
    out = Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    record = asdict(config) | {"commit": commit_id()}
    (out / "config.json").write_text(json.dumps(record, indent=2), encoding="utf-8")
    checkpoint = out / "oracle.pt"
    vec = OracleVecEnv(build_env(config), config.reward_scale, input_count(checkpoint))
    train_cfg = runner_config(config)
    runner = OnPolicyRunner(vec, copy.deepcopy(train_cfg), log_dir=None, device="cpu")
    done_steps, wall_s = 0, 0.0
    if checkpoint.exists():
        state = runner.load(str(checkpoint))
        done_steps, wall_s = state["steps"], state["wall_s"]
        vec.env.steps = done_steps
    elif config.init_from:
        wider = out / "begin.pt"
        begin = widen_checkpoint(Path(config.init_from), vec.inputs, wider)
        runner.load(
            str(begin),
            load_cfg={"actor": True, "critic": True, "optimizer": False, "iteration": False},
        )
        wider.unlink(missing_ok=True)
        _set_std(runner, config.init_std)
        if not _same_task(config):
            _forget_constants(runner)
    with asked_to_stop() as stop:
        _learn(config, runner, vec, done_steps, wall_s, stop, bar)
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
) -> None:
    out = Path(config.out)
    alg = runner.alg
    log = RunLog(
        out,
        ["steps", "wall_s", "rad", "length", "fall", "reward", "std", "learning_rate", "value"],
    )
    bar = open_one(config.total_steps, f"oracle {config.wrist} {config.axis}", steps)
    begin = time.monotonic() - wall_s
    iteration = 0
    obs = vec.get_observations()
    alg.train_mode()
    while steps < config.total_steps and not stop():
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
        rad, length, fall = np.array(vec.finished or [(0.0, 0, False)], dtype=float).mean(axis=0)
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
    _save(runner, out, steps, wall_s)
    log.close()
    bar.close()
    plot_curves(out, "steps", ["rad", "length", "fall"], f"oracle, {config.wrist} {config.axis}")


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
    actor = load_actor(weights, _HIDDEN, record["init_std"], 16, "privileged")
    return Oracle(actor, weights["mlp.0.weight"].shape[1])
