# SPDX-License-Identifier: Apache-2.0
"""Opens a bag for playing: what is in it, what of it is played, from where to where."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dexndm_ros.bags.open import Bag, open_bag
from dexndm_ros.bags.types import TopicInfo
from dexndm_ros.playback.player import PlaybackError, PlayConfig, check_rate
from dexndm_ros.playback.select import Selection, parse_nodes, parse_remaps, select
from dexndm_ros.playback.timeline import HOLE_PLAYED_S, Order, Span, Timeline, scan

__all__ = ["Opened", "ReplayOptions", "choose", "open_for_playing"]

_ORDERS = ("log", "publish")
_SHORTER = f"{HOLE_PLAYED_S:g} s is waited instead (keep_holes, --keep-holes: all of it)"


@dataclass(frozen=True, kw_only=True)
class ReplayOptions:
    """What to play, and how.

    Attributes:
        bag: folder or file.
        topics: names separated by blanks; '' = all.
        remap: pairs FROM:=TO separated by blanks.
        rate: times real time.
        start_s: from the first message.
        duration_s: of the part to play; 0 = to the end.
        paused: wait at the start.
        loop: begin again at the end.
        order: "log" or "publish".
        clock_hz: of /clock; 0 = it is not published.
        publish_commands: also what makes something move.
        allow_listeners: full names of nodes that may hear commands, separated by blanks; '' = none.
        keep_holes: stand still for as long as nothing was recorded.
    """

    bag: str
    topics: str = ""
    remap: str = ""
    rate: float = 1.0
    start_s: float = 0.0
    duration_s: float = 0.0
    paused: bool = False
    loop: bool = False
    order: str = "log"
    clock_hz: float = 0.0
    publish_commands: bool = False
    allow_listeners: str = ""
    keep_holes: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if not self.bag:
            raise PlaybackError("bag is empty; name the bag to play, a folder or a file")
        check_rate(self.rate)
        for name, unit, most in (
            ("start_s", "s", 1e9),
            ("duration_s", "s", 1e9),
            ("clock_hz", "Hz", 1000.0),
        ):
            value = getattr(self, name)
            if not (math.isfinite(value) and 0.0 <= value <= most):
                raise PlaybackError(f"{name} is {value:g}; allowed: 0 to {most:g} {unit}")
        if self.order not in _ORDERS:
            raise PlaybackError(f"order is {self.order!r}; allowed: {' or '.join(_ORDERS)}")
        if self.listeners and not self.publish_commands:
            raise PlaybackError(
                "allow_listeners (--allow-listener) says who may hear commands, but none are played: give "
                "publish_commands (--publish-commands), too"
            )

    @property
    def listeners(self) -> frozenset[str]:
        """Full names of the nodes that may hear commands."""
        return parse_nodes(self.allow_listeners.split())

    @property
    def play(self) -> PlayConfig:
        """The part for the player."""
        return PlayConfig(rate=self.rate, paused=self.paused, loop=self.loop)


@dataclass(frozen=True)
class Opened:
    """A bag that is ready to be played.

    Attributes:
        bag: its ``damage`` is complete: it was read once.
        selection: what is played of it.
        span: of what is played.
        begin_ns: recorded time to begin at.
        end_ns: to end at.
        timeline: the messages.
        keep_holes: whether it stands still where nothing was recorded.
    """

    bag: Bag
    selection: Selection
    span: Span
    begin_ns: int
    end_ns: int
    timeline: Timeline
    keep_holes: bool = False

    @property
    def remaps(self) -> Mapping[str, str]:
        """Recorded name to the name it is played under."""
        return {each.info.name: each.name for each in self.selection.played}

    @property
    def notes(self) -> tuple[str, ...]:
        """What is played otherwise than it was recorded, in sentences."""
        found = [
            f"the clock of the recording was set back by about {ns / 1e9:.2f} s: what came after that is played after "
            "what came before"
            for ns in self.span.set_back_ns
        ]
        if holes := self.span.holes_ns:
            often = "once" if len(holes) == 1 else f"{len(holes)} times"
            longest = f"nothing was recorded for up to {max(holes) / 1e9:.0f} s ({often})"
            found.append(
                f"{longest}, or the clock was set forward: "
                + ("it is waited for that long" if self.keep_holes else _SHORTER)
            )
        return tuple(found)


def choose(
    options: ReplayOptions, unusable: Callable[[TopicInfo], str] = lambda info: ""
) -> tuple[Bag, Selection]:
    """Open a bag and choose what is played of it; its messages are not read.

    Args:
        options: what to play.
        unusable: why a topic cannot be published here; '' = it can.

    Raises:
        PlaybackError: there is nothing to play as asked.
        BagError: it is no bag.
    """
    bag = open_bag(options.bag)
    return bag, select(
        bag.topics,
        options.topics.split(),
        parse_remaps(options.remap.split()),
        options.publish_commands,
        options.clock_hz > 0,
        unusable,
    )


def open_for_playing(
    options: ReplayOptions, unusable: Callable[[TopicInfo], str] = lambda info: ""
) -> Opened:
    """Open a bag and look through it once.

    Args:
        options: what to play.
        unusable: why a topic cannot be published here; '' = it can.

    Raises:
        PlaybackError: there is nothing to play as asked.
        BagError: it is no bag.
    """
    bag, selection = choose(options, unusable)
    order: Order = "publish" if options.order == "publish" else "log"
    names = [each.info.name for each in selection.played]
    span = scan(bag, names, order, options.keep_holes)
    if not span.counts:
        whole = (
            f"; {len(bag.damage)} things are wrong with it: {bag.damage[0]}" if bag.damage else ""
        )
        raise PlaybackError(f"{options.bag} has no message of {', '.join(names)}{whole}")
    if options.start_s > span.duration_s:
        raise PlaybackError(
            f"start_s is {options.start_s:g}, but the bag ends after {span.duration_s:.3f} s"
        )
    begin_ns = span.first_ns + round(options.start_s * 1e9)
    end_ns = span.last_ns
    if options.duration_s:
        end_ns = min(end_ns, begin_ns + round(options.duration_s * 1e9))
    latched = {each.info.name: each.latched for each in selection.played if each.latched}
    timeline = Timeline(bag, names, order, latched, keep_holes=options.keep_holes)
    return Opened(bag, selection, span, begin_ns, end_ns, timeline, options.keep_holes)
