# SPDX-License-Identifier: Apache-2.0
"""Which topics of a bag are played, under which names; and why others are not."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dexndm_ros.bags.types import TopicInfo
from dexndm_ros.playback.commands import cannot_command, is_command
from dexndm_ros.playback.player import PlaybackError

__all__ = [
    "CLOCK",
    "LeftOut",
    "Played",
    "Selection",
    "commands_as",
    "latched_depth",
    "parse_nodes",
    "parse_remaps",
    "select",
]

CLOCK = "/clock"
_NAME = re.compile(r"/?[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*", re.ASCII)
_OWN = ("/rosout", "/parameter_events")
"""Every node speaks there for itself; recorded ones would only confuse."""
_LATCHED_NAMES = ("tf_static", "robot_description")
_TICKS = (
    "dexndm_msgs/msg/PolicyStep",
    "dexndm_msgs/msg/ReplayStep",
    "dexndm_msgs/msg/HandCommand",
)
"""Types of the messages that are control ticks, the best first."""


@dataclass(frozen=True)
class Played:
    """A topic to play.

    Attributes:
        info: as recorded.
        name: full name to publish it under.
        command: whether it may tell something to move.
        latched: messages of it that hold until the next; 0 = each is for its moment only, as commands always are.
    """

    info: TopicInfo
    name: str
    command: bool
    latched: int


@dataclass(frozen=True)
class LeftOut:
    """A topic that is not played.

    Attributes:
        name: as recorded.
        why: what it is, and how it would be played.
    """

    name: str
    why: str


@dataclass(frozen=True)
class Selection:
    """What is played of a bag.

    Attributes:
        played: in the order of the bag.
        left_out: that somebody may miss.
        ticks: recorded name of the topic whose messages are the control ticks; '' = there is none.
    """

    played: tuple[Played, ...]
    left_out: tuple[LeftOut, ...]
    ticks: str


def parse_remaps(words: Sequence[str]) -> dict[str, str]:
    """Pairs "from:=to" as a mapping of full names.

    Raises:
        PlaybackError: a word that is none.
    """
    found: dict[str, str] = {}
    for word in words:
        source, sign, target = word.partition(":=")
        if not sign or not _NAME.fullmatch(source) or not _NAME.fullmatch(target):
            raise PlaybackError(
                f"remap {word!r}: write FROM:=TO with topic names, as in /hand/state:=/was/hand/state"
            )
        source = _full(source)
        if source in found:
            raise PlaybackError(f"remap: {source} stands there twice")
        found[source] = _full(target)
    return found


def parse_nodes(words: Sequence[str]) -> frozenset[str]:
    """Full names of nodes.

    Raises:
        PlaybackError: a word that is no name; patterns are none.
    """
    for word in words:
        if not _NAME.fullmatch(word):
            raise PlaybackError(
                f"allow_listeners: {word!r} is no name of a node; write it in full, as in /left/hand_driver"
            )
    return frozenset(_full(word) for word in words)


def commands_as(info: TopicInfo, name: str) -> str:
    """Why a topic that is played as ``name`` may make something move; '' = it cannot."""
    if is_command(info.name, info.type):
        return "a command"
    if is_command(name, info.type):
        return f"a command under the name {name}"
    if name != info.name and not cannot_command(info.type, info.name, name):
        # Nodes that move motors are not told by their topics' names: under another name it may be obeyed.
        return f"it may be a command under another name than recorded ({name})"
    return ""


def select(
    topics: Mapping[str, TopicInfo],
    wanted: Sequence[str] = (),
    remaps: Mapping[str, str] | None = None,
    commands: bool = False,
    clock: bool = False,
    unusable: Callable[[TopicInfo], str] = lambda info: "",
) -> Selection:
    """Choose the topics to play.

    Args:
        topics: of the bag.
        wanted: only these, with or without leading slash; () = all.
        remaps: full name to full name.
        commands: whether topics that make something move are played as well.
        clock: whether the player publishes /clock itself.
        unusable: why a topic cannot be published here; '' = it can.

    Raises:
        PlaybackError: a topic that the bag has not, or two under one name.
    """
    names = {_full(name) for name in wanted}
    remaps = remaps or {}
    for name in sorted(names | remaps.keys()):
        if name not in topics:
            raise PlaybackError(_unknown(name, topics))
    played: dict[str, Played] = {}
    left_out = []
    for name, info in topics.items():
        if names and name not in names:
            continue
        if info.count == 0 or (not names and name in _OWN) or (clock and name == CLOCK):
            continue
        target = remaps.get(name, name)
        command = commands_as(info, target)
        if command and not commands:
            how = "it is played with publish_commands (--publish-commands) only"
            left_out.append(LeftOut(name, f"{command}: {how}"))
            continue
        if why := unusable(info):
            left_out.append(LeftOut(name, why))
            continue
        if target in played:
            raise PlaybackError(
                f"{name} and {played[target].info.name} would both be played as {target}; "
                "give one of them another name, or leave it out"
            )
        # Whoever comes late must not get an old command.
        latched = 0 if command else latched_depth(info)
        played[target] = Played(info, target, bool(command), latched)
    if not played:
        raise PlaybackError(_nothing(topics, left_out))
    return Selection(tuple(played.values()), tuple(left_out), _ticks(list(played.values())))


def latched_depth(info: TopicInfo) -> int:
    """How many of a topic's messages hold until the next: of each latched publisher as many as it keeps."""
    depth = 0
    for qos in info.qos:
        if qos.get("durability") in ("transient_local", 1):
            depth += max(1, _number(qos.get("depth")))
    if not info.qos and info.name.rsplit("/", 1)[-1] in _LATCHED_NAMES:
        depth = 1
    return min(depth, 1000)


def _ticks(played: Sequence[Played]) -> str:
    for kind in _TICKS:
        for each in played:
            if each.info.type == kind:
                return each.info.name
    return ""


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _full(name: str) -> str:
    return "/" + name.lstrip("/")


def _unknown(name: str, topics: Mapping[str, TopicInfo]) -> str:
    near = difflib.get_close_matches(name, topics, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"the bag has no topic {name}{hint} It has: {', '.join(topics) or 'none at all'}"


def _nothing(topics: Mapping[str, TopicInfo], left_out: Sequence[LeftOut]) -> str:
    if left_out:
        return (
            f"nothing is left to play: {'; '.join(f'{each.name}: {each.why}' for each in left_out)}"
        )
    if not topics:
        return "the bag has no topics; `dexndm bag check` says more about it"
    return "nothing is left to play: none of the topics asked for has a message in this bag"
