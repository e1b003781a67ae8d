# SPDX-License-Identifier: Apache-2.0
"""Samples a second of behaviour cloning from shards: reading and observations alone, and with two sizes of network.

One learner thread; the shards are made up, of full length and in the layout of ``dexndm rollouts``.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from bench.result import Check, Options, Result
from dexndm_ros.datasets.data_file import rows_path, write_data_file
from dexndm_ros.datasets.episode import Episode
from dexndm_ros.datasets.episode_table import fact_types, finish_rows
from dexndm_ros.datasets.features import empty_columns
from dexndm_ros.datasets.layout import data_path, episodes_path, write_info
from dexndm_ros.training.cloning.cloner import Cloner
from dexndm_ros.training.cloning.config import GeneralistConfig
from dexndm_ros.training.cloning.shards import Shards
from dexndm_ros.training.cloning.stream import Position, SampleStream

_ROWS = 400
_SIZES = ((256, 3), (1024, 5))
_TICK_RAD = 2.0 * np.pi / 4096


def run(options: Options) -> Result:
    """Measure."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="dexndm_cloning_") as folder:
        dataset = Path(folder) / "data"
        made = _write(dataset, options.trajectories, options.seed)
        shards = Shards([str(dataset)], 0.0, True)
        stream = SampleStream(shards, 1024, 262_144, options.seed, 0.003)
        begin = time.perf_counter()
        samples = sum(len(each.action) for each in stream.batches(Position(), 1))
        alone = samples / (time.perf_counter() - begin)
        rates = {size: _rate(stream, *size, options.seconds) for size in _SIZES}
    rows: list[list[object]] = [["reading and observations alone", alone]]
    rows += [[f"{width} x {blocks}", rate] for (width, blocks), rate in rates.items()]
    small = rates[_SIZES[0]]
    return Result(
        f"Samples a second of cloning, batch 1024, {samples:,} samples",
        ["what", "samples/s"],
        rows,
        [Check("reading against learning at 256 x 3", alone / small, 3.0, at_most=False)],
        [
            f"{made / options.trajectories / 1000:.0f} kB a trajectory of {_ROWS} steps in the data file"
        ],
        {"trajectories": options.trajectories},
    )


def _rate(stream: SampleStream, width: int, blocks: int, seconds: float) -> float:
    """With the gradient steps, without the first of them."""
    cloner = Cloner(GeneralistConfig(out="/nowhere", width=width, blocks=blocks))
    batches = stream.batches(Position(), 1_000_000)
    first = next(batches)
    cloner.step(first.observation, first.action)
    begin, count = time.perf_counter(), 0
    for batch in batches:
        cloner.step(batch.observation, batch.action)
        count += len(batch.action)
        if (passed_s := time.perf_counter() - begin) > seconds:
            return count / passed_s
    raise RuntimeError("the stream has ended")


def _write(folder: Path, trajectories: int, seed: int) -> int:
    """Noise as rollouts have it; the size of the data file, bytes."""
    rng = np.random.default_rng(seed)
    episodes = [_episode(f"bench/{k}", rng) for k in range(trajectories)]
    data, meta = folder / data_path(0), folder / episodes_path(0)
    for path in (data, meta):
        path.parent.mkdir(parents=True)
    done = write_data_file(data, episodes, 0, 0, {"bench": 0})
    finish_rows(rows_path(data), meta, fact_types(rows_path(data)), 0, 0)
    write_info(folder, trajectories, done.rows, 1, 20)
    return done.bytes


def _episode(identity: str, rng: np.random.Generator) -> Episode:
    columns = empty_columns(_ROWS)
    action = rng.uniform(-1.0, 1.0, (_ROWS, 16)) / 24.0
    told = 0.5 * np.sin(np.cumsum(action, axis=0))
    columns["observation.command"][...] = told
    columns["observation.state"][...] = np.round(0.9 * told / _TICK_RAD) * _TICK_RAD
    columns["action.clean"][...] = told + action
    columns["action"][...] = np.roll(told, -1, axis=0)
    columns["observation.wrist"][...] = (0.0, 0.0, 0.0, 1.0)
    columns["observation.axis"][...] = (0.0, 0.0, 1.0)
    columns["valid"][...] = True
    return Episode(identity, "bench", columns, {"trajectory": -1})
