# SPDX-License-Identifier: Apache-2.0
"""Tells one publisher of commands from two, by source name and sequence number."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["StreamWatch"]

_MAX_STREAMS = 16


@dataclass
class _Stream:
    source: str
    seq: int
    payload: bytes
    seen_s: float


class StreamWatch:
    """Remembers which command streams were seen within a window.

    A stream is a source with rising sequence numbers. A number that does not rise opens a second
    stream of the same source: two copies of one node interleave their counts, and so does a node
    that starts again while its old life is still within the window.
    """

    def __init__(self, window_s: float) -> None:
        """Args: window_s: a stream not seen for this long is gone."""
        self._window_s = window_s
        self._streams: list[_Stream] = []

    def seen(self, source: str, seq: int, payload: bytes, now_s: float) -> str:
        """Note a command; return a reason while more than one stream is alive, else ''.

        Args:
            source: the publisher's name.
            seq: the publisher's count.
            payload: the command's content, to know a repeated message from a second one.
            now_s: monotonic time.
        """
        self._streams = [s for s in self._streams if now_s - s.seen_s <= self._window_s]
        own = [s for s in self._streams if s.source == source]
        # A repeated message (`ros2 topic pub` never counts up) is the same stream, not a second one.
        repeats = [s for s in own if s.seq == seq and s.payload == payload]
        earlier = [s for s in own if s.seq < seq]
        if repeats:
            stream = repeats[0]
        elif earlier:
            stream = max(earlier, key=lambda s: s.seq)
        else:
            stream = _Stream(source, seq, payload, now_s)
            self._streams.append(stream)
        stream.seq, stream.payload, stream.seen_s = seq, payload, now_s
        if len(self._streams) > _MAX_STREAMS:
            self._streams.pop(0)
        return self._conflict()

    def _conflict(self) -> str:
        if len(self._streams) < 2:
            return ""
        sources = sorted({s.source for s in self._streams})
        if len(sources) > 1:
            return (
                f"commands from {len(sources)} sources ({', '.join(sources)}): "
                "stop all but one; the hand holds until one is alone"
            )
        return (
            f"two publishers call themselves {sources[0]} (their sequence numbers interleave): "
            "stop one; the hand holds until one is alone"
        )
