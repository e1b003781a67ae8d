# SPDX-License-Identifier: Apache-2.0
"""What a message type means: its text and hash, so that a bag explains itself wherever it is opened."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from dexndm_ros.paths import PathError, share_dir

__all__ = ["Definition", "DefinitionError", "definition", "message_files", "typestore"]

SEPARATOR = "=" * 80
_OURS = "dexndm_msgs"


class DefinitionError(ValueError):
    """A message type that nobody here knows; the message says where it was looked for."""


@dataclass(frozen=True)
class Definition:
    """A message type.

    Attributes:
        name: full name, "package/msg/Name".
        text: its .msg text and those of all types in it, as rosbag2 concatenates them ("ros2msg").
        type_hash: as the middleware publishes it, "RIHS01_" and 64 hex digits.
    """

    name: str
    text: str
    type_hash: str


@functools.cache
def typestore() -> Typestore:
    """The types of ROS 2 Jazzy and ours, ready to decode; packages are added when first asked for."""
    store = get_typestore(Stores.ROS2_JAZZY)
    if message_files(_OURS):
        _register(store, _OURS)
    return store


@functools.cache
def definition(name: str) -> Definition:
    """The definition of a type.

    Args:
        name: "package/msg/Name".

    Raises:
        DefinitionError: no such name, or the package is not installed.
    """
    parts = name.split("/")
    if len(parts) != 3 or parts[1] != "msg" or not all(parts):
        raise DefinitionError(f"{name!r} is no message type; write it as package/msg/Name")
    store = typestore()
    if name not in store.fielddefs:
        _register(store, parts[0])
    if name not in store.fielddefs:
        raise DefinitionError(f"package {parts[0]} has no message {parts[2]}; see its msg folder")
    try:
        generated, _ = store.generate_msgdef(name, ros_version=2)
        type_hash = store.hash_rihs01(name)
    except KeyError as error:
        raise DefinitionError(f"{name} holds a type that is not installed: {error}") from error
    # The generated text has no comments, and those name the units; the file itself has them.
    own = next((path for path in message_files(parts[0]) if path.stem == parts[2]), None)
    if own is not None:
        _, line, rest = generated.partition(f"{SEPARATOR}\n")
        generated = own.read_text(encoding="utf-8").rstrip() + "\n" + line + rest
    return Definition(name, generated, type_hash)


def message_files(package: str) -> list[Path]:
    """The .msg files of a package: of the ROS in use, else (of ours) those of the checkout."""
    for folder in _folders(package):
        if found := sorted(folder.glob("*.msg")):
            return found
    return []


def _folders(package: str) -> Iterator[Path]:
    for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep):
        if prefix:
            yield Path(prefix) / "share" / package / "msg"
    if package == _OURS:
        try:
            yield share_dir() / "msg"
        except PathError:
            return


def _register(store: Typestore, package: str) -> None:
    files = message_files(package)
    if not files:
        raise DefinitionError(
            f"no messages of package {package} in AMENT_PREFIX_PATH "
            f"({os.environ.get('AMENT_PREFIX_PATH') or 'empty'}); build it and source its setup file"
        )
    types = {}
    for path in files:
        types.update(
            get_types_from_msg(path.read_text(encoding="utf-8"), f"{package}/msg/{path.stem}")
        )
    store.register({name: fields for name, fields in types.items() if name not in store.fielddefs})
