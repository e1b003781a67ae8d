# SPDX-License-Identifier: Apache-2.0
"""Columns of a long bag's episodes, on the disk until its part is written: memory does not grow with the bag."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.datasets.episode import Episode
from dexndm_ros.datasets.files import refused

__all__ = ["Spill"]

_HELD_BYTES = 64 * 2**20


class Spill:
    """Keeps the first episodes in memory and the others in a file that has no name, and so is never left behind.

    Args:
        folder: where there is room.
        held_bytes: columns that may stay in memory.
    """

    def __init__(self, folder: Path, held_bytes: int = _HELD_BYTES) -> None:
        self._folder = folder
        self._free = held_bytes
        self._file: IO[bytes] | None = None

    def keep(self, episode: Episode) -> Episode:
        """The same episode; its columns may be in the file now.

        Raises:
            DatasetWriteError: the disk refuses.
        """
        columns = {name: np.ascontiguousarray(each) for name, each in episode.columns.items()}
        self._free -= sum(each.nbytes for each in columns.values())
        if self._free >= 0:
            return episode
        with refused(self._folder):
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._folder, suffix=".tmp")  # noqa: SIM115 - see close
            self._file.seek(0, os.SEEK_END)  # somebody may have read
            places = {}
            for name, each in columns.items():
                places[name] = (self._file.tell(), each.shape, each.dtype)
                self._file.write(each.data)
            self._file.flush()
        return replace(episode, columns=_InFile(self._file, places))

    def close(self) -> None:
        """Give the disk back; columns in the file are gone."""
        if self._file is not None:
            with contextlib.suppress(
                OSError
            ):  # what a full disk did not take is not needed any more
                self._file.close()
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class _InFile(Mapping[str, NDArray[np.generic]]):
    """Columns that are read when they are asked for, and not kept."""

    def __init__(
        self, file: IO[bytes], places: Mapping[str, tuple[int, tuple[int, ...], np.dtype[Any]]]
    ) -> None:
        self._file = file
        self._places = places

    def __getitem__(self, name: str) -> NDArray[np.generic]:
        offset, shape, dtype = self._places[name]
        self._file.seek(offset)
        count = int(np.prod(shape, dtype=np.int64))
        found: NDArray[np.generic] = np.fromfile(self._file, dtype, count).reshape(shape)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)
