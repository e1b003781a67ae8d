# SPDX-License-Identifier: Apache-2.0
"""A dataset once more, as robomimic (HDF5) or Diffusion Policy and UMI (Zarr) read it.

Their readers know no rows that may not be used: an episode with such rows becomes several demos, the stretches of
valid rows between them. Written from the dataset's folder, a row group at a time, under another name first: an export
is whole or not there. An older export of ours of the same name is replaced, anything else of that name is left alone.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dexndm_ros.datasets.demonstration_features import features_of
from dexndm_ros.datasets.errors import DatasetError
from dexndm_ros.datasets.export_demo import Demo
from dexndm_ros.datasets.export_hdf5 import hdf5_mark, write_hdf5
from dexndm_ros.datasets.export_zarr import write_zarr, zarr_mark
from dexndm_ros.datasets.files import exchange, refused, sync_folder, sync_tree
from dexndm_ros.datasets.provenance import Existing, read_existing
from dexndm_ros.datasets.report_source import row_groups
from dexndm_ros.hand.joints import JOINT_NAMES

__all__ = ["ExportSummary", "export_dataset"]

_LEAST_ROWS = 2
"""Of a demo: a state, and what came of it."""


@dataclass(frozen=True)
class ExportSummary:
    """What an export holds of a dataset.

    Attributes:
        episodes: of the dataset.
        demos: stretches of valid rows that were written.
        rows: in them.
        invalid: rows that were left out since they are not valid.
        short: stretches that were left out since they are a single row.
        empty: episodes of which nothing was written.
    """

    episodes: int
    demos: int
    rows: int
    invalid: int = 0
    short: int = 0
    empty: int = 0

    def __str__(self) -> str:
        text = f"{self.demos:,} demos with {self.rows:,} rows, of {self.episodes:,} episodes"
        if self.invalid:
            text += (
                f"; {self.invalid:,} rows that are not valid were left out, and episodes cut there"
            )
        if self.short:
            text += f"; {self.short:,} stretches of a single valid row were left out too"
        if self.empty:
            text += f"; nothing is left of {self.empty:,} episodes"
        return text


def export_dataset(
    dataset: Path,
    out: Path,
    form: Literal["hdf5", "zarr"],
    progress: Callable[[float], None] | None = None,
) -> ExportSummary:
    """Write a dataset in another format. Nobody may change the dataset meanwhile: see ``store.held``.

    Args:
        dataset: folder that ``dexndm convert`` made.
        out: a file for "hdf5", a folder for "zarr".
        form: which format.
        progress: called now and then with the share that is done.

    Returns:
        What was written.

    Raises:
        DatasetError: no dataset, one without episodes or valid rows, or something else is at ``out``.
        DatasetWriteError: the disk refuses.
        ImportError: h5py or zarr is not there.
    """
    whole = read_existing(dataset)
    if not whole.episodes:
        raise DatasetError(
            f"{dataset} has no episodes to export: give the folder that dexndm convert made"
        )
    cuts = _valid_stretches(dataset)
    summary = _summary(whole, cuts)
    if not summary.demos:
        raise DatasetError(
            f"{dataset} has no {_LEAST_ROWS} valid rows in a row: its report.html says why"
        )
    out = out.absolute()
    mark = hdf5_mark if form == "hdf5" else zarr_mark
    if out.exists() and not mark(out):
        raise DatasetError(
            f"{out} exists and is no {form} export of a dataset: give another name, or move it away"
        )
    beside = out.with_name(f".{out.name}.tmp")
    with refused(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        _remove(beside)  # of one that was killed
        try:
            demos = _demos(dataset, cuts, progress)
            if form == "hdf5":
                write_hdf5(beside, demos, _about(dataset, whole))
                with beside.open("rb") as file:
                    os.fsync(file.fileno())
                beside.replace(out)
            else:
                write_zarr(beside, demos, summary.rows, _about(dataset, whole))
                sync_tree(beside)
                _replace_folder(beside, out)
            sync_folder(out.parent)
        finally:
            _remove(beside)
    return summary


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _replace_folder(new: Path, out: Path) -> None:
    if out.exists() and not exchange(new, out):
        shutil.rmtree(out)  # what it held can be made again
    if new.exists() and not out.exists():
        new.rename(out)


def _about(dataset: Path, whole: Existing) -> dict[str, Any]:
    """What an export says of itself."""
    info = json.loads((dataset / "meta/info.json").read_text(encoding="utf-8"))
    return {
        "rate_hz": info["fps"],
        "joints": list(JOINT_NAMES),
        "units": {each.name: each.unit for each in features_of(info["features"]) if each.unit},
        "tasks": list(whole.tasks),
        "config_hash": whole.config_hash,
        "data_sha256": [each.sha256 for each in whole.files],
    }


def _valid_stretches(dataset: Path) -> list[list[tuple[int, int]]]:
    """Of each episode the stretches of valid rows, the first row and the one behind the last, counted in it."""
    found = []
    for rows, _ in row_groups(dataset, ["valid", "episode_index"]):
        for first, end in _episodes(rows["episode_index"]):
            valid = np.concatenate([[False], rows["valid"][first:end], [False]])
            edges = np.flatnonzero(np.diff(valid.astype(np.int8))).reshape(-1, 2)
            found.append([(int(begin), int(behind)) for begin, behind in edges])
    return found


def _summary(whole: Existing, cuts: Sequence[Sequence[tuple[int, int]]]) -> ExportSummary:
    lengths = [[behind - begin for begin, behind in each] for each in cuts]
    long = [[length for length in each if length >= _LEAST_ROWS] for each in lengths]
    return ExportSummary(
        episodes=whole.episodes,
        demos=sum(map(len, long)),
        rows=sum(map(sum, long)),
        invalid=whole.rows - sum(map(sum, lengths)),
        short=sum(map(len, lengths)) - sum(map(len, long)),
        empty=sum(not each for each in long),
    )


def _episodes(index: NDArray[np.generic]) -> Iterator[tuple[int, int]]:
    """First row and the one behind the last of each episode in a row group."""
    return pairwise([0, *(np.flatnonzero(np.diff(index)) + 1).tolist(), len(index)])


def _demos(
    dataset: Path,
    cuts: Sequence[Sequence[tuple[int, int]]],
    progress: Callable[[float], None] | None,
) -> Iterator[Demo]:
    """Every demo, in order; a row group is in memory at a time."""
    facts = zip(_facts(dataset), cuts, strict=True)
    info = json.loads((dataset / "meta/info.json").read_text(encoding="utf-8"))
    names = [each.name for each in features_of(info["features"])]
    for rows, share in row_groups(dataset, [*names, "episode_index"]):
        for first, end in _episodes(rows["episode_index"]):
            fact, stretches = next(facts)
            columns = {name: rows[name][first:end] for name in names}
            for begin, behind in stretches:
                if behind - begin >= _LEAST_ROWS:
                    part = {name: values[begin:behind] for name, values in columns.items()}
                    yield Demo(part, fact, begin)
        if progress is not None:
            progress(share)


def _facts(dataset: Path) -> Iterator[Mapping[str, Any]]:
    for path in sorted((dataset / "meta/episodes").glob("chunk-*/file-*.parquet")):
        columns = [name for name in pq.read_schema(path).names if "/" not in name]
        yield from pq.read_table(path, columns=columns).to_pylist()
