# SPDX-License-Identifier: Apache-2.0
"""A bag's messages in the order in which they happened, whatever its size.

Bags are read in stretches, and no more than two of them are in memory. Within those the topics are put in order of
time; the messages of each topic stay in the order of the file. One that comes late all the same is counted.
All topics are read, also those that are not played: they tell when the clock was set, and when nothing was recorded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.bags.types import RawBatch
from dexndm_ros.playback.mending import HOLE_PLAYED_S, HOLE_S, Holes, Mender, Order

__all__ = [
    "HOLE_PLAYED_S",
    "HOLE_S",
    "Entry",
    "Order",
    "Recording",
    "Span",
    "Timeline",
    "scan",
]

STRETCH_BYTES = 8 * 2**20
Ints = NDArray[np.int64]


class Recording(Protocol):
    """What is needed of a ``bags.Bag``."""

    def batches(
        self, topics: Collection[str] | None = None, max_bytes: int = ...
    ) -> Iterator[dict[str, RawBatch]]:
        """Stretches of the bag, in the order of the file."""


class Entry(NamedTuple):
    """A message to play.

    Attributes:
        time_ns: when to play it: by the timeline's order, wall time of the recording as long as nobody set the clock.
        topic: full name.
        data: CDR bytes, as recorded.
        held: it is older than the start, and holds there: the last word of a latched topic.
        moved_ns: how much later ``time_ns`` is than the recorded time, because the clock was set, or a hole is played
            shorter.
    """

    time_ns: int
    topic: str
    data: bytes
    held: bool = False
    moved_ns: int = 0


class Span(NamedTuple):
    """What a bag spans.

    Attributes:
        first_ns: when the earliest message is played; 0 = there is none.
        last_ns: the latest.
        counts: messages of each topic that has any.
        set_back_ns: by how much the clock was set back, each time.
        holes_ns: how long each stretch was in which nothing was recorded.
    """

    first_ns: int
    last_ns: int
    counts: Mapping[str, int]
    set_back_ns: tuple[int, ...] = ()
    holes_ns: tuple[int, ...] = ()

    @property
    def duration_s(self) -> float:
        """From the earliest message to the latest."""
        return (self.last_ns - self.first_ns) / 1e9


class _Messages:
    """Messages of a stretch or two, sorted by time; equal times in the order of the file."""

    def __init__(self, columns: Sequence[Ints], sources: Sequence[RawBatch]) -> None:
        order = np.lexsort(columns[::-1])  # the last key of lexsort is the first to sort by
        self.time_ns, self.stretch, self.begin, self.size, self.moved_ns, self.source = (
            column[order] for column in columns
        )
        self.sources = sources

    @classmethod
    def read(
        cls, batches: Sequence[RawBatch], times: Sequence[Ints], moved: Sequence[Ints], number: int
    ) -> _Messages:
        """From one stretch, the ``number``-th."""
        blank = np.zeros(0, np.int64)
        return cls(
            (
                np.concatenate([blank, *times]),
                np.full(sum(len(batch.log_ns) for batch in batches), number, np.int64),
                np.concatenate([blank, *(batch.begin for batch in batches)]),
                np.concatenate([blank, *(batch.size for batch in batches)]),
                np.concatenate([blank, *moved]),
                np.concatenate(
                    [blank, *(np.full(len(b.log_ns), k) for k, b in enumerate(batches))]
                ).astype(np.int64),
            ),
            batches,
        )

    def __len__(self) -> int:
        return len(self.time_ns)

    def __add__(self, other: _Messages) -> _Messages:
        mine, theirs = self._columns(), other._columns()
        theirs[-1] = theirs[-1] + len(self.sources)
        columns = [np.concatenate(pair) for pair in zip(mine, theirs, strict=True)]
        return _Messages(columns, [*self.sources, *other.sources])

    def after(self, count: int) -> _Messages:
        """Without the first ``count``; batches that nothing is left of are let go."""
        columns = [column[count:] for column in self._columns()]
        used, columns[-1] = np.unique(columns[-1], return_inverse=True)
        return _Messages(columns, [self.sources[k] for k in used])

    def earlier(self, cut_ns: Ints) -> _Messages:
        """The first ``len(cut_ns)``, each played so much earlier."""
        columns = [column[: len(cut_ns)] for column in self._columns()]
        columns[0], columns[-2] = columns[0] - cut_ns, columns[-2] - cut_ns
        return _Messages(columns, self.sources)

    def of(self, topics: Collection[str] | None) -> _Messages:
        """Those of these topics; None = all."""
        if topics is None:
            return self
        kept = np.array([batch.topic in topics for batch in self.sources], bool)
        if kept.all():
            return self
        rows = kept[self.source]
        return _Messages([column[rows] for column in self._columns()], self.sources)

    def counts(self) -> dict[str, int]:
        """How many there are of each topic."""
        found: dict[str, int] = {}
        numbers = np.bincount(self.source, minlength=len(self.sources)).tolist()
        for batch, number in zip(self.sources, numbers, strict=True):
            if number:
                found[batch.topic] = found.get(batch.topic, 0) + number
        return found

    def entries(self, begin: int, end: int) -> Iterator[Entry]:
        """Those from ``begin`` up to ``end``."""
        columns = [column[begin:end].tolist() for column in self._columns()]
        for time_ns, _, offset, size, moved_ns, source in zip(*columns, strict=True):
            batch = self.sources[source]
            data = batch.buffer[offset : offset + size].tobytes()
            yield Entry(time_ns, batch.topic, data, False, moved_ns)

    def _columns(self) -> list[Ints]:
        return [self.time_ns, self.stretch, self.begin, self.size, self.moved_ns, self.source]


class Timeline:
    """The messages of a bag in order of time.

    Args:
        bag: to read; each pass reads it anew.
        topics: full names of those to give; None = all.
        by: what time a message has. One without a time of publication has that of its reception.
        latched: topics whose last message holds until the next one, each with how many such messages hold (one for
            each publisher).
        stretch_bytes: how much is read at once.
        keep_holes: stand still as long as nothing was recorded.
    """

    def __init__(
        self,
        bag: Recording,
        topics: Collection[str] | None,
        by: Order = "log",
        latched: Mapping[str, int] | None = None,
        stretch_bytes: int = STRETCH_BYTES,
        keep_holes: bool = False,
    ) -> None:
        self._bag = bag
        self._topics = None if topics is None else frozenset(topics)
        self._by: Order = by
        self._keep_holes = keep_holes
        self._latched = dict(latched or {})
        self._stretch_bytes = stretch_bytes
        self.displaced = 0
        """Messages that came out of order in the last pass."""
        self.set_back_ns: list[int] = []
        """By how much the clock was found set back in the last pass, each time."""
        self.holes_ns: list[int] = []
        """How long nothing was recorded, each time, likewise."""

    def entries(self, start_ns: int | None = None) -> Iterator[Entry]:
        """All messages from a time on; first those that hold at that time.

        Args:
            start_ns: default: from the first message.
        """
        held: dict[str, deque[Entry]] = {t: deque(maxlen=n) for t, n in self._latched.items()}
        waiting = start_ns is not None
        for messages in self.stretches():
            begin, count = 0, len(messages)
            if waiting and start_ns is not None:
                before = messages.time_ns[:count] < start_ns
                # What came out of order lies before the start as well: it is the time that decides.
                begin = int(np.argmin(before)) if not before.all() else count
                for entry in self._latched_of(messages, begin):
                    held[entry.topic].append(entry)
                if begin == count:
                    continue
                waiting = False
                yield from _in_order(held)
            yield from messages.entries(begin, count)
        if waiting:
            yield from _in_order(held)

    def _latched_of(self, messages: _Messages, count: int) -> Iterator[Entry]:
        names = [batch.topic in self._latched for batch in messages.sources]
        for k in np.flatnonzero(np.asarray(names, bool)[messages.source[:count]]).tolist():
            yield from messages.entries(k, k + 1)

    def stretches(self) -> Iterator[_Messages]:
        """The messages of the topics, stretch by stretch, each after those before it."""
        holes = Holes(self._keep_holes)
        self.holes_ns = holes.found_ns
        for messages, count in self._sorted():
            found = messages.earlier(holes.cut(messages.time_ns[:count])).of(self._topics)
            if len(found):
                yield found

    def _sorted(self) -> Iterator[tuple[_Messages, int]]:
        """Messages of all topics, and how many of them are in their final order."""
        self.displaced = 0
        carried: _Messages | None = None
        horizon_ns = told_ns = -(2**62)
        mender = Mender(self._by)
        self.set_back_ns = mender.set_back_ns
        for number, stretch in enumerate(_ahead(self._bag.batches(None, self._stretch_bytes))):
            batches = [batch for batch in stretch.values() if len(batch.log_ns)]
            if not batches:
                continue
            times, moved, late = mender.mend(batches)
            self.displaced += late
            fresh = _Messages.read(batches, times, moved, number)
            if carried is None:
                carried, horizon_ns = fresh, int(fresh.time_ns[-1])
                continue
            merged = carried + fresh
            # Whatever the next stretches bring is taken to be younger than all of the one before the newest.
            count = int(np.searchsorted(merged.time_ns, horizon_ns, side="right"))
            self.displaced += int(np.count_nonzero(merged.time_ns[:count] < told_ns))
            if count:
                yield merged, count
                told_ns = max(told_ns, int(merged.time_ns[count - 1]))
            carried, horizon_ns = merged.after(count), max(horizon_ns, int(fresh.time_ns[-1]))
        if carried is not None and len(carried):
            self.displaced += int(np.count_nonzero(carried.time_ns < told_ns))
            yield carried, len(carried)


def scan(
    bag: Recording,
    topics: Collection[str] | None = None,
    by: Order = "log",
    keep_holes: bool = False,
    stretch_bytes: int = STRETCH_BYTES,
) -> Span:
    """Read a bag once, to know what it spans.

    Args:
        bag: to read.
        topics: those to be played; None = all.
        by: what time a message has.
        keep_holes: as of a ``Timeline``.
        stretch_bytes: how much is read at once.
    """
    timeline = Timeline(bag, topics, by, None, stretch_bytes, keep_holes)
    first_ns, last_ns = 2**63 - 1, 0
    counts: dict[str, int] = {}
    for messages in timeline.stretches():
        first_ns = min(first_ns, int(messages.time_ns[0]))
        last_ns = max(last_ns, int(messages.time_ns[-1]))
        for name, number in messages.counts().items():
            counts[name] = counts.get(name, 0) + number
    steps, holes = tuple(timeline.set_back_ns), tuple(timeline.holes_ns)
    return Span(first_ns if counts else 0, last_ns, counts, steps, holes)


def _ahead(stretches: Iterator[dict[str, RawBatch]]) -> Iterator[dict[str, RawBatch]]:
    """The next stretch is read while this one is played: no pause between the two."""
    with ThreadPoolExecutor(1, "read ahead") as pool:
        coming = pool.submit(next, stretches, None)
        while (stretch := coming.result()) is not None:
            coming = pool.submit(next, stretches, None)
            yield stretch


def _in_order(held: Mapping[str, Collection[Entry]]) -> Iterator[Entry]:
    """What holds at the start, oldest first."""
    for entry in sorted((e for kept in held.values() for e in kept), key=lambda e: e.time_ns):
        yield entry._replace(held=True)
