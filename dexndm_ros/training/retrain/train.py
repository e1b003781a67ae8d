# SPDX-License-Identifier: Apache-2.0
"""Retraining job: the shipped policy goes on learning in a simulator that was corrected after the hand.

    dexndm train retrain --world runs/sysid/world.yaml --out runs/retrained
    dexndm train retrain --correction runs/uan --out runs/retrained_uan

First each task's oracle (PPO from its shipped weights), then their student (behaviour cloning from the shipped
generalist's), both by the jobs that made them. It ends in a policy file that needs no residual.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dexndm_ros.paths import PathError, policy_path
from dexndm_ros.policy.observation import OBSERVATION_SIZE
from dexndm_ros.policy.onnx_file import open_model
from dexndm_ros.policy.spec import PolicySpecError
from dexndm_ros.training.claim import refuse_other_settings
from dexndm_ros.training.cli import ConfigError, from_mapping
from dexndm_ros.training.export import main as export
from dexndm_ros.training.export import verify_export
from dexndm_ros.training.generalist import GeneralistConfig, load_generalist, train_generalist
from dexndm_ros.training.oracle import OracleConfig, train_oracle
from dexndm_ros.training.progress import Stages, commit_id
from dexndm_ros.training.retrain.config import RetrainConfig, completed, parse_tasks
from dexndm_ros.training.rollouts import Task

__all__ = ["RetrainStoppedError", "train_retrain"]

_FREE = ("out", "threads", "torch_threads")
"""Settings that may differ when a run goes on."""
_ORACLE_COST = 2
"""A control step of an oracle, learning included, over one of the student's rounds (measured)."""


class RetrainStoppedError(RuntimeError):
    """The run was asked to stop; the same command goes on."""


def train_retrain(config: RetrainConfig) -> Path:
    """Adapt the shipped policy, or go on where the run folder stands.

    Returns:
        ``<out>/policy.onnx``, a base policy; the runs of oracles and student stand beside it.

    Raises:
        ConfigError: settings that cannot be used, or other ones than the run was begun with.
        RetrainStoppedError: Ctrl-C or SIGTERM.
    """
    config = completed(config)
    tasks = parse_tasks(config.tasks)
    shipped = _shipped(config.base)
    lenders = [_lender(shipped / "oracles", wrist, axis) for wrist, axis in tasks]
    out = Path(config.out)
    _claim(out, config)
    student = _student(config, out, shipped / "generalist", tasks)
    rounds = student.oracle_rounds + student.student_rounds
    # Round and final epochs each go through about one episode of every environment.
    lengths = [_ORACLE_COST * config.oracle_steps] * len(tasks) + [(rounds + 1) * config.envs * 400]
    stages = Stages("retrain", lengths)
    for task, lender in zip(student.tasks, lenders, strict=True):
        settings = _oracle(config, Path(task.oracle), lender)
        stage = stages.next()
        if not _learned(settings):
            train_oracle(settings, stage)
        if not _learned(settings):
            raise RetrainStoppedError(
                f"stopped in {settings.out}; the same command goes on from there"
            )
    train_generalist(student, stages.next())
    stages.close()
    file = out / "policy.onnx"
    if export(["--run", student.out, "--out", str(file)]):
        raise RuntimeError(f"{student.out} was trained, but could not be exported")
    return file


def _shipped(base: str) -> Path:
    """The folder of a policy with the runs that it came from, which is what goes on learning."""
    try:
        file = policy_path(base)
    except PathError as error:
        raise ConfigError(f"base: {error}") from error
    folder = file.parent
    for part in ("oracles", "generalist/generalist.pt"):
        if not (folder / part).exists():
            raise ConfigError(f"base: {base} has no {part} beside it to go on learning from")
    rows = np.random.default_rng(0).normal(size=(64, OBSERVATION_SIZE))
    try:
        verify_export(load_generalist(folder / "generalist"), open_model(file).path, rows)
    except (PolicySpecError, RuntimeError) as error:
        raise ConfigError(
            f"base: {file} is not the policy of {folder / 'generalist'}, which would go on learning; export that run, "
            f"or give its file ({error})"
        ) from error
    return folder


def _lender(oracles: Path, wrist: str, axis: str) -> Path:
    """The run folder of the oracle of a task."""
    known = []
    for checkpoint in sorted(oracles.glob("*/oracle.pt")):
        record = _record(checkpoint.parent)
        if (record["wrist"], record["axis"]) == (wrist, axis):
            return checkpoint.parent
        known.append(f"{record['wrist']}:{record['axis']}")
    raise ConfigError(
        f"tasks: {oracles} has no oracle for {wrist}:{axis}; it has {', '.join(known)}"
    )


def _record(folder: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return record


def _claim(out: Path, config: RetrainConfig) -> None:
    """Write the settings, or refuse to go on with other ones."""
    ours = asdict(config)
    refuse_other_settings(out, config, [key for key in ours if key not in _FREE])
    file = out / "config.json"
    if not file.exists():
        out.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(ours | {"commit": commit_id()}, indent=2), encoding="utf-8")


def _oracle(config: RetrainConfig, out: Path, lender: Path) -> OracleConfig:
    """The lender's own settings, but for where and how long it goes on."""
    record = _record(lender)
    record.pop("commit", None)
    known: OracleConfig = from_mapping(OracleConfig, record)
    # It has had the time that the schedule of this penalty is made of.
    reward = replace(known.env.reward, off_axis_start_steps=-1.0, off_axis_end_steps=0.0)
    return replace(
        known,
        out=str(out),
        world=config.world,
        physics=config.physics,
        envs=config.envs,
        grasps=config.grasps,
        total_steps=config.oracle_steps,
        seed=config.seed,
        threads=config.threads,
        torch_threads=config.torch_threads,
        init_from=str(lender / "oracle.pt"),
        starts_from="",
        init_std=config.oracle_std,
        learning_rate=config.oracle_learning_rate,
        env=replace(known.env, reward=reward),
        randomisation=config.randomisation,
        correction=config.correction,
    )


def _learned(config: OracleConfig) -> bool:
    file = Path(config.out) / "oracle.pt"
    if not file.exists():
        return False
    state = torch.load(file, weights_only=False, map_location="cpu")
    return bool(state["infos"]["steps"] >= config.total_steps)


def _student(
    config: RetrainConfig, out: Path, shipped: Path, tasks: tuple[tuple[str, str], ...]
) -> GeneralistConfig:
    record = _record(shipped)
    return GeneralistConfig(
        out=str(out / "generalist"),
        tasks=tuple(
            Task(wrist, axis, str(out / "oracles" / f"{wrist}{axis}")) for wrist, axis in tasks
        ),
        world=config.world,
        physics=config.physics,
        envs=config.envs,
        oracle_rounds=config.oracle_rounds,
        student_rounds=config.student_rounds,
        joint_noise_rad=record["joint_noise_rad"],
        width=record["width"],
        blocks=record["blocks"],
        passes=config.passes,
        final_epochs=config.final_epochs,
        learning_rate=config.learning_rate,
        seed=config.seed,
        threads=config.threads,
        torch_threads=config.torch_threads,
        init=str(shipped),
        correction=config.correction,
        randomisation=config.randomisation,
    )
