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

from dexndm_ros.bags.held import Held, alike
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
_FEW_ROWS = 256
_LONG_TEXT = 1024  # beyond that one long text would make every row as wide

Ints = NDArray[np.int64]
Group = tuple[Ints, Layout, Held]
"""Messages of the batch, the layout of all of them, and their bytes."""


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
        none = np.empty(0, np.int64)
        groups = [(none, decoder.blank, Held(batch.buffer, none, decoder.blank.size))]
    whole = groups[0][0] if len(groups) == 1 else np.concatenate([rows for rows, _, _ in groups])
    order = np.argsort(whole, kind="stable") if len(groups) > 1 else None
    found = Columns(whole if order is None else whole[order], bad, why)
    for name in wanted:
        parts = [_part(batch.type, held, layout, name) for _, layout, held in groups]
        found[name] = _joined(parts, [len(rows) for rows, _, _ in groups], order)
    return found


class _Decoder:
    """Knows one definition, and the layouts seen so far."""

    def __init__(self, text: str, name: str) -> None:
        self.name = name
        self.types = types_of(text, name)
        self._layouts: dict[tuple[int, bool], list[Layout]] = {}
        self._resolved: dict[tuple[str, ...], list[str]] = {}

    @functools.cached_property
    def blank(self) -> Layout:
        """Of a message in which everything is empty: what columns of no rows look like."""
        return trace_blank(self.types, self.name)

    def resolve(self, fields: tuple[str, ...]) -> list[str]:
        """Names without "?" of the fields that the type has."""
        if fields in self._resolved:
            return self._resolved[fields]
        found = []
        for asked in fields:
            path = asked.removesuffix("?")
            reason = self._missing(path)
            if not reason:
                found.append(path)
            elif not asked.endswith("?"):
                raise ColumnError(reason)
        if len(self._resolved) < _MAX_LAYOUTS:
            self._resolved[fields] = found
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
        every = bool(tall.all())
        little = np.zeros(len(left), bool)
        little[tall] = batch.buffer[(batch.begin if every else batch.begin[tall]) + 1] == 1
        turns = 0
        while len(left):
            if (turns := turns + 1) > _MAX_LAYOUTS:
                why = self._one_by_one(batch, left, found, bad) or why
                break
            first = int(left[0])
            size = int(batch.size[first])
            alike = (batch.size[left] == size) & (little[left] == little[first])
            rows = left if alike.all() else left[alike]
            begin = batch.begin if len(rows) == len(batch.begin) else batch.begin[rows]
            held = Held(batch.buffer, begin, size)
            layout, good, wrong = self._layout(batch, held, first, size, bool(little[first]))
            why = why or wrong
            if layout is None:
                bad += rows[good].tolist()
            elif good.all():
                found.append((rows, layout, held))
            else:
                found.append((rows[good], layout, held.only(good)))
            if len(rows) == len(left):
                left = left[~good]
            else:
                alike[alike] = good
                left = left[~alike]
        return found, np.array(sorted(bad), np.int64), why

    def _layout(
        self, batch: RawBatch, held: Held, first: int, size: int, little: bool
    ) -> tuple[Layout | None, NDArray[np.bool_], str]:
        """The layout of the first of these messages, which of them have it, and ''.

        Of a bad one None, which are as bad, and why: the same words lead along the same way to the same end.
        """
        known = self._layouts.setdefault((size, little), [])
        for layout in known:
            good = _fits(held, layout)
            if good[0]:
                return layout, good, ""
        try:
            layout = trace(self.types, self.name, batch.data(first))
        except ColumnError as error:
            if error.layout is not None:
                return None, _fits(held, error.layout), str(error)
            good = np.zeros(len(held.begin), bool)
            good[0] = True
            return None, good, str(error)
        if len(known) < _MAX_LAYOUTS:
            known.append(layout)
        return layout, _fits(held, layout), ""

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
        for numbers, layout in alike.values():
            rows = np.array(numbers, np.int64)
            found.append((rows, layout, Held(batch.buffer, batch.begin[rows], layout.size)))
        return why


@functools.lru_cache(maxsize=256)
def _decoder(text: str, name: str) -> _Decoder:
    return _Decoder(text, name)


def _fits(held: Held, layout: Layout) -> NDArray[np.bool_]:
    """(n,): those whose header and length words are the layout's; they are of its size."""
    head = held.at(0, 4).view("<u4")
    good: NDArray[np.bool_] = (head & 0xFFFF) == (256 if layout.little else 0)
    where, value = layout.lengths
    if len(where) > _FEW_WORDS and len(good) <= _FEW_ROWS:
        good &= (held.words(where) == value.view("<u4")).all(axis=1)
        return good
    if len(where) > _FEW_WORDS:
        # Many words are a list of strings, mostly the same in all messages: compare all of it in one go.
        begin = int(where[0])
        block = held.at(begin, int(where[-1]) + 4 - begin)
        if alike(block):
            first = take(block[:1].view(np.uint8), where - begin, 4).view(value.dtype)
            if not (first == value).all():
                good[:] = False
            return good
    for at, number in zip(where.tolist(), value, strict=True):
        good &= held.at(at, 4).view(value.dtype) == number
    return good


def _part(kind: str, held: Held, layout: Layout, name: str) -> Any:
    leaf = layout.leaves.get(name)
    if leaf is None:
        raise ColumnError(
            f"{name!r} of {kind} cannot be one column: it is made of several kinds; ask for its parts"
        )
    if leaf.kind == "number":
        return _numbers(held, leaf)
    if leaf.kind == "time":
        pair = np.dtype([("sec", leaf.dtype + "i4"), ("nanosec", leaf.dtype + "u4")])
        time = held.at(leaf.offset, 8).view(pair)
        return time["sec"].astype(np.int64) * 1_000_000_000 + time["nanosec"]
    if leaf.kind == "text":
        return _texts(held, leaf)
    return _lists(held, leaf)


def _numbers(held: Held, leaf: Leaf) -> NDArray[Any]:
    dtype = np.dtype(leaf.dtype)
    shape = (len(held.begin), *leaf.shape)
    if not leaf.size:
        return np.empty(shape, dtype.newbyteorder("="))
    values = held.at(leaf.offset, leaf.size).view(dtype).reshape(shape)
    return values if dtype.isnative else values.astype(dtype.newbyteorder("="))


def _texts(held: Held, leaf: Leaf) -> NDArray[Any]:
    size = leaf.size
    if not size:
        return np.zeros(len(held.begin), "U1")
    block = held.at(leaf.offset, size)
    raw = block.view(f"S{size}")
    if alike(block):
        text = raw[0].decode("utf-8", "replace") if len(raw) else ""
        return np.full(len(raw), text, object if size > _LONG_TEXT else None)
    if size > _LONG_TEXT:
        return np.array([one.decode("utf-8", "replace") for one in raw.tolist()], object)
    try:
        return raw.astype(f"U{size}")
    except UnicodeDecodeError:
        return np.char.decode(raw, "utf-8", "replace")


def _lists(held: Held, leaf: Leaf) -> list[tuple[str, ...]]:
    if not leaf.parts:
        return [()]
    block = held.at(leaf.offset, leaf.size)
    if alike(block):
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
