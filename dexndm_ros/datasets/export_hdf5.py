# SPDX-License-Identifier: Apache-2.0
"""HDF5 as robomimic reads it: ``data/demo_<i>/{actions, dones, obs/<name>}`` and ``mask/train``."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dexndm_ros.datasets.export_demo import Demo

__all__ = ["hdf5_mark", "write_hdf5"]

_OBSERVATION = "observation."
_ACTION = "action."
_ABOUT = "dexndm"


def hdf5_mark(path: Path) -> bool:
    """Whether it is a file of :func:`write_hdf5`."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return _ABOUT in file.attrs
    except OSError:
        return False


def write_hdf5(
    path: Path,
    demos: Iterable[Demo],
    about: Mapping[str, Any],
) -> None:
    """Write the file.

    ``observation.x`` becomes ``obs/x``, ``action`` becomes ``actions``, ``action.x`` becomes ``action_x``; ``valid``
    (true in all rows) and ``flags`` keep their names. There are no rewards in it. Each demo's attributes tell which
    rows of the dataset it is: ``identity``, ``episode_index``, ``first_frame_index``.

    Args:
        path: where; not there yet.
        demos: in their order.
        about: what the file says of itself.

    Raises:
        OSError: the disk refuses.
    """
    import h5py

    with _Disk(path) as disk, h5py.File(disk, "w") as file:
        file.attrs[_ABOUT] = json.dumps(about, sort_keys=True)
        data = file.create_group("data")
        names, total = [], 0
        for number, each in enumerate(demos):
            names.append(f"demo_{number}")
            demo = data.create_group(names[-1])
            rows = len(each)
            for name, values in each.columns.items():
                demo.create_dataset(_place(name), data=values)
            dones = np.zeros(rows, dtype=np.int64)
            dones[-1] = 1
            demo.create_dataset("dones", data=dones)
            demo.attrs["num_samples"] = rows
            for name, value in each.origin.items():
                demo.attrs[name] = value
            demo.attrs["facts"] = json.dumps(dict(each.facts))
            total += rows
            if disk.error is not None:
                break
        data.attrs["total"] = total
        # robomimic wants to know which simulator to build; there is none, and training asks for none.
        environment = {"env_name": "leap_hand", "type": 2, "env_kwargs": {}}
        data.attrs["env_args"] = json.dumps(environment)
        file.create_dataset("mask/train", data=np.array(names, dtype="S"))


class _Disk(io.FileIO):
    """A file for HDF5 that tells of a full disk when all is over.

    The HDF5 library does not survive a write that fails (it crashes when it closes the file), so it is not told: what
    cannot be written is dropped, and the error raised at the end.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "w+b")
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        rest = memoryview(data).cast("B")
        size = len(rest)
        while len(rest) and self.error is None:
            try:
                rest = rest[super().write(rest) :]
            except OSError as error:
                self.error = error
        return size

    def truncate(self, size: int | None = None) -> int:
        if self.error is None:
            try:
                return super().truncate(size)
            except OSError as error:
                self.error = error
        return self.tell() if size is None else size

    def __exit__(self, *what: object) -> None:
        self.close()
        if self.error is not None:
            raise self.error


def _place(name: str) -> str:
    if name.startswith(_OBSERVATION):
        return f"obs/{name.removeprefix(_OBSERVATION)}"
    if name.startswith(_ACTION):
        return f"action_{name.removeprefix(_ACTION)}"
    return "actions" if name == "action" else name
