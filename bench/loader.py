# SPDX-License-Identifier: Apache-2.0
"""Windows a second from a warm dataset: mapped files against arrays in memory, one thread and all.

A window is ten rows of measured angles and of targets, 1,280 bytes. Every epoch takes all windows of the dataset once,
in another order; the fastest of a few counts, since the machine may have other things to do.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from bench.result import Check, Options, Result
from dexndm_ros.datasets.data_file import write_data_file
from dexndm_ros.datasets.episode import Episode
from dexndm_ros.datasets.features import empty_columns
from dexndm_ros.datasets.windows import WindowDataset

_ROWS = 400
_EPISODES_A_FILE = 512
_LENGTH = 10
_COLUMNS = ("observation.state", "action")
_EPOCHS = 5
_LEAST_WINDOWS_S = 2e6


def run(options: Options) -> Result:
    """Measure."""
    episodes = options.trajectories
    with tempfile.TemporaryDirectory(prefix="dexndm_loader_") as folder:
        dataset = Path(folder)
        _write(dataset, episodes, options.seed)
        before_mb = _own_memory_mb()
        began = time.perf_counter()
        windows = WindowDataset(dataset, _LENGTH, seed=options.seed)
        open_s = time.perf_counter() - began
        rows, best = [], 0.0
        for threads in sorted({1, options.threads}):
            for batch, reuse in ((4096, False), (65536, False), (65536, True)):
                loader = WindowDataset(dataset, _LENGTH, seed=options.seed, threads=threads)

                def epoch(
                    number: int,
                    loader: WindowDataset = loader,
                    batch: int = batch,
                    reuse: bool = reuse,
                ) -> Iterator[int]:
                    for each in loader.batches(batch, number, reuse=reuse):
                        yield len(each["action"])

                rate = _fastest(epoch, len(windows))
                best = max(best, rate)
                how = f"{threads} threads, batch {batch}" + (", arrays reused" if reuse else "")
                rows.append((how, *_numbers(rate)))
        grown_mb = _own_memory_mb() - before_mb
        rows.append(
            (
                "numpy, both columns in memory, batch 65536",
                *_numbers(_in_memory(windows, options.seed)),
            )
        )
    return Result(
        title=f"windows of {_LENGTH} rows, state and action, {len(windows):,} in {episodes:,} episodes",
        columns=("how", "million windows/s", "GB/s"),
        rows=rows,
        checks=[Check("million windows a second", best / 1e6, _LEAST_WINDOWS_S / 1e6, at_most=False)],
        notes=[
            f"opened in {open_s:.2f} s; {grown_mb:.0f} MB of own memory, "
            f"{windows.rows * 64 * len(_COLUMNS) / 1e6:.0f} MB are mapped and not copied",
            "numpy: fancy indexing of arrays that were read before, one thread",
        ],
        settings={"episodes": episodes, "rows": _ROWS, "length": _LENGTH, "epochs": _EPOCHS},
    )  # fmt: skip


def _write(dataset: Path, episodes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    columns = empty_columns(_ROWS)
    for name in _COLUMNS:
        columns[name][...] = rng.normal(size=(_ROWS, 16))
    columns["valid"][...] = True
    episode = Episode("bench", "bench", columns, {})
    for number, first in enumerate(range(0, episodes, _EPISODES_A_FILE)):
        path = dataset / "data" / "chunk-000" / f"file-{number:03d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        count = min(_EPISODES_A_FILE, episodes - first)
        write_data_file(path, [episode] * count, first, first * _ROWS, {"bench": 0})


def _fastest(epoch: Callable[[int], Iterator[int]], count: int) -> float:
    """Windows a second of the fastest epoch."""
    best_s = np.inf
    for number in range(_EPOCHS):
        began = time.perf_counter()
        seen = sum(epoch(number))
        best_s = min(best_s, time.perf_counter() - began)
        if seen != count:
            raise RuntimeError(f"{seen} windows came of {count}")
    return float(count / best_s)


def _in_memory(windows: WindowDataset, seed: int) -> float:
    """The same by numpy alone."""
    arrays = []
    for batch in WindowDataset(windows.dataset, 1, only_valid=False).batches(
        1 << 30, shuffle=False
    ):
        arrays = [np.ascontiguousarray(batch[name][:, 0]) for name in _COLUMNS]
    views = [
        np.lib.stride_tricks.sliding_window_view(array, _LENGTH, axis=0).transpose(0, 2, 1)
        for array in arrays
    ]

    def epoch(number: int) -> Iterator[int]:
        order = np.random.default_rng([seed, number]).permutation(windows.starts)
        for first in range(0, len(order), 65536):
            index = order[first : first + 65536]
            batch = [view[index] for view in views]
            yield len(batch[0])

    return _fastest(epoch, len(windows))


def _numbers(rate: float) -> tuple[float, float]:
    return rate / 1e6, rate * _LENGTH * 64 * len(_COLUMNS) / 1e9


def _own_memory_mb() -> float:
    """Anonymous memory of this process: mapped files are not in it."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    return float("nan")
