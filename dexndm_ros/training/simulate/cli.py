# SPDX-License-Identifier: Apache-2.0
"""``dexndm rollouts policy|replay``: simulated episodes become a dataset, or more episodes of one that is there."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tyro
import yaml

from dexndm_ros.datasets.engine import EngineError
from dexndm_ros.datasets.errors import DatasetError, DatasetWriteError
from dexndm_ros.datasets.progress import Progress
from dexndm_ros.paths import PathError
from dexndm_ros.policy.spec import PolicySpecError
from dexndm_ros.policy.wrist import AxisError
from dexndm_ros.replay.campaign import CampaignError
from dexndm_ros.replay.lock import LockedError
from dexndm_ros.replay.noise import NoiseError
from dexndm_ros.replay.trajectory import LibraryError
from dexndm_ros.sim.load import LoadError
from dexndm_ros.sim.worlds import WorldError
from dexndm_ros.training.cli import ConfigError, from_mapping
from dexndm_ros.training.controllers import ControllerError
from dexndm_ros.training.simulate.config import ReplayConfig, RolloutConfig, SimulateError

__all__ = ["main", "read_config"]

_JOBS = {
    "policy": (RolloutConfig, "closed loop: a policy turns objects in drawn worlds"),
    "replay": (ReplayConfig, "open loop: a library's targets plus noise, under load or in a box"),
}
_REFUSALS = (
    AxisError, CampaignError, ConfigError, ControllerError, DatasetError, DatasetWriteError, EngineError, LibraryError,
    LoadError, LockedError, NoiseError, PathError, PolicySpecError, SimulateError, WorldError,
)  # fmt: skip
_REFUSED, _INTERRUPTED = 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Simulate.

    Returns:
        0 done; 2 refused, nothing has changed; 130 ended by Ctrl-C.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] not in _JOBS:
        print("usage: dexndm rollouts JOB --out DATASET [--config FILE] [--KEY VALUE ...]\n")
        for name, (_, summary) in _JOBS.items():
            print(f"  {name:<10}{summary}")
        return 0 if words in (["-h"], ["--help"]) else _REFUSED
    job = words[0]
    try:
        config = read_config(job, words[1:])
        from dexndm_ros.training.simulate.run import simulate

        simulate(config, Progress(sys.stderr), print)
    except KeyboardInterrupt:
        print(
            "\ninterrupted; the dataset is as it was. What is done is kept: the same command goes on from there",
            file=sys.stderr,
        )
        return _INTERRUPTED
    except _REFUSALS as error:
        print(f"dexndm rollouts {job}: {error}", file=sys.stderr)
        return _REFUSED
    return 0


def read_config(job: str, words: list[str]) -> Any:
    """Settings from a YAML file, the command line, or both.

    Args:
        job: "policy" or "replay".
        words: of the command line, ``--config FILE`` among them or not.

    Raises:
        ConfigError: the file cannot be read, or has a key that is none.
        SystemExit: words that are no settings.
    """
    kind = _JOBS[job][0]
    values: dict[str, Any] = {}
    if "--config" in words:
        at = words.index("--config")
        if at + 1 == len(words):
            raise ConfigError("--config needs a YAML file behind it")
        values = _read(Path(words[at + 1]))
        words = words[:at] + words[at + 2 :]
    prog = f"dexndm rollouts {job}"
    if "out" in values:
        values["out"] = Path(values["out"])
    elif values:  # the command line has it: any will do as the default of what is not there
        values["out"] = Path()
        if not any(word == "--out" or word.startswith("--out=") for word in words):
            raise ConfigError("say where the dataset is to be: --out DATASET, or out: in the file")
    if not values:
        return tyro.cli(kind, args=words, prog=prog)
    return tyro.cli(kind, args=words, prog=prog, default=from_mapping(kind, values))


def _read(file: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is not valid YAML: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{file}: expected keys and values")
    return values
