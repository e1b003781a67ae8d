# SPDX-License-Identifier: Apache-2.0
"""Columns out of raw messages: the bytes of a field of all messages are taken at once.

CDR has no fixed layout: strings and sequences push what follows. So one message is walked along its definition
(:mod:`dexndm_ros.bags.layout`), and its layout holds for all messages of the same size whose length words are the
same; that is checked for each of them, and the others are walked in turn.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.bags.layout import (
    ColumnError,
    Layout,
    Leaf,
    fields_of,
    trace,
    trace_blank,
    types_of,
)
from dexndm_ros.bags.mcap_chunks import rows as take
from dexndm_ros.bags.types import RawBatch, TopicInfo

__all__ = ["ColumnError", "Columns", "columns"]

_MAX_LAYOUTS = 32
_FEW_WORDS = 3
_LONG_TEXT = 1024  # beyond that one long text would make every row as wide

Ints = NDArray[np.int64]
Group = tuple[Ints, Layout]


class Columns(dict[str, Any]):
    """The asked columns by name; each has a row for each of ``rows``.

    Attributes:
        rows: int64 (m,), which messages of the batch they are: all, unless some are ``bad``.
        bad: int64 (k,), messages whose bytes are no such message; they are left out.
        why: what is wrong with the first of them; '' = none is bad.
    """

    def __init__(self, rows: Ints, bad: Ints, why: str) -> None:
        super().__init__()
        self.rows, self.bad, self.why = rows, bad, why


def columns(batch: RawBatch, definition: TopicInfo | str, fields: Sequence[str]) -> Columns:
    """Decode some fields of all messages of a batch.

    Args:
        batch: n messages.
        definition: of their type, as in the bag; '' = this machine's own.
        fields: dotted paths as "position", "header.stamp", "pose.orientation". With a "?" behind it a field that the
            type has not is left out of the result.

    Returns:
        For each field, without its "?", of the rows that are whole messages:
        a number: (n,); an array or a sequence: (n, length); a structure of equal numbers, as Vector3 (xyz) or
        Quaternion (xyzw): (n, members); time or duration: int64 ns (n,); a string: unicode array (n,), an object array
        where texts are long; strings: a list of tuples, one entry when all rows are equal. Where a sequence's length
        differs between messages: an object array (n,) of arrays.

    Raises:
        ColumnError: the type has no such field, or one that no column can be made of; or the definition is unreadable.
    """
    text = definition if isinstance(definition, str) else definition.definition
    decoder = _decoder(text, batch.type)
    wanted = decoder.resolve(tuple(fields))
    groups, bad, why = decoder.groups(batch)
    if not groups:
        groups = [(np.empty(0, np.int64), decoder.blank)]
    whole = groups[0][0] if len(groups) == 1 else np.concatenate([rows for rows, _ in groups])
    order = np.argsort(whole, kind="stable") if len(groups) > 1 else None
    found = Columns(whole if order is None else whole[order], bad, why)
    for name in wanted:
        parts = [_part(batch, rows, layout, name) for rows, layout in groups]
        found[name] = _joined(parts, [len(rows) for rows, _ in groups], order)
    return found


class _Decoder:
    """Knows one definition, and the layouts seen so far."""

    def __init__(self, text: str, name: str) -> None:
        self.name = name
        self.types = types_of(text, name)
        self._layouts: dict[tuple[int, bool], list[Layout]] = {}

    @functools.cached_property
    def blank(self) -> Layout:
        """Of a message in which everything is empty: what columns of no rows look like."""
        return trace_blank(self.types, self.name)

    def resolve(self, fields: tuple[str, ...]) -> list[str]:
        """Names without "?" of the fields that the type has."""
        found = []
        for asked in fields:
            path = asked.removesuffix("?")
            reason = self._missing(path)
            if not reason:
                found.append(path)
            elif not asked.endswith("?"):
                raise ColumnError(reason)
        return found

    def _missing(self, path: str) -> str:
        kind = self.name
        for part in path.split("."):
            inside = dict(fields_of(self.types, kind)) if kind else {}
            if part not in inside:
                there = ", ".join(inside) or "no fields"
                return f"{self.name} has no field {path!r}: {kind or 'what is before the dot'} has {there}"
            desc = inside[part][1]
            kind = desc if isinstance(desc, str) else ""
        return ""

    def groups(self, batch: RawBatch) -> tuple[list[Group], Ints, str]:
        """Messages by their layouts; those without one; and why the first of these has none."""
        left = np.arange(len(batch.begin), dtype=np.int64)
        found: list[Group] = []
        bad: list[int] = []
        why = ""
        tall = batch.size >= 4
        little = np.zeros(len(left), bool)
        little[tall] = batch.buffer[batch.begin[tall] + 1] == 1
        turns = 0
        while len(left):
            if (turns := turns + 1) > _MAX_LAYOUTS:
                why = self._one_by_one(batch, left, found, bad) or why
                break
            first = int(left[0])
            size = int(batch.size[first])
            alike = (batch.size[left] == size) & (little[left] == little[first])
            known = self._layouts.setdefault((size, bool(little[first])), [])
            same = np.zeros(0, bool)
            for layout in known:
                same = _fits(batch, left, alike, layout)
                if same[0]:
                    break
            else:
                try:
                    layout = trace(self.types, self.name, batch.data(first))
                except ColumnError as error:
                    why = why or str(error)
                    same = _no_better(batch, left, alike, error.layout)
                    bad += left[same].tolist()
                    left = left[~same]
                    continue
                if len(known) < _MAX_LAYOUTS:
                    known.append(layout)
                same = _fits(batch, left, alike, layout)
            if same.all():
                found.append((left, layout))
                break
            found.append((left[same], layout))
            left = left[~same]
        return found, np.array(sorted(bad), np.int64), why

    def _one_by_one(self, batch: RawBatch, left: Ints, found: list[Group], bad: list[int]) -> str:
        """Many layouts: walk along every message, and put together those that are alike."""
        why = ""
        alike: dict[tuple[Any, ...], tuple[list[int], Layout]] = {}
        for row in left.tolist():
            try:
                layout = trace(self.types, self.name, batch.data(row))
            except ColumnError as error:
                why = why or str(error)
                bad.append(row)
                continue
            key = (layout.size, layout.little, *layout.words)
            alike.setdefault(key, ([], layout))[0].append(row)
        found.extend((np.array(rows, np.int64), layout) for rows, layout in alike.values())
        return why


@functools.lru_cache(maxsize=256)
def _decoder(text: str, name: str) -> _Decoder:
    return _Decoder(text, name)


def _fits(
    batch: RawBatch, rows: Ints, alike: NDArray[np.bool_], layout: Layout
) -> NDArray[np.bool_]:
    """(rows,): those of the same size whose header and length words are the layout's."""
    every = bool(alike.all())
    begin = batch.begin[rows if every else rows[alike]]
    order = "<" if layout.little else ">"
    good = batch.buffer[begin] == 0
    good &= batch.buffer[begin + 1] == int(layout.little)
    if layout.words:
        where = np.array([at for at, _ in layout.words], np.int64)
        value = np.array([number for _, number in layout.words], order + "u4")
        good &= _words(batch.buffer, begin, where, value)
    if every:
        return good
    same = alike.copy()
    same[alike] = good
    return same


def _no_better(
    batch: RawBatch, rows: Ints, alike: NDArray[np.bool_], layout: Layout | None
) -> NDArray[np.bool_]:
    """(rows,): those that are as bad as the first, since the same words lead along the same way to the same end."""
    if layout is not None:
        return _fits(batch, rows, alike, layout)
    only = np.zeros(len(rows), bool)
    only[0] = True
    return only


def _words(
    buffer: NDArray[np.uint8], begin: Ints, where: Ints, value: NDArray[np.uint32]
) -> NDArray[np.bool_]:
    """(n,): those whose words at these places have these values."""
    if len(where) > _FEW_WORDS:
        # Many words are a list of strings, mostly the same in all messages: compare all of it in one go.
        span = int(where[-1] - where[0]) + 4
        block = take(buffer, begin + where[0], span).view("<u4").reshape(len(begin), span // 4)
        if (block == block[0]).all():
            first = take(buffer, begin[0] + where, 4).view(value.dtype)
            return np.full(len(begin), bool((first == value).all()))
    good = np.ones(len(begin), bool)
    for at, number in zip(where.tolist(), value, strict=True):
        good &= take(buffer, begin + at, 4).view(value.dtype) == number
    return good


def _part(batch: RawBatch, rows: Ints, layout: Layout, name: str) -> Any:
    leaf = layout.leaves.get(name)
    if leaf is None:
        raise ColumnError(
            f"{name!r} of {batch.type} cannot be one column: it is made of several kinds; ask for its parts"
        )
    begin = batch.begin[rows] + leaf.offset
    if leaf.kind == "number":
        return _numbers(batch.buffer, begin, leaf)
    if leaf.kind == "time":
        pair = np.dtype([("sec", leaf.dtype + "i4"), ("nanosec", leaf.dtype + "u4")])
        time = take(batch.buffer, begin, 8).view(pair)
        return time["sec"].astype(np.int64) * 1_000_000_000 + time["nanosec"]
    if leaf.kind == "text":
        return _texts(batch.buffer, begin, leaf.size)
    return _lists(batch.buffer, begin, leaf)


def _numbers(buffer: NDArray[np.uint8], begin: Ints, leaf: Leaf) -> NDArray[Any]:
    dtype = np.dtype(leaf.dtype)
    shape = (len(begin), *leaf.shape)
    if not leaf.size:
        return np.empty(shape, dtype.newbyteorder("="))
    values = take(buffer, begin, leaf.size).view(dtype).reshape(shape)
    return values if dtype.isnative else values.astype(dtype.newbyteorder("="))


def _texts(buffer: NDArray[np.uint8], begin: Ints, size: int) -> NDArray[Any]:
    if not size:
        return np.zeros(len(begin), "U1")
    block = take(buffer, begin, size)
    raw = block.view(f"S{size}")
    if _alike(block):
        text = raw[0].decode("utf-8", "replace") if len(raw) else ""
        return np.full(len(raw), text, object if size > _LONG_TEXT else None)
    if size > _LONG_TEXT:
        return np.array([one.decode("utf-8", "replace") for one in raw.tolist()], object)
    try:
        return raw.astype(f"U{size}")
    except UnicodeDecodeError:
        return np.char.decode(raw, "utf-8", "replace")


def _alike(block: NDArray[np.void]) -> bool:
    """Whether all rows have the same bytes."""
    if not len(block):
        return True
    raw = block.view(np.uint8).reshape(len(block), -1)
    return bool((raw == raw[0]).all())


def _lists(buffer: NDArray[np.uint8], begin: Ints, leaf: Leaf) -> list[tuple[str, ...]]:
    if not leaf.parts:
        return [()]
    block = take(buffer, begin, leaf.size)
    if _alike(block):
        block = block[:1]
    known: dict[bytes, tuple[str, ...]] = {}
    found = []
    for row in block.tolist():
        data = bytes(row)
        if data not in known:
            known[data] = tuple(
                data[at - leaf.offset : at - leaf.offset + size].decode("utf-8", "replace")
                for at, size in leaf.parts
            )
        found.append(known[data])
    return found if len(set(found)) > 1 else found[:1]


def _joined(parts: list[Any], counts: list[int], order: Ints | None) -> Any:
    """The parts of the groups, in the order of the messages."""
    if order is None:
        return parts[0]
    if isinstance(parts[0], list):
        every = [
            row
            for part, count in zip(parts, counts, strict=True)
            for row in (part * count if len(part) == 1 else part)
        ]
        every = [every[row] for row in order.tolist()]
        return every if len(set(every)) > 1 else every[:1]
    if len({part.shape[1:] for part in parts}) == 1:
        return np.concatenate(parts)[order]
    ragged = np.empty(len(order), object)
    at = 0
    for part in parts:
        for row in part:
            ragged[at] = row
            at += 1
    return ragged[order]
