# SPDX-License-Identifier: Apache-2.0
"""Frozen config dataclasses from YAML: unknown keys, wrong types and impossible values are refused by name."""

from __future__ import annotations

import dataclasses
import math
import typing
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

import yaml

from dexndm_ros.teleop.errors import SettingsError

__all__ = ["from_mapping", "read_settings"]

Config = TypeVar("Config")


def read_settings(kind: type[Config], file: Path) -> Config:
    """A config from a YAML file.

    Raises:
        SettingsError: not readable, not YAML, or not what ``kind`` allows; names the file and the key.
    """
    try:
        data = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"cannot read {file}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} is not valid YAML: {error}") from error
    return from_mapping(kind, {} if data is None else data, str(file))


def from_mapping(kind: type[Config], data: Any, where: str) -> Config:
    """A config from nested mappings.

    Args:
        kind: a dataclass; its nested dataclasses are mappings in the data.
        data: what was read.
        where: what the message begins with.

    Raises:
        SettingsError: see ``read_settings``.
    """
    if not isinstance(data, dict):
        raise SettingsError(f"{where}: expected keys and values, got {type(data).__name__}")
    fields = {field.name: field for field in dataclasses.fields(typing.cast(Any, kind))}
    for key in data:
        if key not in fields:
            raise SettingsError(f"{where}: unknown key {key!r}; known keys: {', '.join(fields)}")
    for name, field in fields.items():
        if field.default is field.default_factory is dataclasses.MISSING and name not in data:
            raise SettingsError(f"{where}: {name} is missing")
    hints = typing.get_type_hints(kind)
    values = {key: _value(hints[key], value, f"{where}: {key}") for key, value in data.items()}
    try:
        return kind(**values)
    except ValueError as error:
        raise SettingsError(f"{where}: {error}") from error


def _value(kind: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(kind):
        return from_mapping(typing.cast(Any, kind), value, where)
    if typing.get_origin(kind) is tuple:
        return _tuple(typing.get_args(kind), value, where)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        if value not in tuple(kind):
            raise SettingsError(f"{where}: {value!r} is none of {', '.join(kind)}")
        return kind(value)
    if kind is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        if not math.isfinite(value):
            raise SettingsError(f"{where}: expected a finite number, got {value}")
        return float(value)
    if type(value) is not kind:
        raise SettingsError(f"{where}: expected {kind.__name__}, got {value!r}")
    return value


def _tuple(kinds: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise SettingsError(f"{where}: expected a list, got {value!r}")
    if kinds[-1] is not Ellipsis and len(value) != len(kinds):
        raise SettingsError(f"{where}: expected {len(kinds)} values, got {len(value)}")
    return tuple(_value(kinds[0], item, where) for item in value)
