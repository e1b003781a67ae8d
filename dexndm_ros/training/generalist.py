# SPDX-License-Identifier: Apache-2.0
"""Generalist job: behaviour cloning of the oracles from proprioception alone.

    dexndm train generalist --out runs/generalist --data data/up data/down --width 1024 --blocks 5
    dexndm train generalist --config config/training/generalist.yaml

From shards of rollouts (survivors only, as in paper section 3.1), in epochs; or in rounds of rollouts and supervised
epochs, the first ones driven by the oracles, further ones by the student and labelled by the oracles (DAgger). Both
together: the epochs first, then rounds of the student.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import torch

from dexndm_ros.training.claim import refuse_other_settings
from dexndm_ros.training.cloning.cloner import Cloner, load_generalist
from dexndm_ros.training.cloning.config import GeneralistConfig, check_config
from dexndm_ros.training.cloning.epochs import EPOCH_SETTINGS, learn_epochs
from dexndm_ros.training.cloning.rounds import NothingSurvivedError, learn_rounds
from dexndm_ros.training.cloning.shards import Shards
from dexndm_ros.training.cloning.stream import SampleStream
from dexndm_ros.training.progress import OpenBar, commit_id, open_bar
from dexndm_ros.training.stopping import asked_to_stop

__all__ = ["GeneralistConfig", "NothingSurvivedError", "load_generalist", "train_generalist"]


def train_generalist(config: GeneralistConfig, bar: OpenBar = open_bar) -> Path:
    """Clone, save; resumes in mid-epoch, or after the last finished round, where the folder has a checkpoint.

    Args:
        config: what to train.
        bar: shows how far it is.

    Returns:
        ``<out>/generalist.pt``.

    Raises:
        ConfigError: settings that cannot be used, or other ones than the epochs were begun with.
        DatasetError: data that cannot be learned from.
        NothingSurvivedError: the oracles hold nothing.
    """
    check_config(config)
    torch.set_num_threads(config.torch_threads)
    torch.manual_seed(config.seed)
    out = Path(config.out)
    shards = stream = None
    if config.data:
        refuse_other_settings(out, config, EPOCH_SETTINGS)
        shards = Shards(config.data, config.held_out, config.survivors_only)
        stream = SampleStream(
            shards, config.batch, config.buffer_rows, config.seed, config.joint_noise_rad
        )
    cloner = Cloner(config)
    rounds = sum(config.rounds)
    if cloner.progress.get("final", False) and cloner.progress["rounds"] >= rounds:
        return cloner.file
    out.mkdir(parents=True, exist_ok=True)
    record = asdict(config) | {"commit": commit_id(), "shards": shards.told if shards else None}
    (out / "config.json").write_text(json.dumps(record, indent=2), encoding="utf-8")
    if stream is not None:
        with asked_to_stop() as stop:
            if not learn_epochs(config, cloner, stream, stop, bar):
                return cloner.file
    if rounds:
        learn_rounds(config, cloner, stream, bar)
    else:
        cloner.save({"final": True})
    return cloner.file
