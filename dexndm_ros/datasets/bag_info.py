# SPDX-License-Identifier: Apache-2.0
"""What is in a bag: topics, rates, sizes, what it says of itself, and what in it is not whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from dexndm_ros.bags.open import Bag, RawBatch, open_bag
from dexndm_ros.datasets.progress import size
from dexndm_ros.datasets.streams import Loss
from dexndm_ros.recording.check import SHARED_KEY

__all__ = ["BagInfo", "TopicFigures", "info_lines", "inspect_bag"]

_NS = 1e9
_RESTARTS = 2
"""Numbers of one publisher fall when it is started anew; if they fall more often, several share the topic."""


@dataclass
class TopicFigures:
    """A topic as it was read.

    Attributes:
        type: of its messages.
        messages: that could be read.
        declared: that the bag says it has; -1 = it does not say.
        bytes: of them.
        first_ns: earliest log time; 0 = no message.
        last_ns: latest log time.
        longest_gap_ms: between two messages.
        lost: numbers of the publisher that are missing; None = it has none, or there are several: nobody can tell.
        publishers: offered QoS profiles.
        falls: how often the publisher's numbers fell: it was started anew, or there are several.
    """

    type: str
    declared: int = -1
    publishers: int = 0
    messages: int = 0
    bytes: int = 0
    first_ns: int = 0
    last_ns: int = 0
    longest_gap_ms: float = 0.0
    lost: int | None = None
    falls: int = 0
    _last: int = 0

    @property
    def rate_hz(self) -> float:
        """Mean; 0 = it cannot be told."""
        span_s = (self.last_ns - self.first_ns) / _NS
        return (self.messages - 1) / span_s if span_s > 0 else 0.0

    def add(self, batch: RawBatch) -> None:
        """Count messages, in the order of the file."""
        if not len(batch.log_ns):
            return
        gaps = np.diff(batch.log_ns, prepend=self.last_ns if self.messages else batch.log_ns[0])
        self.longest_gap_ms = max(self.longest_gap_ms, float(gaps.max()) / 1e6)
        low = int(batch.log_ns.min())
        self.first_ns = low if not self.messages else min(self.first_ns, low)
        self.last_ns = max(self.last_ns, int(batch.log_ns.max()))
        self.messages += len(batch.log_ns)
        self.bytes += int(batch.size.sum())
        self.falls += int((np.diff(batch.sequence, prepend=self._last) < 0).sum())
        self._last = int(batch.sequence[-1])


@dataclass(frozen=True)
class BagInfo:
    """All that `dexndm bag info` tells.

    Attributes:
        name: of the bag.
        storage: mcap or sqlite3.
        compression: of its chunks or files; '' = none, or it cannot be told.
        version: of ``metadata.yaml``; 0 = there is none.
        files: names and sizes in bytes.
        topics: by name.
        custom_data: what was said of it.
        damage: what is not whole, in words.
    """

    name: str
    storage: str
    compression: str
    version: int
    files: dict[str, int]
    topics: dict[str, TopicFigures]
    custom_data: dict[str, str]
    damage: tuple[str, ...]

    @property
    def first_ns(self) -> int:
        """Earliest log time; 0 = no message."""
        return min((t.first_ns for t in self.topics.values() if t.messages), default=0)

    @property
    def last_ns(self) -> int:
        """Latest log time."""
        return max((t.last_ns for t in self.topics.values()), default=0)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        found = asdict(self)
        for name, topic in self.topics.items():
            found["topics"][name]["rate_hz"] = round(topic.rate_hz, 3)
            del found["topics"][name]["_last"]
        span_s = round((self.last_ns - self.first_ns) / _NS, 6)
        return {**found, "first_ns": self.first_ns, "last_ns": self.last_ns, "duration_s": span_s}


def inspect_bag(path: Path, progress: Callable[[int], None] | None = None) -> BagInfo:
    """Read all of a bag.

    Args:
        path: folder or storage file.
        progress: told of bytes of messages, as they are read.

    Raises:
        BagError: it is no bag.
        OSError: it cannot be read.
    """
    bag = open_bag(path)
    topics = {
        each.name: TopicFigures(each.type, each.count, len(each.qos))
        for each in bag.topics.values()
    }
    loss = Loss()
    for batches in bag.batches():
        for name, batch in batches.items():
            topics.setdefault(name, TopicFigures(batch.type)).add(batch)
            loss.observe(batch)
            if progress is not None:
                progress(int(batch.size.sum()))
    shared = shared_topics(bag.custom_data)
    for name, topic in topics.items():
        several = name in shared or topic.falls > _RESTARTS
        unknown = name in loss.unknown or several or not topic.messages
        topic.lost = None if unknown else loss.lost.get(name, 0)
    return BagInfo(
        name=bag.name,
        storage=bag.storage,
        compression=_compression(bag),
        version=bag.version,
        files={file.name: file.stat().st_size for file in bag.files},
        topics=dict(sorted(topics.items())),
        custom_data=dict(sorted(bag.custom_data.items())),
        damage=tuple(str(each) for each in bag.damage),
    )


def _compression(bag: Bag) -> str:
    """How the first file is packed."""
    file = bag.files[0]
    if file.suffix == ".zstd":
        return "zstd, the whole file"
    if bag.storage != "mcap":
        return ""
    from mcap.exceptions import McapError
    from mcap.reader import make_reader

    try:
        with file.open("rb") as opened:
            summary = make_reader(opened).get_summary()
    except (McapError, OSError, ValueError, EOFError):
        return ""
    chunks = summary.chunk_indexes if summary is not None else []
    kinds = sorted({chunk.compression for chunk in chunks if chunk.compression})
    return f"{' and '.join(kinds)} in {len(chunks)} chunks" if kinds else ""


def shared_topics(custom_data: Mapping[str, str]) -> frozenset[str]:
    """Topics of several publishers, as the recorder noted them: their numbers interleave and tell nothing."""
    try:
        return frozenset(json.loads(custom_data.get(SHARED_KEY, "[]")))
    except (ValueError, TypeError):
        return frozenset()


def info_lines(info: BagInfo) -> Iterator[str]:
    """The same in lines for a person."""
    on_disk, inside = sum(info.files.values()), sum(t.bytes for t in info.topics.values())
    packed = (
        f" ({info.compression})"
        if info.compression
        else ", not compressed"
        if on_disk >= inside
        else ""
    )
    files = f"{len(info.files)} files" if len(info.files) > 1 else next(iter(info.files))
    said = f"metadata.yaml version {info.version}" if info.version else "no metadata.yaml"
    yield info.name
    yield f"  storage   {info.storage}{packed}: {files}, {size(on_disk)} for {size(inside)} of messages; {said}"
    messages = sum(t.messages for t in info.topics.values())
    if messages:
        span_s = (info.last_ns - info.first_ns) / _NS
        yield f"  recorded  {_clock(info.first_ns)} to {_clock(info.last_ns)}, {span_s:.2f} s, {messages:,} messages"
    else:
        yield "  recorded  no message could be read"
    if info.damage:
        yield "  whole     no:"
        yield from (f"            {text}" for text in info.damage)
    else:
        yield "  whole     yes"
    yield ""
    yield from _table(info)
    if info.custom_data:
        width = max(len(key) for key in info.custom_data)
        yield ""
        yield from (f"  {key:<{width}}  {value}" for key, value in info.custom_data.items())


def _table(info: BagInfo) -> Iterator[str]:
    heads = ("topic", "type", "messages", "rate, Hz", "size", "longest gap, ms", "lost")
    rows = [heads]
    for name, topic in info.topics.items():
        declared = f" of {topic.declared:,}" if topic.declared not in (-1, topic.messages) else ""
        several = topic.messages > 1
        rows.append(
            (
                name,
                topic.type,
                f"{topic.messages:,}{declared}",
                f"{topic.rate_hz:.1f}" if several else "-",
                size(topic.bytes) if topic.messages else "-",
                f"{topic.longest_gap_ms:.1f}" if several else "-",
                "-"
                if not topic.messages
                else "unknown"
                if topic.lost is None
                else f"{topic.lost:,}",
            )
        )
    widths = [max(len(row[k]) for row in rows) for k in range(len(heads))]
    for row in rows:
        left = (f"{cell:<{width}}" for cell, width in zip(row[:2], widths[:2], strict=True))
        right = (f"{cell:>{width}}" for cell, width in zip(row[2:], widths[2:], strict=True))
        yield "  " + "  ".join([*left, *right])


def _clock(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns / _NS).astimezone().strftime("%Y-%m-%d %H:%M:%S")
