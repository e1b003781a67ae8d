# SPDX-License-Identifier: Apache-2.0
"""Times that messages can be played by, also where the clock of the recording was set.

Messages lie in the file in the order in which they were received. Where a topic's time falls back and stays there, the
clock was set back: the time goes on from where it was, and nothing of before and after is mixed. What stands alone out
of order is late, and keeps its place among the messages of its topic.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.bags.types import RawBatch

__all__ = ["HOLE_PLAYED_S", "HOLE_S", "Holes", "Mender", "Order"]

Ints = NDArray[np.int64]
Order = Literal["log", "publish"]
"""By when a message was received, or by when it was published."""

HOLE_S = 60.0
"""Without any message for longer than this, somebody has set the clock, or nothing was recorded."""
HOLE_PLAYED_S = 1.0
"""What is left of such a hole."""
_SET_BACK_NS = 50_000_000
"""A clock that goes back by less cannot be told from threads that overtook each other."""
_ASTRAY_NS = 1_000_000_000
"""A time of publication further from that of reception is of a clock that is wrong, or was set in between."""
_NEVER = -(2**62)


class Mender:
    """Gives messages the times to play them by; to be given all stretches of a bag, in order.

    Args:
        by: what time a message has. Without a time of publication, or with one by another clock, that of reception.
    """

    def __init__(self, by: Order) -> None:
        self._by = by
        self._offset_ns = 0
        self._newest_ns = _NEVER
        self._logged: dict[str, int] = {}
        """Latest time of reception of each topic, by the clock as it is set now."""
        self._given: dict[str, int] = {}
        self.set_back_ns: list[int] = []
        """By how much the clock was set back, each time."""

    def mend(self, batches: Sequence[RawBatch]) -> tuple[list[Ints], list[Ints], int]:
        """Times of a stretch.

        Args:
            batches: of all its topics.

        Returns:
            For each batch the times to play by, never falling within a topic from stretch to stretch, and by how
            much the clock's settings have moved them; and how many messages stood out of order in their topic.
        """
        shifts = [np.full(len(b.log_ns), self._offset_ns, np.int64) for b in batches]
        if any(self._falls(batch) for batch in batches):
            shifts = self._steps(batches)
        else:
            for batch in batches:
                latest = max(int(batch.log_ns.max()), self._logged.get(batch.topic, _NEVER))
                self._logged[batch.topic] = latest
        times, late = [], 0
        for batch, shift in zip(batches, shifts, strict=True):
            wanted = self._times(batch) + shift
            floor = self._given.get(batch.topic, _NEVER)
            given = np.maximum(np.maximum.accumulate(wanted), floor)
            late += int(np.count_nonzero(given > wanted))
            self._given[batch.topic] = int(given[-1])
            self._newest_ns = max(self._newest_ns, int(given[-1]))
            times.append(given)
        return times, shifts, late

    def _times(self, batch: RawBatch) -> Ints:
        if self._by == "log":
            return batch.log_ns
        good = (batch.publish_ns > 0) & (np.abs(batch.publish_ns - batch.log_ns) <= _ASTRAY_NS)
        return np.where(good, batch.publish_ns, batch.log_ns)

    def _falls(self, batch: RawBatch) -> bool:
        """Whether a topic's time of reception falls somewhere."""
        before = self._logged.get(batch.topic, _NEVER)
        highest = np.maximum.accumulate(batch.log_ns)
        if int(batch.log_ns[0]) < before - _SET_BACK_NS:
            return True
        return bool(np.any(batch.log_ns[1:] < highest[:-1] - _SET_BACK_NS))

    def _steps(self, batches: Sequence[RawBatch]) -> list[Ints]:
        """How much each message is moved, where somewhere in the stretch the clock may have been set back."""
        source = np.concatenate([np.full(len(b.log_ns), k) for k, b in enumerate(batches)])
        row = np.concatenate([np.arange(len(b.log_ns)) for b in batches])
        order = np.argsort(np.concatenate([b.begin for b in batches]), kind="stable")
        shifts = [np.zeros(len(b.log_ns), np.int64) for b in batches]
        latest = [self._logged.get(b.topic, _NEVER) for b in batches]
        newest_ns = self._newest_ns
        for k, r in zip(source[order].tolist(), row[order].tolist(), strict=True):
            times = batches[k].log_ns
            at_ns = int(times[r])
            if at_ns < latest[k] - _SET_BACK_NS and _stays(times, r, latest[k]):
                # The first message after it comes right after the last one before.
                offset_ns = newest_ns - at_ns
                self.set_back_ns.append(offset_ns - self._offset_ns)
                self._offset_ns = offset_ns
                latest = [_NEVER] * len(batches)
                self._logged.clear()
            latest[k] = max(latest[k], at_ns)
            shifts[k][r] = self._offset_ns
            newest_ns = max(newest_ns, at_ns + self._offset_ns)
        for batch, at_ns in zip(batches, latest, strict=True):
            self._logged[batch.topic] = at_ns
        return shifts


def _stays(times: Ints, row: int, before_ns: int) -> bool:
    """Whether the time goes on from where it fell to; at the end of a stretch nobody knows, and order is kept."""
    return row + 1 >= len(times) or int(times[row + 1]) < before_ns - _SET_BACK_NS


class Holes:
    """Shortens stretches of time in which nothing was recorded.

    Args:
        keep: do not.
    """

    def __init__(self, keep: bool) -> None:
        self._keep = keep
        self._last_ns: int | None = None
        self._cut_ns = 0
        self.found_ns: list[int] = []
        """How long each hole was."""

    def cut(self, times: Ints) -> Ints:
        """By how much messages come earlier; times in order, and younger than all that were given before."""
        last_ns = int(times[0]) if self._last_ns is None else self._last_ns
        gaps = np.diff(times, prepend=last_ns)
        self._last_ns = max(last_ns, int(times[-1]))
        wide = gaps > HOLE_S * 1e9
        if not wide.any():
            return np.full(len(times), self._cut_ns, np.int64)
        self.found_ns.extend(gaps[wide].tolist())
        if self._keep:
            return np.zeros(len(times), np.int64)
        cut = self._cut_ns + np.cumsum(np.where(wide, gaps - int(HOLE_PLAYED_S * 1e9), 0))
        self._cut_ns = int(cut[-1])
        return cut
