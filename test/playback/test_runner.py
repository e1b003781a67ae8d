# SPDX-License-Identifier: Apache-2.0
"""A player in its thread: it ends by itself, obeys others, and tells what went wrong."""

from __future__ import annotations

import threading
import time

import pytest

from dexndm_ros.playback.player import PlaybackError, PlayConfig, Player, State
from dexndm_ros.playback.runner import PlayerThread
from dexndm_ros.playback.timeline import Entry, Timeline
from support.stretches import Message, Stretches

PATIENCE_S = 60.0
MS = 1_000_000


class Run:
    """A short recording, played."""

    def __init__(self, count: int = 20, fails_at: int = -1, gap_ns: int = MS, **config) -> None:
        self.heard: list[bytes] = []
        self.changed = threading.Condition()
        self.fails_at = fails_at
        messages = [Message("/a", k * gap_ns, str(k).encode()) for k in range(count)]
        timeline = Timeline(Stretches(messages), ["/a"])
        player = Player(
            timeline.entries, 0, (count - 1) * gap_ns, self.publish, PlayConfig(**config), ["/a"]
        )
        self.thread = PlayerThread(player)

    def publish(self, entry: Entry) -> None:
        if len(self.heard) == self.fails_at:
            raise OSError("the disk is gone")
        with self.changed:
            self.heard.append(entry.data)
            self.changed.notify_all()

    def wait(self, condition) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline_s, self.heard
            with self.changed:
                self.changed.wait(0.01)


@pytest.fixture
def run():
    runs = []

    def start(**options) -> Run:
        runs.append(Run(**options))
        runs[-1].thread.start()
        return runs[-1]

    yield start
    for each in runs:
        each.thread.close()


def test_it_plays_to_the_end(run) -> None:
    each = run()
    each.wait(lambda: each.thread.ended)
    assert each.heard == [str(k).encode() for k in range(20)]
    assert each.thread.error is None


def test_it_obeys_while_it_plays(run) -> None:
    each = run(paused=True)
    assert each.thread.step().data == b"0"
    assert each.thread.tick() == 1
    assert each.heard == [b"0", b"1"]
    each.thread.seek(0.010)
    assert each.thread.position_ns() == 10 * MS
    each.thread.move(-0.005)
    each.thread.set_rate(50.0)
    each.thread.resume()
    each.wait(lambda: each.thread.ended)
    assert each.heard[2:] == [str(k).encode() for k in range(5, 20)]
    with pytest.raises(PlaybackError):
        each.thread.resume()


def test_a_long_wait_is_cut_short_by_a_faster_rate(run) -> None:
    each = run(rate=0.001)  # a message a second
    each.wait(lambda: each.heard)
    each.thread.set_rate(1000.0)
    each.wait(lambda: each.thread.ended)
    assert len(each.heard) == 20


def test_what_goes_wrong_ends_it_and_is_told(run) -> None:
    each = run(fails_at=3)
    each.wait(lambda: each.thread.ended)
    assert str(each.thread.error) == "the disk is gone"
    assert len(each.heard) == 3


def test_closing_ends_a_loop_and_may_be_done_twice(run) -> None:
    each = run(loop=True)
    each.wait(lambda: len(each.heard) > 25)
    each.thread.close()
    each.thread.close()
    assert each.thread.state().state is State.ENDED


def test_centuries_between_two_messages_do_not_end_it(run) -> None:
    each = run(count=2, rate=0.001, gap_ns=2**60)
    each.wait(lambda: each.heard)
    assert each.thread.step().data == b"1"
    assert each.thread.error is None
