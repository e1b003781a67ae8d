# SPDX-License-Identifier: Apache-2.0
"""Messages of an earlier definition as messages of the installed one.

Types grow: fields are added. A bag from before is still of use to the nodes of today, if what is new may be empty.
Anything else (a field that is gone, or is of another type) is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from dexndm_ros.bags.types import TopicInfo
from dexndm_ros.playback.player import PlaybackError
from dexndm_ros.recording.definitions import DefinitionError, definition, typestore

__all__ = ["Evolution", "evolution"]


@dataclass(frozen=True)
class Evolution:
    """How messages of a topic become such of the installed type.

    Attributes:
        convert: from CDR bytes to CDR bytes.
        text: for the user: what is not as recorded.
    """

    convert: Callable[[bytes], bytes]
    text: str


def evolution(info: TopicInfo) -> Evolution | None:
    """What has to be done with a topic's messages; None = nothing, they are of the installed type.

    A bag that tells no hash of its types is taken at its word that they are those of today.

    Raises:
        PlaybackError: the type is not installed, or the two do not fit.
    """
    try:
        installed = definition(info.type).type_hash
    except DefinitionError as error:
        raise PlaybackError(
            f"its type cannot be compared with the installed one ({error})"
        ) from error
    if not info.type_hash or info.type_hash == installed:
        return None
    before, now = _store(info), typestore()
    added = _added(before, now, info.type)
    blank = _blank_values(now, info.type, added)
    kind = now.types[info.type]

    def convert(data: bytes) -> bytes:
        message = before.deserialize_cdr(data, info.type)
        values = {name: getattr(message, name) for name, _ in before.fielddefs[info.type][1]}
        return bytes(now.serialize_cdr(kind(**values, **blank), info.type))

    return Evolution(
        convert,
        f"it was recorded with an earlier {info.type}: {', '.join(added)} are 0 or empty in what is played",
    )


def _store(info: TopicInfo) -> Typestore:
    """The types as the bag defines them."""
    why = "the bag does not say which"
    store = get_typestore(Stores.EMPTY)
    try:
        if info.definition.strip():
            store.register(get_types_from_msg(info.definition, info.type))
    except Exception as error:  # the parser's errors are of many kinds
        why = f"the bag's cannot be read ({error})"
    if info.type not in store.fielddefs:
        raise PlaybackError(
            f"it was recorded with another definition of {info.type} than the one installed, and {why}; play it with "
            "the software that recorded it"
        )
    return store


def _added(before: Typestore, now: Typestore, kind: str) -> list[str]:
    """Fields that only today's type has, after a look whether all others are the same."""
    old, new = dict(before.fielddefs[kind][1]), dict(now.fielddefs[kind][1])
    differ = [name for name, what in old.items() if name not in new or new[name] != what]
    differ += [
        name for name in old if name not in differ and not _same_inside(before, now, old[name])
    ]
    if differ:
        raise PlaybackError(
            f"it was recorded with another definition of {kind} than the one installed: {', '.join(differ)} "
            "differ or are gone, so nobody here could read it; play it with the software that recorded it"
        )
    return [name for name in new if name not in old]


def _same_inside(before: Typestore, now: Typestore, what: Any) -> bool:
    """Whether the types that a field's type is made of are the same in both."""
    node, detail = what
    if node.name == "NAME":
        old, new = before.fielddefs[detail][1], now.fielddefs[detail][1]
        return old == new and all(_same_inside(before, now, inner) for _, inner in old)
    if node.name in ("ARRAY", "SEQUENCE"):
        return _same_inside(before, now, detail[0])
    return True


def _blank_values(store: Typestore, kind: str, names: list[str]) -> dict[str, Any]:
    fields = dict(store.fielddefs[kind][1])
    return {name: _blank(store, fields[name]) for name in names}


def _blank(store: Typestore, what: Any) -> Any:
    node, detail = what
    if node.name == "BASE":
        base = detail[0]
        if base == "string":
            return ""
        return False if base == "bool" else 0.0 if base.startswith("float") else 0
    if node.name == "NAME":
        inner = [name for name, _ in store.fielddefs[detail][1]]
        return store.types[detail](**_blank_values(store, detail, inner))
    element, count = detail
    count = count if node.name == "ARRAY" else 0
    if element[0].name == "BASE" and element[1][0] != "string":
        return np.zeros(count, np.dtype(_numpy(element[1][0])))
    return [_blank(store, element) for _ in range(count)]


def _numpy(base: str) -> str:
    return {"octet": "uint8", "char": "uint8"}.get(base, base)
