# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of corrections, and the trained ones for a policy to learn with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dexndm_ros.sim.correction import Correction
from dexndm_ros.training.cli import from_mapping
from dexndm_ros.training.corrections.asap import NETWORKS, DeltaCorrection
from dexndm_ros.training.corrections.config import AsapConfig, FollowConfig, UanConfig
from dexndm_ros.training.corrections.errors import CorrectionError
from dexndm_ros.training.corrections.uan import ActuatorCorrection
from dexndm_ros.training.ppo import load_actor

__all__ = ["CHECKPOINT", "correction_of", "load_correction", "read_checkpoint"]

CHECKPOINT = "correction.pt"
_KINDS: dict[str, type[FollowConfig]] = {"uan": UanConfig, "asap": AsapConfig}


def read_checkpoint(folder: Path) -> dict[str, Any]:
    """The checkpoint of a run folder.

    Raises:
        CorrectionError: none there, or one that cannot be read.
    """
    file = folder / CHECKPOINT
    if not file.is_file():
        raise CorrectionError(
            f"{folder} has no {CHECKPOINT}: give the run folder of `dexndm train uan` or `dexndm train asap`"
        )
    try:
        state: dict[str, Any] = torch.load(file, weights_only=True, map_location="cpu")
    except Exception as error:
        raise CorrectionError(f"{file} cannot be read: {error}; train it again") from error
    return state


def correction_of(config: FollowConfig, actors: Sequence[nn.Module], count: int) -> Correction:
    """Networks as a correction of ``count`` hands."""
    if isinstance(config, UanConfig):
        return ActuatorCorrection(actors[0], count, config)
    assert isinstance(config, AsapConfig)
    return DeltaCorrection(actors, count, config)


def load_correction(folder: str | Path, count: int, physics: str = "") -> Correction:
    """The correction of a run folder, for ``RotationEnv(..., correction=...)``.

    Args:
        folder: of ``dexndm train uan`` or ``dexndm train asap``.
        count: hands.
        physics: preset that it will run in; "" = it is not known.

    Raises:
        CorrectionError: no run, or one of another physics preset, whose history is of other steps.
    """
    state = read_checkpoint(Path(folder))
    config = from_mapping(_KINDS[state["kind"]], state["config"])
    if physics and physics != config.physics:
        raise CorrectionError(
            f"{folder} corrects physics {config.physics}, and {physics} is asked for; "
            f"train it with --physics {physics}"
        )
    actions = 1 if state["kind"] == "uan" else 16 // NETWORKS[config.structure]
    actors = [
        load_actor(each, config.ppo.hidden, config.ppo.init_std, actions, "obs").as_jit().eval()
        for each in state["best"]["actors"]
    ]
    return correction_of(config, actors, count)
