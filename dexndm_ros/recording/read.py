# SPDX-License-Identifier: Apache-2.0
"""Reads messages out of bags, also out of torn ones."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mcap.records import Channel, Schema
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from dexndm_ros.recording.definitions import DefinitionError, definition, typestore
from dexndm_ros.recording.mcap_records import McapError, RawMessage, records

__all__ = ["BagError", "BagMessage", "bag_file", "decode", "decoder", "messages"]


class BagError(ValueError):
    """A bag that cannot be read, or not to its end; the message names it and says why."""


class BagMessage(NamedTuple):
    """A message as recorded.

    Attributes:
        topic: full name.
        type: "package/msg/Name".
        log_ns: when it was received, wall time.
        publish_ns: when it was published, wall time.
        sequence: the publisher's number of it; 0 = unknown.
        data: CDR bytes.
    """

    topic: str
    type: str
    log_ns: int
    publish_ns: int
    sequence: int
    data: bytes


def bag_file(path: Path | str) -> Path:
    """The MCAP file of a bag.

    Args:
        path: the bag's folder (also one put aside, which has no metadata.yaml), or the file itself.

    Raises:
        BagError: there is none, or more than one.
    """
    given = Path(path)
    if given.is_file():
        return given
    found = sorted(given.glob("*.mcap"))
    if len(found) != 1:
        raise BagError(f"{given} holds {len(found)} .mcap files, one is needed")
    return found[0]


def messages(
    path: Path | str, topics: Collection[str] | None = None, torn: bool = False
) -> Iterator[BagMessage]:
    """The messages of a bag in the order of the file: each topic's as they came.

    Args:
        path: folder or MCAP file.
        topics: only these; a name without its leading slash is understood. Default: all.
        torn: read up to where the file is torn, and end there without an error.

    Raises:
        BagError: no bag; or, unless ``torn``, at the place where it is damaged.
    """
    file = bag_file(path)
    wanted = None if topics is None else {"/" + name.lstrip("/") for name in topics}
    schemas: dict[int, str] = {}
    channels: dict[int, tuple[str, str]] = {}
    try:
        for record in records(memoryview(file.read_bytes())):
            if isinstance(record, RawMessage):
                topic, kind = channels[record.channel]
                if wanted is None or topic in wanted:
                    yield BagMessage(
                        topic, kind, record.log_ns, record.publish_ns, record.sequence, record.data
                    )
            elif isinstance(record, Schema):
                schemas[record.id] = record.name
            elif isinstance(record, Channel):
                channels[record.id] = record.topic, schemas[record.schema_id]
    except (McapError, KeyError) as error:
        if not torn:
            raise BagError(f"{file}: {error}") from error
    except OSError as error:
        raise BagError(f"{file}: {error}") from error


def decode(kind: str, data: bytes) -> Any:
    """A message as an object with its fields as attributes (arrays: numpy), by today's definitions.

    Args:
        kind: "package/msg/Name".
        data: CDR bytes.

    Raises:
        DefinitionError: a type that nobody knows.
        BagError: bytes that are no such message.
    """
    if kind not in typestore().fielddefs:
        definition(kind)
    try:
        return typestore().deserialize_cdr(data, kind)
    except Exception as error:  # whatever the generated code meets in wrong bytes
        raise BagError(f"{len(data)} bytes are no {kind}: {error}") from error


def decoder(path: Path | str) -> Callable[[str, bytes], Any]:
    """Like :func:`decode`, by the definitions that the bag itself brings.

    Raises:
        BagError: no bag, or its definitions cannot be read.
    """
    file = bag_file(path)
    types: dict[str, Any] = {}
    try:
        for record in records(memoryview(file.read_bytes())):
            if isinstance(record, RawMessage):
                break  # definitions come before the messages
            if isinstance(record, Schema):
                types.update(get_types_from_msg(record.data.decode(), record.name))
    except Exception as error:
        raise BagError(f"{file}: {error}") from error
    store = get_typestore(Stores.EMPTY)
    store.register(types)

    def decode_with_bag(kind: str, data: bytes) -> Any:
        if kind not in store.fielddefs:
            raise DefinitionError(f"{file} holds no definition of {kind}")
        try:
            return store.deserialize_cdr(data, kind)
        except Exception as error:
            raise BagError(f"{len(data)} bytes are no {kind}: {error}") from error

    return decode_with_bag
