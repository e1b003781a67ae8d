# SPDX-License-Identifier: Apache-2.0
"""Columns of a dataset's data files as arrays, straight from the mapped files where their layout allows it.

``data_file`` writes ``observation.state`` and ``action`` uncompressed, as one plain page a row group: the numbers are
then the last bytes of the column's chunk. What is written otherwise, by whomever, is decoded into memory.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dexndm_ros.datasets.errors import DatasetError

__all__ = ["Column", "RowGroups", "data_files", "decoded", "joined", "open_row_groups"]

_LOG = logging.getLogger(__name__)
_FILE = re.compile(r"chunk-(\d+)/file-(\d+)\.parquet")
_HEADER_BYTES = 256
"""More than a page's header and less than a page."""
_CURE = (
    "The file is damaged: put a whole copy of it there, or convert the bags into a new dataset (another --out); they "
    "give the same episodes again"
)
_PLAIN = {"PLAIN", "RLE"}  # RLE is the encoding of the levels before the numbers


@dataclass(frozen=True)
class Column:
    """A column of the whole dataset.

    Attributes:
        name: as in the files.
        dtype: numpy's, of a number.
        width: numbers in a row; 0 = one number, no list.
        groups: its rows, one array a row group, (rows,) or (rows, width); read-only.
        mapped: the arrays are the file itself; else they are decoded copies.
    """

    name: str
    dtype: np.dtype[Any]
    width: int
    groups: tuple[NDArray[np.generic], ...]
    mapped: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a row."""
        return (self.width,) if self.width else ()

    @property
    def row_bytes(self) -> int:
        """Of a row."""
        return self.dtype.itemsize * max(self.width, 1)


class RowGroups:
    """The row groups of a dataset's data files, in the order of the rows.

    Args:
        files: the data files, in order.

    Attributes:
        starts: first row of each group, and the number of all rows at the end, (groups + 1,).

    Raises:
        DatasetError: no such file, or no Parquet file.
    """

    def __init__(self, files: list[Path]) -> None:
        self._files: list[tuple[Path, pq.ParquetFile, NDArray[np.uint8]]] = []
        self._groups: list[tuple[int, int]] = []
        rows = []
        for number, path in enumerate(files):
            try:
                file = pq.ParquetFile(path, memory_map=True)
                self._files.append((path, file, np.memmap(path, np.uint8, mode="r")))
            except (OSError, pa.ArrowException, ValueError) as error:
                raise DatasetError(f"{path} cannot be read: {_line(error)}. {_CURE}") from error
            for group in range(file.num_row_groups):
                self._groups.append((number, group))
                rows.append(file.metadata.row_group(group).num_rows)
        self.starts = np.concatenate([[0], np.cumsum(rows, dtype=np.int64)])

    def __len__(self) -> int:
        return len(self._groups)

    @property
    def rows(self) -> int:
        """Of all files."""
        return int(self.starts[-1])

    def column(self, name: str) -> Column:
        """A column of all files: mapped where possible, else decoded, which is logged.

        Raises:
            DatasetError: no such column, another type in another file, or damaged bytes.
        """
        dtype, width = self._type(name)
        groups, why = self._mapped(name, dtype, width)
        if why:
            if name in ("observation.state", "action"):
                _LOG.warning("%s is read into memory (%s)", name, why)
            groups = [self._decoded(index, name, width) for index in range(len(self))]
        return Column(name, dtype, width, tuple(groups), not why)

    def numbers(self, name: str) -> NDArray[np.generic]:
        """A column of single numbers, decoded, (rows,).

        Raises:
            DatasetError: as for :meth:`column`.
        """
        self._type(name)
        found = [self._decoded(index, name, 0) for index in range(len(self))]
        return np.concatenate(found) if found else np.zeros(0)

    def _type(self, name: str) -> tuple[np.dtype[Any], int]:
        found: tuple[np.dtype[Any], int] | None = None
        for path, file, _ in self._files:
            schema = file.schema_arrow
            if name not in schema.names:
                raise DatasetError(
                    f"{path} has no column {name!r}; it has {', '.join(schema.names)}"
                )
            kind = schema.field(name).type
            width = kind.list_size if pa.types.is_fixed_size_list(kind) else 0
            number = kind.value_type if width else kind
            if not (pa.types.is_primitive(number)):
                raise DatasetError(f"{path}: column {name!r} is {kind}, no numbers")
            this = np.dtype(number.to_pandas_dtype()), width
            if found not in (None, this):
                raise DatasetError(
                    f"{path}: column {name!r} is {kind}, in the files before it is another type"
                )
            found = this
        if found is None:
            raise DatasetError("the dataset has no data files")
        return found

    def _mapped(
        self, name: str, dtype: np.dtype[Any], width: int
    ) -> tuple[list[NDArray[np.generic]], str]:
        """Views of the mapped files, or why there are none."""
        views: list[NDArray[np.generic]] = []
        if dtype.kind == "b":
            return views, "Parquet packs truth values into bits"
        for number, group in self._groups:
            path, file, data = self._files[number]
            rows = file.metadata.row_group(group).num_rows
            bounds, why = _plain_values(file, data, group, name, rows * max(width, 1), dtype)
            if why:
                return views, f"{path.name}, row group {group}: {why}"
            view = data[bounds].view(np.uint8)
            views.append(_shaped(view, dtype, rows, width))
        for index in self._first_and_last():
            decoded = self._decoded(index, name, width)
            if decoded.tobytes() != views[index].tobytes():
                path = self._files[self._groups[index][0]][0]
                return views, f"{path.name}: the mapped bytes are not what Parquet reads"
        return views, ""

    def _first_and_last(self) -> list[int]:
        """Of each file, its first and its last row group."""
        first = {number: index for index, (number, _) in reversed(list(enumerate(self._groups)))}
        last = {number: index for index, (number, _) in enumerate(self._groups)}
        return sorted({*first.values(), *last.values()})

    def _decoded(self, index: int, name: str, width: int) -> NDArray[np.generic]:
        path, file, _ = self._files[self._groups[index][0]]
        return decoded(path, file, self._groups[index][1], {name: width})[name]


def decoded(
    path: Path, file: pq.ParquetFile, group: int, widths: Mapping[str, int]
) -> dict[str, NDArray[np.generic]]:
    """Columns of one row group of a data file, in memory, (rows,) where the width is 0, else (rows, width).

    Raises:
        DatasetError: damaged bytes, or missing values.
    """
    found = {}
    try:
        table = file.read_row_group(group, columns=list(widths))
        for name, width in widths.items():
            column = table.column(name).combine_chunks()
            if column.null_count:
                raise DatasetError(f"{path}: column {name!r} has missing values")
            numbers = column.flatten() if width else column
            array = np.asarray(numbers.to_numpy(zero_copy_only=False))
            found[name] = array.reshape(-1, width) if width else array
    except (OSError, pa.ArrowException) as error:
        names = ", ".join(map(repr, widths))
        raise DatasetError(
            f"{path}: column {names} cannot be read: {_line(error)}. {_CURE}"
        ) from error
    return found


def _line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")


def joined(column: Column) -> Column:
    """The same column in one piece, in memory; for files whose row groups end in the middle of an episode."""
    _LOG.warning("%s is read into memory (row groups end in mid-episode)", column.name)
    whole = np.concatenate(column.groups)
    return Column(column.name, column.dtype, column.width, (whole,), mapped=False)


def open_row_groups(dataset: Path) -> RowGroups:
    """The row groups of a dataset folder.

    Raises:
        DatasetError: there are none, or they cannot be read.
    """
    return RowGroups(data_files(dataset))


def data_files(dataset: Path) -> list[Path]:
    """The data files of a dataset folder, in the order of the rows.

    Raises:
        DatasetError: there are none.
    """
    found = {}
    for path in (dataset / "data").glob("chunk-*/file-*.parquet"):
        if match := _FILE.fullmatch(path.relative_to(dataset / "data").as_posix()):
            found[int(match[1]), int(match[2])] = path
    if not found:
        raise DatasetError(
            f"{dataset} has no data/chunk-*/file-*.parquet: give the folder that dexndm convert made"
        )
    return [found[key] for key in sorted(found)]


def _plain_values(
    file: pq.ParquetFile, data: NDArray[np.uint8], group: int, name: str, count: int, dtype: np.dtype[Any]
) -> tuple[slice, str]:  # fmt: skip
    """Where the numbers of a column stand in the file, or why not there."""
    nowhere = slice(0, 0)
    meta = file.metadata.row_group(group)
    at = [k for k in range(meta.num_columns) if _root(meta.column(k).path_in_schema, name)]
    if len(at) != 1:
        return nowhere, "it is not one column of numbers"
    column = meta.column(at[0])
    if column.compression != "UNCOMPRESSED":
        return nowhere, f"it is compressed ({column.compression})"
    if column.has_dictionary_page or not set(column.encodings) <= _PLAIN:
        return nowhere, f"its encodings are {', '.join(column.encodings)}, not plain ones alone"
    if column.num_values != count:
        return nowhere, f"{column.num_values} numbers where {count} belong"
    begin, size = column.data_page_offset, column.total_compressed_size
    if begin + size > len(data) or size < count * dtype.itemsize:
        return nowhere, "the file is shorter than it says"
    page = _page_bytes(data[begin : begin + _HEADER_BYTES].tobytes())
    if not 0 <= size - page <= _HEADER_BYTES:
        return nowhere, "it is not one page"
    end = begin + size
    return slice(end - count * dtype.itemsize, end), ""


def _root(path: str, name: str) -> bool:
    return path == name or path.startswith((f"{name}.list.", f"{name}.item."))


def _page_bytes(header: bytes) -> int:
    """Size of the first page behind its header; -1 = this is no header of a plain page.

    A page's header is a Thrift struct, compact protocol; its first three fields are 32-bit numbers: kind of page,
    size before and after compression.
    """
    at, values = 0, []
    for _ in range(3):
        if header[at : at + 1] != b"\x15":  # next field, 32-bit number
            return -1
        at += 1
        number = shift = 0
        while at < len(header):
            byte = header[at]
            number |= (byte & 0x7F) << shift
            shift += 7
            at += 1
            if byte < 0x80:
                break
        values.append((number >> 1) ^ -(number & 1))
    return values[2] if values[1] == values[2] else -1


def _shaped(
    data: NDArray[np.uint8], dtype: np.dtype[Any], rows: int, width: int
) -> NDArray[np.generic]:
    """Bytes as numbers, wherever in memory they begin."""
    shape = (rows, width) if width else (rows,)
    little: np.dtype[Any] = dtype.newbyteorder("<")
    return np.ndarray(shape, dtype=little, buffer=data)
