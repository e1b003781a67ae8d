# SPDX-License-Identifier: Apache-2.0
"""``dexndm train oracle|generalist|dynamics|residual ...``: a job from a YAML file, the command line, or both."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
import yaml

from dexndm_ros.datasets.errors import DatasetError

__all__ = ["ConfigError", "main"]


class ConfigError(ValueError):
    """A job configuration that cannot be used; the message names the key."""


@dataclass(frozen=True)
class _Job:
    load: Callable[[], tuple[Any, Callable[[Any], Path]]]
    summary: str


def _oracle() -> tuple[Any, Callable[[Any], Path]]:
    from dexndm_ros.training.oracle import OracleConfig, train_oracle

    return OracleConfig, train_oracle


def _generalist() -> tuple[Any, Callable[[Any], Path]]:
    from dexndm_ros.training.generalist import GeneralistConfig, train_generalist

    return GeneralistConfig, train_generalist


def _dynamics() -> tuple[Any, Callable[[Any], Path]]:
    from dexndm_ros.training.dynamics.config import DynamicsConfig
    from dexndm_ros.training.dynamics.train import train_dynamics

    return DynamicsConfig, train_dynamics


def _residual() -> tuple[Any, Callable[[Any], Path]]:
    from dexndm_ros.training.residual.config import ResidualConfig
    from dexndm_ros.training.residual.train import train_residual

    return ResidualConfig, train_residual


def _uan() -> tuple[Any, Callable[[Any], Path]]:
    from dexndm_ros.training.corrections.config import UanConfig
    from dexndm_ros.training.corrections.train import train_uan

    return UanConfig, train_uan


def _asap() -> tuple[Any, Callable[[Any], Path]]:
    from dexndm_ros.training.corrections.config import AsapConfig
    from dexndm_ros.training.corrections.train import train_asap

    return AsapConfig, train_asap


def _retrain() -> tuple[Any, Callable[[Any], Path]]:
    from dexndm_ros.training.retrain.config import RetrainConfig
    from dexndm_ros.training.retrain.train import train_retrain

    return RetrainConfig, train_retrain


JOBS = {
    "oracle": _Job(_oracle, "PPO on the privileged observation, one wrist and axis"),
    "generalist": _Job(_generalist, "behaviour cloning of oracles from proprioception"),
    "dynamics": _Job(_dynamics, "what each joint does next, from a dataset of recorded motion"),
    "residual": _Job(
        _residual, "correction of a policy's targets, through a model of the hand's dynamics"
    ),
    "uan": _Job(_uan, "torques that make the simulator move as a recorded free hand did"),
    "asap": _Job(_asap, "changes of targets that do the same"),
    "retrain": _Job(
        _retrain, "the shipped policy, adapted in an identified or corrected simulator"
    ),
}


def _pop_config(words: list[str]) -> tuple[dict[str, Any], list[str]]:
    """Take ``--config FILE`` out of the words."""
    if "--config" not in words:
        return {}, words
    at = words.index("--config")
    if at + 1 == len(words):
        raise ConfigError("--config needs a YAML file behind it")
    file = Path(words[at + 1])
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{file} is not valid YAML: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{file}: expected keys and values")
    return values, words[:at] + words[at + 2 :]


def main(argv: Sequence[str] | None = None) -> int:
    """Run a job; exit 2 on a configuration that cannot be used."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] not in JOBS:
        print("usage: dexndm train JOB [--config FILE] [--KEY VALUE ...]\n")
        for name, job in JOBS.items():
            print(f"  {name:<12}{job.summary}")
        return 0 if words in (["-h"], ["--help"]) else 2
    # Small nets on shared cores: spinning OpenMP threads cost a factor of ten (facts, oracle probe).
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    kind, run = JOBS[words[0]].load()
    try:
        values, rest = _pop_config(words[1:])
        default = from_mapping(kind, values)
    except ConfigError as error:
        print(f"dexndm train {words[0]}: {error}", file=sys.stderr)
        return 2
    config = tyro.cli(kind, args=rest, default=default, prog=f"dexndm train {words[0]}")
    try:
        made = run(config)
        if os.environ.get("RANK", "0") == "0":  # under torchrun there are many of us
            print(made)
    except (ConfigError, DatasetError) as error:
        print(f"dexndm train {words[0]}: {error}", file=sys.stderr)
        return 2
    except RuntimeError as error:
        print(f"dexndm train {words[0]}: {error}", file=sys.stderr)
        return 1
    return 0


def from_mapping(kind: Any, values: dict[str, Any], where: str = "") -> Any:
    """A configuration dataclass from nested mappings.

    Raises:
        ConfigError: an unknown key; the message lists the known ones.
    """
    import dataclasses
    import typing

    hints = typing.get_type_hints(kind)
    known = {field.name for field in dataclasses.fields(kind)}
    taken: dict[str, Any] = {}
    for key, value in values.items():
        if key not in known:
            raise ConfigError(f"unknown key {where}{key}; known keys: {', '.join(sorted(known))}")
        hint = hints[key]
        item = typing.get_args(hint)[0] if typing.get_origin(hint) is tuple else None
        if dataclasses.is_dataclass(hint) and isinstance(value, dict):
            taken[key] = from_mapping(hint, value, f"{where}{key}.")
        elif item is not None and dataclasses.is_dataclass(item):
            taken[key] = tuple(from_mapping(item, part, f"{where}{key}.") for part in value)
        else:
            taken[key] = tuple(value) if isinstance(value, list) else value
    return kind(**taken)
