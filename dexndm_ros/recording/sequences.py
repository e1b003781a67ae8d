# SPDX-License-Identifier: Apache-2.0
"""Counts lost messages from the numbers that publishers give theirs."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LossCount", "SequenceTracker"]


@dataclass(frozen=True)
class LossCount:
    """What is known of the messages of a topic that never came.

    Attributes:
        lost: numbers skipped by the only publisher.
        unknown: jumps that cannot be told to be a loss, because several publishers share the topic.
    """

    lost: int = 0
    unknown: int = 0

    def __sub__(self, other: LossCount) -> LossCount:
        return LossCount(self.lost - other.lost, self.unknown - other.unknown)


class SequenceTracker:
    """Follows the sequence numbers of one topic.

    A publisher numbers its messages 1, 2, 3, ... A message tells its number and not who sent it, so with
    several publishers each is recognised by its number following on: exact while nothing is lost. A jump is
    then counted as *unknown*, never as loss. A number that does not rise is a publisher started anew.

    Numbers of 0 are of a middleware that counts nothing: they are ignored.
    """

    def __init__(self) -> None:
        self._streams: list[int] = []  # last number of each publisher, the latest heard last
        self._lost = 0
        self._unknown = 0

    @property
    def count(self) -> LossCount:
        """Since the beginning."""
        return LossCount(self._lost, self._unknown)

    def forget(self) -> None:
        """Another subscription: what comes next follows on nothing. The counts stay."""
        self._streams.clear()

    def observe(self, sequence: int, publishers: int = 1) -> None:
        """A message came.

        Args:
            sequence: its number.
            publishers: publishers of the topic that are known now.
        """
        if sequence <= 0:
            return
        streams = self._streams
        if streams and streams[-1] == sequence - 1:
            streams[-1] = sequence
            return
        allowed = max(1, publishers)
        del streams[:-allowed]  # publishers that left; those heard last are still there
        if sequence - 1 in streams:
            streams.remove(sequence - 1)
        elif len(streams) >= allowed:
            self._jump(sequence, alone=allowed == 1)
        elif any(number < sequence for number in streams):
            self._unknown += 1  # a publisher heard for the first time, or a jump of one known
        streams.append(sequence)

    def _jump(self, sequence: int, alone: bool) -> None:
        """No publisher's number is followed on, and there is no room for a new one."""
        if alone:
            self._lost += max(0, sequence - self._streams.pop() - 1)
            return
        self._unknown += 1
        before = [number for number in self._streams if number < sequence]
        self._streams.remove(max(before) if before else self._streams[0])
