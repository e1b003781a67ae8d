# SPDX-License-Identifier: Apache-2.0
"""When messages are due, and what pause, step, rate, seek and loop do to that; time is the test's."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexndm_ros.playback.player import PlaybackError, PlayConfig, Player, State
from dexndm_ros.playback.timeline import Entry, Timeline
from support.stretches import Message, Stretches

S = 1_000_000_000
TENTH = S // 10
TIMES = [k * TENTH for k in range(11)]
"""A bag of one second: /state at 10 Hz, /step with every third."""


def recorded(times=TIMES) -> list[Message]:
    messages = []
    for k, t in enumerate(times):
        messages.append(Message("/state", t, f"state {k}".encode()))
        if k % 3 == 2:
            messages.append(Message("/step", t + 1, f"step {k}".encode()))
    return messages


class Stage:
    """A player, and the time at which it played each message."""

    def __init__(self, messages=None, begin=0, end=S, ticks=(), latched=None, **config) -> None:
        self.now = 1000 * S
        self.played: list[tuple[int, str]] = []
        source = Stretches(recorded() if messages is None else messages, 4)
        topics = ["/state", "/step", "/wrist"]
        timeline = Timeline(source, topics, latched=latched, keep_holes=True)
        self.player = Player(
            timeline.entries, begin, end, self.publish, PlayConfig(**config), ticks
        )
        self.start = self.now

    def publish(self, entry: Entry) -> None:
        self.played.append((self.now - self.start, entry.data.decode()))

    def run(self, until_s: float = 1e6) -> None:
        """Time goes from deadline to deadline."""
        end_ns = self.start + round(until_s * S)
        calls = 0
        while (deadline := self.player.advance(self.now)) is not None and deadline <= end_ns:
            self.now = max(self.now, deadline)
            calls += 1
            assert calls < 1000
        self.now = max(self.now, min(end_ns, self.now + S))

    @property
    def names(self) -> list[str]:
        return [name for _, name in self.played]

    def state(self):
        return self.player.state(self.now)


def test_messages_come_in_order_at_the_recorded_pace() -> None:
    stage = Stage()
    stage.run()
    assert stage.names == [m.data.decode() for m in recorded()]
    assert [t for t, name in stage.played if name.startswith("state")] == TIMES
    assert stage.state().state is State.ENDED
    assert stage.state().position_s == stage.state().duration_s == 1.0


@given(rate=st.floats(0.01, 100.0))
def test_rate_stretches_time_and_deadlines_do_not_drift(rate) -> None:
    stage = Stage(rate=rate)
    stage.run()
    for at, name in stage.played:
        if name.startswith("state"):
            assert 0 <= at - TIMES[int(name.split()[1])] / rate <= 2


def test_pause_stands_still_and_resume_goes_on_where_it_was() -> None:
    stage = Stage()
    stage.run(0.35)
    stage.player.pause(stage.now)
    before = list(stage.names)
    assert stage.state().position_s == pytest.approx(0.35)
    stage.now += 100 * S
    assert stage.player.advance(stage.now) is None
    assert stage.names == before
    stage.player.resume(stage.now)
    stage.run()
    assert stage.names == [m.data.decode() for m in recorded()]
    assert stage.state().stalls == 0


def test_step_gives_one_message_and_pauses() -> None:
    stage = Stage(paused=True)
    stage.run()
    assert stage.names == []
    entries = [stage.player.step(stage.now) for _ in range(4)]
    assert stage.names == ["state 0", "state 1", "state 2", "step 2"]
    assert [e.topic for e in entries][-1] == "/step"
    assert stage.state().state is State.PAUSED
    assert stage.state().position_ns == entries[-1].time_ns
    stage.player.resume(stage.now)
    assert stage.player.step(stage.now).data == b"state 3"
    assert stage.state().state is State.PAUSED


def test_tick_gives_all_messages_up_to_the_next_control_tick() -> None:
    stage = Stage(paused=True, ticks=["/step"])
    stage.player.tick(stage.now)
    stage.run()
    assert stage.names == ["state 0", "state 1", "state 2", "step 2"]
    stage.player.tick(stage.now)
    stage.run()
    assert stage.names[-1] == "step 5"
    assert stage.state().state is State.PAUSED


def test_tick_without_ticks_in_the_bag_is_a_step() -> None:
    stage = Stage(paused=True)
    stage.player.tick(stage.now)
    assert stage.names == ["state 0"]


def test_steps_to_the_last_message_do_not_end_it_and_one_more_is_refused() -> None:
    stage = Stage(paused=True)
    for _ in recorded():
        stage.player.step(stage.now)
    assert stage.player.advance(stage.now) is None
    assert stage.state().state is State.PAUSED
    with pytest.raises(PlaybackError, match="end of the bag"):
        stage.player.step(stage.now)
    stage.player.seek(0.0, stage.now)
    assert stage.player.step(stage.now).data == b"state 0"
    stage.player.seek(1.0, stage.now)
    stage.player.resume(stage.now)
    stage.run()
    assert stage.state().state is State.ENDED
    with pytest.raises(PlaybackError, match="end of the bag"):
        stage.player.resume(stage.now)


def test_rate_can_change_while_it_plays() -> None:
    stage = Stage()
    stage.run(0.5)
    stage.player.set_rate(10.0, stage.now)
    changed = stage.now - stage.start
    stage.run()
    assert stage.played[-1][0] == pytest.approx(changed + (S - changed) / 10, abs=5)


def test_seek_back_and_forth_also_past_the_ends() -> None:
    stage = Stage(paused=True)
    for offset_s, first in ((0.75, "state 8"), (-3.0, "state 0"), (99.0, "state 10")):
        stage.player.seek(offset_s, stage.now)
        assert stage.player.step(stage.now).data.decode() == first


def test_seek_while_playing_plays_on_from_there() -> None:
    stage = Stage()
    stage.run(0.2)
    stage.player.seek(0.8, stage.now)
    sought = stage.now - stage.start
    stage.run()
    assert stage.played[-1] == (sought + 2 * TENTH, "state 10")


def test_what_holds_at_the_start_is_published_at_once_also_when_paused() -> None:
    messages = [Message("/wrist", 0, b"old"), Message("/wrist", 1, b"wrist"), *recorded()[2:]]
    stage = Stage(messages, begin=S // 2, paused=True, latched={"/wrist": 1})
    stage.run()
    assert stage.names == ["wrist"]
    stage.player.step(stage.now)
    assert stage.names == ["wrist", "state 5"]


def test_an_end_before_the_last_message() -> None:
    stage = Stage(begin=2 * TENTH, end=4 * TENTH)
    stage.run()
    assert stage.names == ["state 2", "step 2", "state 3", "state 4"]
    assert stage.state().duration_s == pytest.approx(0.2)


def test_loop_begins_again_when_the_recorded_time_is_over() -> None:
    stage = Stage(loop=True)
    stage.run(2.95)
    assert stage.state().loops == 2
    assert [t for t, name in stage.played if name == "state 0"] == [0, S, 2 * S]


def test_a_bag_of_one_moment_is_not_looped_without_end() -> None:
    stage = Stage(recorded([0]), end=0, loop=True)
    stage.run()
    assert stage.names == ["state 0"]
    assert stage.state().state is State.ENDED


def test_a_stepped_loop_goes_on_with_the_first_message() -> None:
    stage = Stage(loop=True, paused=True)
    for _ in recorded():
        stage.player.step(stage.now)
    assert stage.player.step(stage.now).data == b"state 0"
    assert stage.state().loops == 1


def test_a_long_standstill_of_the_machine_moves_what_follows_and_is_counted() -> None:
    stage = Stage(late_s=0.25)
    stage.run(0.2)
    stage.now += 5 * S
    stage.run()
    times = [t for t, name in stage.played if name.startswith("state")]
    gaps = [b - a for a, b in itertools.pairwise(times)]
    assert gaps.count(TENTH) == 9  # no burst
    assert stage.state().stalls == 1
    assert stage.state().stalled_s == pytest.approx(5.0, abs=1.0)


def test_a_small_delay_is_caught_up_with() -> None:
    stage = Stage(late_s=0.25)
    stage.run(0.2)
    stage.now += TENTH + TENTH // 2
    stage.run()
    assert stage.played[-1][0] == S
    assert stage.state().stalls == 0


def test_a_message_out_of_order_moves_nothing() -> None:
    messages = recorded()
    messages.append(Message("/state", 1, b"late"))  # two stretches too late
    stage = Stage(messages)
    stage.run()
    assert "late" in stage.names
    assert stage.state().stalls == 0
    assert stage.played[-1][0] <= S + 1


def test_nothing_to_play_ends_at_once() -> None:
    stage = Stage([], loop=True)
    stage.run()
    assert stage.state().state is State.ENDED


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf"), 1e9])
def test_a_rate_that_cannot_be_is_refused_with_what_is_allowed(rate) -> None:
    with pytest.raises(PlaybackError, match="to 1000 times"):
        PlayConfig(rate=rate)
    stage = Stage()
    with pytest.raises(PlaybackError, match="to 1000 times"):
        stage.player.set_rate(rate, stage.now)


def test_a_position_that_is_no_number_is_refused() -> None:
    stage = Stage()
    with pytest.raises(PlaybackError, match="seconds"):
        stage.player.seek(float("nan"), stage.now)


def test_after_a_leap_of_the_clock_the_next_message_can_be_stepped_to() -> None:
    messages = [Message("/state", 1, b"before"), Message("/state", 60 * 365 * 86400 * S, b"after")]
    stage = Stage(messages, end=60 * 365 * 86400 * S, rate=0.001)
    deadline = stage.player.advance(stage.now)
    stage.now = deadline
    assert stage.player.advance(stage.now) > stage.now + 10**9 * S
    assert stage.state().next_s > 1e9
    assert stage.player.step(stage.now).data == b"after"
