# SPDX-License-Identifier: Apache-2.0
"""The few MCAP records that say what messages are. All bags of a night hold the same ones: they are parsed once."""

from __future__ import annotations

import functools
import struct
from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["Channel", "Metadata", "Schema", "channel", "metadata", "schema"]

_U32 = struct.Struct("<I")
_IDS = struct.Struct("<HH")


class Schema(NamedTuple):
    """A type: its number, full name and definition."""

    id: int
    name: str
    text: str


class Channel(NamedTuple):
    """A topic's number, type, name and encoding, and what else is said of it."""

    id: int
    schema_id: int
    topic: str
    encoding: str
    metadata: Mapping[str, str]


class Metadata(NamedTuple):
    """Named words."""

    name: str
    words: Mapping[str, str]


@functools.lru_cache(maxsize=1024)
def schema(content: bytes) -> Schema | None:
    """A schema record's content; None when it is damaged."""
    try:
        number = int.from_bytes(content[:2], "little")
        name, at = _text(content, 2)
        _, at = _text(content, at)
        text, at = _text(content, at)
    except (struct.error, ValueError):
        return None
    return Schema(number, name, text) if at == len(content) and number else None


@functools.lru_cache(maxsize=1024)
def channel(content: bytes) -> Channel | None:
    """A channel record's content; None when it is damaged."""
    try:
        number, schema_id = _IDS.unpack_from(content)
        topic, at = _text(content, 4)
        encoding, at = _text(content, at)
        words, at = _words(content, at)
    except (struct.error, ValueError):
        return None
    return Channel(number, schema_id, topic, encoding, words) if at == len(content) else None


def metadata(content: bytes) -> Metadata | None:
    """A metadata record's content; None when it is damaged."""
    try:
        name, at = _text(content, 0)
        words, at = _words(content, at)
    except (struct.error, ValueError):
        return None
    return Metadata(name, words) if at == len(content) else None


def _text(content: bytes, at: int) -> tuple[str, int]:
    (length,) = _U32.unpack_from(content, at)
    end = at + 4 + length
    if end > len(content):
        raise ValueError
    return content[at + 4 : end].decode(), end


def _words(content: bytes, at: int) -> tuple[dict[str, str], int]:
    (length,) = _U32.unpack_from(content, at)
    at += 4
    end = at + length
    words: dict[str, str] = {}
    length_at = _U32.unpack_from
    while at < end:  # as _text does, without a call for each of two hundred words a bag
        (length,) = length_at(content, at)
        at += 4 + length
        key = content[at - length : at]
        (length,) = length_at(content, at)
        at += 4 + length
        words[key.decode()] = content[at - length : at].decode()
    if at != end or end > len(content):
        raise ValueError
    return words, end
