# SPDX-License-Identifier: Apache-2.0
"""Where the fields of a CDR message lie, found by walking one message along its definition."""

from __future__ import annotations

import functools
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rosbags.interfaces import Nodetype
from rosbags.typesys import get_types_from_idl, get_types_from_msg

from dexndm_ros.recording.definitions import DefinitionError, definition

__all__ = [
    "ColumnError",
    "Layout",
    "Leaf",
    "fields_of",
    "is_idl",
    "trace",
    "trace_blank",
    "types_of",
]

_CLOCKS = ("builtin_interfaces/msg/Time", "builtin_interfaces/msg/Duration")
_DTYPES = {
    "bool": "?", "byte": "u1", "char": "u1", "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2",
    "int32": "i4", "uint32": "u4", "int64": "i8", "uint64": "u8", "float32": "f4", "float64": "f8",
}  # fmt: skip

_IDL_LINE = "=" * 80 + "\n"
_IDL_PART = f"{_IDL_LINE}IDL: "
_IDL_MODULE = re.compile(r"^\s*module\s+\w+\s*\{", re.MULTILINE)
_BLANK_BYTES = 1 << 20

Fields = list[tuple[str, tuple[Nodetype, Any]]]
Types = Mapping[str, tuple[Any, Any]]


class ColumnError(ValueError):
    """Columns that cannot be had; the message names the field, and says what there is instead.

    Attributes:
        layout: of bytes that are no such message, as far as they could be walked; else None.
    """

    layout: Layout | None = None


@dataclass(frozen=True)
class Leaf:
    """A field that can become a column.

    Attributes:
        kind: "number", "time" (seconds and nanoseconds), "text" or "texts" (a list of strings).
        offset: of its first byte in the message, its CDR header included.
        size: bytes; of texts from the first length word to the last byte.
        dtype: numpy's, with the byte order; of numbers.
        shape: of one row; of numbers.
        parts: of texts: (offset, size) of each.
    """

    kind: str
    offset: int
    size: int
    dtype: str = ""
    shape: tuple[int, ...] = ()
    parts: tuple[tuple[int, int], ...] = ()


@dataclass
class Layout:
    """Of all messages of one size whose length words are the same.

    Attributes:
        size: of the message, bytes, its CDR header included.
        little: little endian.
        leaves: by dotted path.
        words: (offset, value) of every length word: the layout holds where all of them are the same.
    """

    size: int
    little: bool
    leaves: dict[str, Leaf] = field(default_factory=dict)
    words: list[tuple[int, int]] = field(default_factory=list)

    @functools.cached_property
    def lengths(self) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
        """``words`` as two arrays, the values in the byte order of the message; of a layout that is finished."""
        order = "<" if self.little else ">"
        return (
            np.array([at for at, _ in self.words], np.int64),
            np.array([value for _, value in self.words], order + "u4"),
        )


@functools.lru_cache(maxsize=256)
def types_of(text: str, name: str) -> Types:
    """The types that a definition describes.

    Args:
        text: "ros2msg" or IDL; '' = this machine's own definition of the type.
        name: "package/msg/Name".

    Raises:
        ColumnError: it cannot be read, or nobody knows the type.
    """
    try:
        if not text:
            text = definition(name).text
        types: dict[str, Any] = {}
        for part in _idl_parts(text) if is_idl(text) else ():
            types.update(get_types_from_idl(part))
        types = types or dict(get_types_from_msg(text, name))
    except DefinitionError as error:
        raise ColumnError(f"the bag does not define {name}, and {error}") from error
    except Exception as error:  # its parser raises what it likes
        raise ColumnError(f"the bag's definition of {name} cannot be read: {error}") from error
    if name not in types:
        raise ColumnError(f"the bag's definition of {name} defines only {', '.join(types)}")
    return types


def is_idl(text: str) -> bool:
    """Whether a definition is IDL ("ros2idl") and not .msg text ("ros2msg")."""
    return text.startswith(_IDL_PART) or _IDL_MODULE.search(text) is not None


def _idl_parts(text: str) -> list[str]:
    """The files that rosbag2 puts into one text, each behind a line with its name."""
    if not text.startswith(_IDL_PART):
        return [text]
    return [part.partition("\n")[2] for part in text.split(_IDL_LINE)[1:]]


def fields_of(types: Types, name: str) -> Fields:
    """Fields of a type; an empty one has its placeholder.

    Raises:
        ColumnError: it is not defined.
    """
    known = types.get(name)
    if known is None:
        try:
            return fields_of(types_of("", name), name)
        except RecursionError:
            raise ColumnError(f"{name} is not defined") from None
    return known[1] or [("structure_needs_at_least_one_member", (Nodetype.BASE, ("uint8", 0)))]


def trace(types: Types, name: str, data: bytes) -> Layout:
    """Walk along one message.

    Raises:
        ColumnError: the bytes are no such message; with their ``layout`` up to there.
    """
    if len(data) < 4 or data[0] != 0 or data[1] not in (0, 1):
        raise ColumnError(f"{len(data)} bytes that begin with {data[:4]!r} are no CDR message")
    walker = _Walker(types, data, Layout(len(data), data[1] == 1))
    try:
        end = walker.struct(name, 4, "")
        if not end <= len(data) <= end + 3:
            raise ColumnError(f"{len(data)} bytes are no {name}, which would be {end} here")
    except (struct.error, IndexError):
        wrong = ColumnError(f"{len(data)} bytes are too few for a {name}")
        wrong.layout = walker.layout
        raise wrong from None
    except ColumnError as error:
        error.layout = walker.layout
        raise
    return walker.layout


def trace_blank(types: Types, name: str) -> Layout:
    """The layout of a message whose strings and sequences are all empty."""
    walker = _Walker(types, b"\x00\x01" + bytes(_BLANK_BYTES), Layout(_BLANK_BYTES, True))
    try:
        walker.struct(name, 4, "")
    except struct.error:
        raise ColumnError(f"{name} is larger than {_BLANK_BYTES} bytes when it is empty") from None
    return walker.layout


class _Walker:
    def __init__(self, types: Types, data: bytes, layout: Layout) -> None:
        self._types, self._data, self.layout = types, data, layout
        self._order = "<" if layout.little else ">"
        self._word = struct.Struct(self._order + "I")
        self._named = True

    def struct(self, name: str, at: int, path: str) -> int:
        begin: int | None = None
        dtype, count = "", 0
        plain = True
        for field_name, desc in fields_of(self._types, name):
            inner = f"{path}.{field_name}" if path else field_name
            before = at
            at = self._field(desc, at, inner)
            leaf = self._last
            if leaf is None or leaf.kind != "number" or (dtype and leaf.dtype != dtype):
                plain = False
            elif begin is None:
                begin, dtype = leaf.offset, leaf.dtype
            elif leaf.offset != before:
                plain = False
            if plain and leaf is not None:
                count += leaf.size
        self._last = None
        if name in _CLOCKS:
            self._put(path, Leaf("time", at - 8, 8, self._order))
        elif plain and begin is not None:
            width = count // np.dtype(dtype).itemsize
            self._put(path, Leaf("number", begin, count, dtype, (width,)))
        return at

    _last: Leaf | None = None

    def _put(self, path: str, leaf: Leaf) -> None:
        self._last = leaf
        if self._named and path:
            self.layout.leaves[path] = leaf

    def _field(self, desc: tuple[Nodetype, Any], at: int, path: str) -> int:
        node, inside = desc
        self._last = None
        if node == Nodetype.NAME:
            return self.struct(inside, at, path)
        if node == Nodetype.BASE:
            if inside[0] in ("string", "wstring"):
                return self._text(inside[0], at, path)
            dtype = _DTYPES[inside[0]]
            size = np.dtype(dtype).itemsize
            at = self._check(_aligned(at, size), size)
            self._put(path, Leaf("number", at, size, self._order + dtype))
            return at + size
        sub, count = inside
        if node == Nodetype.SEQUENCE:
            at = _aligned(at, 4)
            (count,) = self._word.unpack_from(self._data, at)
            self.layout.words.append((at, count))
            at += 4
        return self._many(sub, count, at, path)

    def _text(self, kind: str, at: int, path: str) -> int:
        if kind == "wstring":
            raise ColumnError(f"{path} is a wstring, which is not supported")
        at = _aligned(at, 4)
        (length,) = self._word.unpack_from(self._data, at)
        self.layout.words.append((at, length))
        self._check(at + 4, length)
        self._put(path, Leaf("text", at + 4, max(0, length - 1)))
        return at + 4 + length

    def _many(self, sub: tuple[Nodetype, Any], count: int, at: int, path: str) -> int:
        node, inside = sub
        if node == Nodetype.BASE and inside[0] in _DTYPES:
            dtype = _DTYPES[inside[0]]
            size = np.dtype(dtype).itemsize
            at = self._check(_aligned(at, size) if count else at, size * count)
            self._put(path, Leaf("number", at, size * count, self._order + dtype, (count,)))
            return at + size * count
        if count > len(self._data):
            raise ColumnError(f"{path} would have {count} elements in {len(self._data)} bytes")
        begin = at
        leaves: list[Leaf | None] = []
        named, self._named = self._named, False
        for _ in range(count):
            at = self._field(sub, at, path)
            leaves.append(self._last)
        self._named = named
        self._last = None
        if node == Nodetype.BASE:
            parts = tuple((leaf.offset, leaf.size) for leaf in leaves if leaf is not None)
            self._put(path, Leaf("texts", _aligned(begin, 4), at - _aligned(begin, 4), parts=parts))
        elif not count:
            self._put(path, Leaf("number", at, 0, "<f8", (0,)))
        elif (first := leaves[0]) is not None and _even(leaves):
            size = first.size * count
            self._put(path, Leaf("number", first.offset, size, first.dtype, (count, *first.shape)))
        return at

    def _check(self, at: int, size: int) -> int:
        if at + size > len(self._data):
            raise struct.error
        return at


def _aligned(at: int, size: int) -> int:
    """CDR counts from behind its header of 4 bytes."""
    return (at - 4 + size - 1) // size * size + 4


def _even(leaves: list[Leaf | None]) -> bool:
    """Whether elements lie side by side and are alike."""
    first = leaves[0]
    return (
        first is not None
        and first.kind == "number"
        and all(
            leaf is not None
            and (leaf.kind, leaf.dtype, leaf.shape) == (first.kind, first.dtype, first.shape)
            and leaf.offset == first.offset + number * first.size
            for number, leaf in enumerate(leaves)
        )
    )
