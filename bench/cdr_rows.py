# SPDX-License-Identifier: Apache-2.0
"""Many messages of one type at once: one is serialised, the others differ from it in some fixed numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from rosbags.typesys.store import Typestore

from dexndm_ros.recording.definitions import typestore

__all__ = ["Layout", "message", "rows"]

_ENCAPSULATION = 4
_SIZES = {
    "bool": 1, "byte": 1, "char": 1, "int8": 1, "uint8": 1, "int16": 2, "uint16": 2, "int32": 4, "uint32": 4,
    "float32": 4, "int64": 8, "uint64": 8, "float64": 8,
}  # fmt: skip
_DTYPES = {"bool": "u1", "byte": "u1", "char": "u1"}
_BASE, _NAME, _ARRAY, _SEQUENCE = 1, 2, 3, 4


def message(kind: str, **values: Any) -> Any:
    """A message of a type: fields that are not given are zero, empty or False.

    Args:
        kind: "package/msg/Name".
        values: by field; nested messages as mappings, ``header`` also as nanoseconds.
    """
    store = typestore()
    fields = {}
    for name, spec in store.fielddefs[kind][1]:
        given = values.pop(name, None)
        fields[name] = _default(store, spec) if given is None else _nested(store, spec, given)
    if values:
        raise ValueError(f"{kind} has no field {', '.join(values)}")
    return store.types[kind](**fields)


def _nested(store: Typestore, spec: Any, given: Any) -> Any:
    node, detail = spec
    if int(node) == _NAME and isinstance(given, Mapping):
        return message(detail, **given)
    if int(node) in (_ARRAY, _SEQUENCE) and int(detail[0][0]) == _BASE:
        base = detail[0][1][0]
        return list(given) if base == "string" else np.asarray(given, _numpy(base))
    return given


def _default(store: Typestore, spec: Any) -> Any:
    node, detail = int(spec[0]), spec[1]
    if node == _BASE:
        return {"string": "", "bool": False}.get(detail[0], 0)
    if node == _NAME:
        return message(detail)
    (inner, kind), count = detail
    if int(inner) != _BASE or kind[0] == "string":
        return [_default(store, detail[0]) for _ in range(count)]
    return np.zeros(count, _numpy(kind[0]))


def _numpy(base: str) -> Any:
    return np.dtype({"byte": "uint8", "char": "uint8"}.get(base, base))


class Layout:
    """Where the numbers of a message stand in its bytes.

    Args:
        kind: its type.
        example: a message; all others have its texts and lengths.

    Attributes:
        fields: name, with dots for nested ones -> numpy type, shape and offset.
        data: CDR of the example.
    """

    def __init__(self, kind: str, example: Any) -> None:
        self._store = typestore()
        self.fields: dict[str, tuple[str, int, int]] = {}
        self.data = bytes(self._store.serialize_cdr(example, kind))
        end = self._walk(kind, example, "", 0)
        if end + _ENCAPSULATION != len(self.data):  # a mistake of this walk, not of the caller
            raise RuntimeError(f"{kind}: {len(self.data)} bytes, the walk ends at {end}")

    def rows(self, count: int, **columns: ArrayLike) -> NDArray[np.uint8]:
        """Messages, (count, size) bytes.

        Args:
            count: how many.
            columns: field, "__" for a dot -> a value for each message, (count,) or (count, length).
        """
        names = {column.replace("__", "."): np.asarray(value) for column, value in columns.items()}
        formats = [self.fields[name] for name in names]
        dtype = np.dtype(
            {
                "names": list(names),
                "formats": [(f"<{base}", (length,)) if length else f"<{base}" for base, length, _ in formats],
                "offsets": [offset for _, _, offset in formats],
                "itemsize": len(self.data),
            }
        )  # fmt: skip
        out = np.tile(np.frombuffer(self.data, np.uint8), (count, 1))
        view = out.view(dtype)[:, 0]
        for name, values in names.items():
            view[name] = values
        return out

    def _walk(self, kind: str, value: Any, prefix: str, at: int) -> int:
        for name, spec in self._store.fielddefs[kind][1]:
            at = self._field(spec, getattr(value, name), f"{prefix}{name}", at)
        return at

    def _field(self, spec: Any, value: Any, name: str, at: int) -> int:
        node, detail = int(spec[0]), spec[1]
        if node == _BASE:
            return self._number(detail[0], value, name, at, 0)
        if node == _NAME:
            return self._walk(detail, value, f"{name}.", at)
        if node == _SEQUENCE:
            at = _aligned(at, 4) + 4
        inner = detail[0]
        if int(inner[0]) == _BASE and inner[1][0] != "string":
            return self._number(inner[1][0], value, name, at, len(value)) if len(value) else at
        for k, each in enumerate(value):
            at = self._field(inner, each, f"{name}.{k}", at)
        return at

    def _number(self, base: str, value: Any, name: str, at: int, length: int) -> int:
        if base == "string":
            return _aligned(at, 4) + 4 + len(value.encode()) + 1
        size = _SIZES[base]
        at = _aligned(at, size)
        self.fields[name] = (_DTYPES.get(base, np.dtype(base).str[1:]), length, at + _ENCAPSULATION)
        return at + size * max(length, 1)


def rows(
    kind: str, example: Mapping[str, Any], count: int, **columns: ArrayLike
) -> NDArray[np.uint8]:
    """Messages of a type, (count, size) bytes; arguments as for :func:`message` and :meth:`Layout.rows`."""
    return Layout(kind, message(kind, **example)).rows(count, **columns)


def _aligned(at: int, size: int) -> int:
    return -(-at // size) * size
