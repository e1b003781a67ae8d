# SPDX-License-Identifier: Apache-2.0
"""Zarr (format 2) as Diffusion Policy and UMI read it: ``data/<column>`` along time, ``meta/episode_ends``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.datasets.export_demo import Demo

__all__ = ["write_zarr", "zarr_mark"]

_ROWS_A_CHUNK = 8192
_ABOUT = "dexndm"


def zarr_mark(path: Path) -> bool:
    """Whether it is a folder of :func:`write_zarr`."""
    import zarr

    try:
        return _ABOUT in zarr.open_group(str(path), mode="r").attrs
    except (OSError, ValueError, KeyError):
        return False


def write_zarr(
    path: Path,
    demos: Iterable[Demo],
    rows: int,
    about: Mapping[str, Any],
) -> None:
    """Write the folder.

    Attributes of ``meta`` tell which rows of the dataset each demo is: ``identity``, ``episode_index``,
    ``first_frame_index``, a list each.

    Args:
        path: where; not there yet.
        demos: in their order.
        rows: of all of them.
        about: what it says of itself.

    Raises:
        OSError: the disk refuses.
    """
    import numcodecs
    import zarr

    root = zarr.open_group(str(path), mode="w-", zarr_format=2, attributes={_ABOUT: dict(about)})
    data, meta = root.create_group("data"), root.create_group("meta")
    codec = numcodecs.Blosc("zstd", clevel=3, shuffle=numcodecs.Blosc.SHUFFLE)
    columns: dict[str, _Column] = {}
    ends: list[int] = []
    origins: dict[str, list[str | int]] = {}
    for demo in demos:
        for name, values in demo.columns.items():
            if name not in columns:
                array = data.create_array(
                    name,
                    shape=(rows, *values.shape[1:]),
                    dtype=values.dtype,
                    chunks=(min(_ROWS_A_CHUNK, rows), *values.shape[1:]),
                    compressors=codec,
                )
                columns[name] = _Column(array)
            columns[name].add(values)
        ends.append((ends[-1] if ends else 0) + len(demo))
        for name, value in demo.origin.items():
            origins.setdefault(name, []).append(value)
    for column in columns.values():
        column.finish()
    stored = meta.create_array("episode_ends", shape=(len(ends),), dtype=np.int64, compressors=None)
    stored[:] = np.array(ends, dtype=np.int64)
    meta.attrs.update(origins)


class _Column:
    """Fills an array in whole chunks: a chunk that is written twice is compressed twice."""

    def __init__(self, array: Any) -> None:
        self._array = array
        self._chunk = array.chunks[0]
        self._waiting: list[NDArray[np.generic]] = []
        self._rows = self._done = 0

    def add(self, values: NDArray[np.generic]) -> None:
        self._waiting.append(values)
        self._rows += len(values)
        if self._rows >= self._chunk:
            self._write(self._rows - self._rows % self._chunk)

    def finish(self) -> None:
        self._write(self._rows)

    def _write(self, rows: int) -> None:
        if not rows:
            return
        whole = np.concatenate(self._waiting)
        self._array[self._done : self._done + rows] = whole[:rows]
        self._done, self._rows = self._done + rows, len(whole) - rows
        self._waiting = [whole[rows:].copy()]
