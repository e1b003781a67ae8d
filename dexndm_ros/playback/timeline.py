# SPDX-License-Identifier: Apache-2.0
"""A bag's messages in the order in which they happened, whatever its size.

Bags are read in stretches, and no more than two of them are in memory. Within those the messages are sorted; one
that was written more than a stretch too late cannot be put right any more: it comes where it stands, and is counted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.bags.types import RawBatch

__all__ = ["Entry", "Order", "Recording", "Span", "Timeline", "scan"]

Order = Literal["log", "publish"]
"""By when a message was received, or by when it was published."""

STRETCH_BYTES = 8 * 2**20


class Recording(Protocol):
    """What is needed of a ``bags.Bag``."""

    def batches(
        self, topics: Collection[str] | None = None, max_bytes: int = ...
    ) -> Iterator[dict[str, RawBatch]]:
        """Stretches of the bag, in the order of the file."""


class Entry(NamedTuple):
    """A message to play.

    Attributes:
        time_ns: by the timeline's order, wall time of the recording.
        topic: full name.
        data: CDR bytes, as recorded.
        held: it is older than the start, and holds there: the last word of a latched topic.
    """

    time_ns: int
    topic: str
    data: bytes
    held: bool = False


class Span(NamedTuple):
    """What a bag spans.

    Attributes:
        first_ns: time of the earliest message; 0 = there is none.
        last_ns: of the latest.
        counts: messages of each topic that has any.
    """

    first_ns: int
    last_ns: int
    counts: Mapping[str, int]

    @property
    def duration_s(self) -> float:
        """From the earliest message to the latest."""
        return (self.last_ns - self.first_ns) / 1e9


class _Messages:
    """Messages of a stretch or two, sorted by time; equal times in the order of the file."""

    def __init__(self, columns: Sequence[NDArray[np.int64]], sources: Sequence[RawBatch]) -> None:
        order = np.lexsort(columns[::-1])  # the last key of lexsort is the first to sort by
        self.time_ns, self.stretch, self.begin, self.size, self.source = (
            column[order] for column in columns
        )
        self.sources = sources

    @classmethod
    def read(cls, stretch: Mapping[str, RawBatch], number: int, by: Order) -> _Messages:
        """From one stretch, the ``number``-th."""
        batches = [batch for batch in stretch.values() if len(batch.log_ns)]
        blank = np.zeros(0, np.int64)
        return cls(
            (
                np.concatenate([blank, *(_times(batch, by) for batch in batches)]),
                np.full(sum(len(batch.log_ns) for batch in batches), number, np.int64),
                np.concatenate([blank, *(batch.begin for batch in batches)]),
                np.concatenate([blank, *(batch.size for batch in batches)]),
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

    def entries(self, begin: int, end: int) -> Iterator[Entry]:
        """Those from ``begin`` up to ``end``."""
        columns = [column[begin:end].tolist() for column in self._columns()]
        for time_ns, _, offset, size, source in zip(*columns, strict=True):
            batch = self.sources[source]
            yield Entry(time_ns, batch.topic, batch.buffer[offset : offset + size].tobytes())

    def _columns(self) -> list[NDArray[np.int64]]:
        return [self.time_ns, self.stretch, self.begin, self.size, self.source]


class Timeline:
    """The messages of a bag in order of time.

    Args:
        bag: to read; each pass reads it anew.
        topics: full names of those to give.
        by: what time a message has. One without a time of publication has that of its reception.
        latched: topics whose last message holds until the next one, each with how many such messages hold (one for
            each publisher).
        stretch_bytes: how much is read at once.
    """

    def __init__(
        self,
        bag: Recording,
        topics: Collection[str],
        by: Order = "log",
        latched: Mapping[str, int] | None = None,
        stretch_bytes: int = STRETCH_BYTES,
    ) -> None:
        self._bag = bag
        self._topics = tuple(topics)
        self._by: Order = by
        self._latched = {k: n for k, n in (latched or {}).items() if k in self._topics}
        self._stretch_bytes = stretch_bytes
        self.displaced = 0
        """Messages that came out of order in the last pass."""

    def entries(self, start_ns: int | None = None) -> Iterator[Entry]:
        """All messages from a time on; first those that hold at that time.

        Args:
            start_ns: default: from the first message.
        """
        self.displaced = 0
        held: dict[str, deque[Entry]] = {t: deque(maxlen=n) for t, n in self._latched.items()}
        waiting = start_ns is not None
        for messages, count in self._sorted():
            begin = 0
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

    def _sorted(self) -> Iterator[tuple[_Messages, int]]:
        """Messages, and how many of them are in their final order."""
        carried: _Messages | None = None
        horizon_ns = told_ns = -(2**62)
        stretches = _ahead(self._bag.batches(self._topics, self._stretch_bytes))
        for number, stretch in enumerate(stretches):
            fresh = _Messages.read(stretch, number, self._by)
            if not len(fresh):
                continue
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


def scan(bag: Recording, topics: Collection[str] | None = None, by: Order = "log") -> Span:
    """Read a bag once, to know what it spans."""
    first_ns, last_ns = 2**63 - 1, 0
    counts: dict[str, int] = {}
    for stretch in bag.batches(topics, STRETCH_BYTES):
        for name, batch in stretch.items():
            if not len(batch.log_ns):
                continue
            times = _times(batch, by)
            first_ns, last_ns = min(first_ns, int(times.min())), max(last_ns, int(times.max()))
            counts[name] = counts.get(name, 0) + len(times)
    return Span(first_ns if counts else 0, last_ns, counts)


def _ahead(stretches: Iterator[dict[str, RawBatch]]) -> Iterator[dict[str, RawBatch]]:
    """The next stretch is read while this one is played: no pause between the two."""
    with ThreadPoolExecutor(1, "read ahead") as pool:
        coming = pool.submit(next, stretches, None)
        while (stretch := coming.result()) is not None:
            coming = pool.submit(next, stretches, None)
            yield stretch


def _times(batch: RawBatch, by: Order) -> NDArray[Any]:
    if by == "log":
        return batch.log_ns
    return np.where(batch.publish_ns > 0, batch.publish_ns, batch.log_ns)


def _in_order(held: Mapping[str, Collection[Entry]]) -> Iterator[Entry]:
    """What holds at the start, oldest first."""
    for entry in sorted((e for kept in held.values() for e in kept), key=lambda e: e.time_ns):
        yield entry._replace(held=True)
