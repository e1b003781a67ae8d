# SPDX-License-Identifier: Apache-2.0
"""The world file that an identification writes: what differs from the defaults, and a comment on every number."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from dexndm_ros.sim.worlds import World
from dexndm_ros.training.sysid.gate import Estimate
from dexndm_ros.training.sysid.parameters import PARAMETERS

__all__ = ["world_text"]

_WIDTH = 110


def world_text(world: World, rows: Sequence[Estimate], head: Sequence[str]) -> str:
    """YAML of a world, read back equal by ``World.load``.

    Args:
        world: to write.
        rows: what was identified and what was not, for the comments.
        head: lines at the top.
    """
    lines = ["# SPDX-License-Identifier: Apache-2.0", *(f"# {line}" for line in head)]
    default = World()
    for field in dataclasses.fields(World):
        value, usual = getattr(world, field.name), getattr(default, field.name)
        if not dataclasses.is_dataclass(value):
            lines.append(f"{field.name}: {_number(value)}")
            continue
        changed = {
            each.name: getattr(value, each.name)
            for each in dataclasses.fields(value)
            if getattr(value, each.name) != getattr(usual, each.name)
        }
        if not changed and not _of_section(rows, field.name):
            continue
        body = [f"  {key}: {_number(number)}" for key, number in changed.items()]
        comments = _comments(rows, field.name)
        lines += [f"{field.name}:" if body else f"{field.name}: {{}}", *body, *comments]
    return "\n".join(lines) + "\n"


def _of_section(rows: Sequence[Estimate], section: str) -> list[Estimate]:
    return [each for each in rows if PARAMETERS[each.parameter].key.startswith(f"{section}.")]


def _comments(rows: Sequence[Estimate], section: str) -> list[str]:
    lines = []
    for name in dict.fromkeys(each.parameter for each in _of_section(rows, section)):
        mine = [each for each in rows if each.parameter == name]
        good = [f"{each.of} (spread {each.spread:.0%})" for each in mine if not each.refused]
        lines += _wrapped(f"{PARAMETERS[name].key}: identified: {', '.join(good) or 'none'}")
        for each in mine:
            if each.refused:
                lines += _wrapped(
                    f"  not identified: {each.of}: {each.refused}; nominal value kept"
                )
    return lines


def _wrapped(text: str) -> list[str]:
    import textwrap

    wrapped = textwrap.wrap(text, _WIDTH, drop_whitespace=True, subsequent_indent="    ")
    return [f"  # {line}" for line in wrapped]


def _number(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(_number(each) for each in value)}]"
    if isinstance(value, float):
        text = f"{value:.10g}"
        # YAML 1.1 reads 1e-05 as a word.
        return f"{value:.12f}".rstrip("0") if "e" in text else text
    return '"' + value + '"' if isinstance(value, str) and "," in value else str(value)
