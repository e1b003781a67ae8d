# SPDX-License-Identifier: Apache-2.0
"""Epochs over shards of rollouts, told and saved as they go; a run that was cut off goes on in mid-epoch."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import torch

from dexndm_ros.training.cli import ConfigError
from dexndm_ros.training.cloning.cloner import Cloner, warm_cosine
from dexndm_ros.training.cloning.config import GeneralistConfig
from dexndm_ros.training.cloning.stream import Position, SampleStream
from dexndm_ros.training.progress import OpenBar
from dexndm_ros.training.runlog import RunLog, plot_curves

__all__ = ["EPOCH_SETTINGS", "learn_epochs"]

EPOCH_SETTINGS = (
    "epochs", "buffer_rows", "held_out", "warm_up_steps", "joint_noise_rad", "width", "blocks", "batch",
    "learning_rate", "survivors_only", "seed", "init",
)  # fmt: skip
"""What the epochs follow from, beside the data."""
_NORMALISED = 20_000
_FIELDS = ["step", "epoch", "samples", "loss", "validation", "learning_rate", "wall_s"]


@dataclass
class _Since:
    """Losses since the last row of the log."""

    total: float = 0.0
    steps: int = 0

    @property
    def mean(self) -> float:
        return self.total / self.steps if self.steps else float("nan")


def learn_epochs(
    config: GeneralistConfig,
    cloner: Cloner,
    stream: SampleStream,
    stop: Callable[[], bool],
    open_bar: OpenBar,
) -> bool:
    """Learn from shards, or go on where the checkpoint stands.

    The log and its picture are in ``<out>/epochs``.

    Args:
        config: of the run.
        cloner: what learns.
        stream: its samples.
        stop: whether the run is asked to end.
        open_bar: shows how far it is.

    Returns:
        All epochs are done; False = it was asked to end.

    Raises:
        ConfigError: other data than the run was begun with, or a loss that is not finite.
        DatasetError: a shard that cannot be learned from.
    """
    told = cloner.progress.get("epochs")
    data = stream.shards.fingerprint()
    if told is None:
        if not config.init:
            cloner.net.fit_normaliser(torch.from_numpy(stream.sample(_NORMALISED)))
        at, since, wall_s = Position(), _Since(), 0.0
    else:
        if told["data"] != data:
            raise ConfigError(
                f"data: {cloner.file.parent} was begun with other datasets, or they have grown since; give those, or "
                "another --out"
            )
        at, since, wall_s = Position(**told["at"]), _Since(**told["since"]), told["wall_s"]
    if at.epoch >= config.epochs:
        return True
    folder = cloner.file.parent / "epochs"
    folder.mkdir(exist_ok=True)
    log = RunLog(folder, _FIELDS)
    total = config.epochs * stream.shards.learned
    bar = open_bar(total, "generalist", at.samples)
    begin = time.monotonic() - wall_s

    def keep(begun: _Since) -> None:
        now = {"data": data, "at": asdict(at), "since": asdict(begun)}
        cloner.save({"epochs": now | {"wall_s": time.monotonic() - begin}})

    validation = float("nan")
    for batch in stream.batches(at, config.epochs):
        share = warm_cosine(at.step, config.warm_up_steps, at.samples / total)
        loss = cloner.step(batch.observation, batch.action, share)
        if not np.isfinite(loss):
            raise ConfigError(f"the loss is not finite in step {at.step}; lower learning_rate")
        since.total, since.steps = since.total + loss, since.steps + 1
        epoch, at = at.epoch, batch.after
        tell = at.step % config.save_every == 0 or at.epoch != epoch
        if tell:
            validation = _validation(cloner, stream, config.validation_rows)
            row = {
                "step": at.step,
                "epoch": round(at.samples / stream.shards.learned, 4),
                "samples": at.samples,
                "loss": round(since.mean, 6),
                "validation": round(validation, 6),
                "learning_rate": config.learning_rate * share,
                "wall_s": round(time.monotonic() - begin, 1),
            }
            since = _Since()
            keep(since)  # first: a row must not come twice when the run is cut off here
            log.write(row)
        bar.update(at.samples, f"loss {loss:.4f}, held out {validation:.4f}")
        if stop():
            if not tell:
                keep(since)
            break
    log.close()
    bar.close()
    if (folder / "log.csv").read_text(encoding="utf-8").count("\n") > 1:
        plot_curves(folder, "step", ["loss", "validation", "learning_rate"], "generalist")
    return at.epoch >= config.epochs


def _validation(cloner: Cloner, stream: SampleStream, rows: int) -> float:
    """Mean loss on trajectories that are held out; NaN = there are none."""
    total, count = 0.0, 0
    for observation, action in stream.held_out(rows):
        total += cloner.loss(observation, action) * len(action)
        count += len(action)
    return total / count if count else float("nan")
