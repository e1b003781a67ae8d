# SPDX-License-Identifier: Apache-2.0
"""What a system of :mod:`dexndm_ros.bringup` is made of: arguments as text, and processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from dexndm_ros.process_spec import ParameterValue, ProcessSpec

__all__ = ["Argument", "BringupError", "System", "flag", "node_process", "number"]

_TRUE = ("true", "1", "yes", "on")
_FALSE = ("false", "0", "no", "off")


class BringupError(ValueError):
    """A system or an argument that cannot be started; says what was got and what is allowed."""


@dataclass(frozen=True)
class Argument:
    """One argument of a system, as text (that is how ``ros2 launch`` hands it over).

    Attributes:
        name: the name in ``name:=value`` and ``--name``.
        default: the value when it is not given.
        description: one line, with units.
    """

    name: str
    default: str
    description: str


@dataclass(frozen=True)
class System:
    """A named set of processes.

    Attributes:
        description: one line for ``ros2 launch --show-args`` and the help text.
        arguments: what it takes.
        build: from complete arguments to processes in start order.
    """

    description: str
    arguments: tuple[Argument, ...]
    build: Callable[[Mapping[str, str]], list[ProcessSpec]]


def flag(name: str, text: str) -> bool:
    """An argument that is true or false.

    Raises:
        BringupError: it is neither.
    """
    if text.strip().lower() in _TRUE:
        return True
    if text.strip().lower() in _FALSE:
        return False
    raise BringupError(f"{name} is {text!r}; allowed: true or false")


def number(name: str, text: str, low: float, high: float, unit: str) -> float:
    """An argument that is a number between two others.

    Raises:
        BringupError: it is none.
    """
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:  # also refuses NaN
        raise BringupError(f"{name} is {text!r}; allowed: {low:g} to {high:g} {unit}")
    return value


def node_process(name: str, parameters: Mapping[str, ParameterValue], share: Path) -> ProcessSpec:
    """One of our nodes, with its parameter file in ``share``."""
    return ProcessSpec(
        name=name,
        module=f"dexndm_ros.nodes.{name}",
        executable=name,
        parameters=parameters,
        parameter_file=share / "config" / f"{name}.yaml",
    )
