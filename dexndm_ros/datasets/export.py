# SPDX-License-Identifier: Apache-2.0
"""A dataset once more, as robomimic (HDF5) or Diffusion Policy and UMI (Zarr) read it.

Written from the dataset's folder, a row group at a time, under another name first: an export is whole or not there.
An older export of ours of the same name is replaced, anything else of that name is left alone.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dexndm_ros.datasets.errors import DatasetError
from dexndm_ros.datasets.export_hdf5 import hdf5_mark, write_hdf5
from dexndm_ros.datasets.export_zarr import write_zarr, zarr_mark
from dexndm_ros.datasets.features import FEATURES
from dexndm_ros.datasets.files import exchange, refused, sync_folder, sync_tree
from dexndm_ros.datasets.provenance import Existing, read_existing
from dexndm_ros.datasets.report_source import row_groups
from dexndm_ros.hand.joints import JOINT_NAMES

__all__ = ["export_dataset"]


def export_dataset(
    dataset: Path,
    out: Path,
    form: Literal["hdf5", "zarr"],
    progress: Callable[[float], None] | None = None,
) -> None:
    """Write a dataset in another format.

    Args:
        dataset: folder that ``dexndm convert`` made.
        out: a file for "hdf5", a folder for "zarr".
        form: which format.
        progress: called now and then with the share that is done.

    Raises:
        DatasetError: no dataset, one without episodes, or something else is at ``out``.
        DatasetWriteError: the disk refuses.
        ImportError: h5py or zarr is not there.
    """
    whole = read_existing(dataset)
    if not whole.episodes:
        raise DatasetError(
            f"{dataset} has no episodes to export: give the folder that dexndm convert made"
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
            episodes = _episodes(dataset, progress)
            if form == "hdf5":
                write_hdf5(beside, episodes, _about(dataset, whole))
                with beside.open("rb") as file:
                    os.fsync(file.fileno())
                beside.replace(out)
            else:
                write_zarr(beside, episodes, whole.rows, _about(dataset, whole))
                sync_tree(beside)
                _replace_folder(beside, out)
            sync_folder(out.parent)
        finally:
            _remove(beside)


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
        "units": {each.name: each.unit for each in FEATURES if each.unit},
        "tasks": list(whole.tasks),
        "config_hash": whole.config_hash,
        "data_sha256": [each.sha256 for each in whole.files],
    }


def _episodes(
    dataset: Path, progress: Callable[[float], None] | None
) -> Iterator[tuple[Mapping[str, NDArray[np.generic]], Mapping[str, Any]]]:
    """Columns and facts of every episode, in order; a row group is in memory at a time."""
    facts = _facts(dataset)
    names = [each.name for each in FEATURES]
    for rows, share in row_groups(dataset, [*names, "episode_index"]):
        index = rows["episode_index"]
        starts = [0, *(np.flatnonzero(np.diff(index)) + 1), len(index)]
        for first, end in pairwise(starts):
            yield {name: rows[name][first:end] for name in names}, next(facts)
        if progress is not None:
            progress(share)


def _facts(dataset: Path) -> Iterator[Mapping[str, Any]]:
    for path in sorted((dataset / "meta/episodes").glob("chunk-*/file-*.parquet")):
        columns = [name for name in pq.read_schema(path).names if "/" not in name]
        yield from pq.read_table(path, columns=columns).to_pylist()
