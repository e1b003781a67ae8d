# SPDX-License-Identifier: Apache-2.0
"""The recorder's two threads: exact cuts, nothing lost between episodes, and life after a failed disk."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexndm_ros.recording.check import check_bag
from dexndm_ros.recording.episode import EpisodeError
from dexndm_ros.recording.partial import reason_of, recover, sweep
from dexndm_ros.recording.read import messages
from dexndm_ros.recording.recorder import Recorder
from dexndm_ros.recording.recorder_types import RecorderConfig
from support.bags import JOINTS, STATE, TOPICS, hand_state, joint_state
from support.small_disk import small_disk

__all__ = ["small_disk"]

DATA = hand_state(1)


class Endings:
    """How recordings ended, to be waited for."""

    def __init__(self):
        self.results = []
        self._changed = threading.Condition()

    def __call__(self, result):
        with self._changed:
            self.results.append(result)
            self._changed.notify_all()

    def wait(self, count=1):
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.results) >= count, 60.0)
        return self.results


@pytest.fixture
def endings():
    return Endings()


@pytest.fixture
def make(tmp_path, endings):
    made = []

    def make(directory=tmp_path / "bags", latched=(), **settings):
        settings = {"min_free_bytes": 0, **settings}
        recorder = Recorder(RecorderConfig(directory, **settings), latched, endings)
        made.append(recorder)
        recorder.start()
        return recorder

    yield make
    for recorder in made:
        assert recorder.close(60.0)


def feed(recorder, first, count, topic=STATE.name):
    for sequence in range(first, first + count):
        recorder.add(topic, DATA, sequence, sequence, sequence)


def sequences(path, topic=STATE.name):
    return [message.sequence for message in messages(path, topics=[topic])]


def test_the_cut_between_episodes_is_exact_and_nothing_falls_between(make, tmp_path, endings):
    recorder = make()
    feed(recorder, 1, 10)  # nobody records yet
    first = 11
    for number in range(5):
        recorder.begin(f"e{number}", {"entry": str(number)}, TOPICS)
        feed(recorder, first + number * 500, 500)
        assert recorder.received(STATE.name) == 500
        recorder.end(f"e{number}", {STATE.name: 500})  # and the next begins at once
    for result in endings.wait(5):
        assert (result.complete, result.messages, result.lost, result.dropped) == (True, 500, 0, 0)
    for number in range(5):
        bag = tmp_path / "bags" / f"e{number}"
        begin = first + number * 500
        assert sequences(bag) == list(range(begin, begin + 500))
        found = check_bag(bag)
        assert found.complete and found.lost == 0
        assert found.custom_data["entry"] == str(number)
        assert found.custom_data["episode"] == f"e{number}"
        times = [int(found.custom_data[f"{word}_monotonic_ns"]) for word in ("started", "ended")]
        assert times == sorted(times)
    state = recorder.state()
    assert (state.messages, state.lost, state.dropped, state.queue) == (2500, 0, 0, 0)
    assert state.bytes == 2500 * len(DATA)
    assert state.reason == state.episode == ""


def test_losses_belong_to_the_episode_they_happened_in(make, tmp_path, endings):
    recorder = make()
    feed(recorder, 1, 5)
    feed(recorder, 9, 1)  # three lost before
    recorder.begin("a", {}, TOPICS)
    feed(recorder, 10, 5)
    feed(recorder, 17, 5)  # two lost in it
    recorder.end("a", {})
    recorder.begin("b", {}, TOPICS)
    feed(recorder, 22, 5)
    recorder.end("b", {})
    assert [result.lost for result in endings.wait(2)] == [2, 0]
    assert recorder.state().lost == 5
    assert check_bag(tmp_path / "bags/a").lost == 2


def test_a_restarted_publisher_is_not_counted_and_two_are_unknown(make, tmp_path, endings):
    recorder = make()
    recorder.begin("a", {}, TOPICS)
    feed(recorder, 900, 5)
    feed(recorder, 1, 5)  # restarted
    recorder.publishers(JOINTS.name, 2)
    for sequence in (1, 500, 2, 501, 7, 502, 8):
        recorder.add(JOINTS.name, joint_state(1), 1, 1, sequence)
    recorder.end("a", {})
    (result,) = endings.wait()
    assert result.complete and result.lost == 0
    found = check_bag(tmp_path / "bags/a")
    assert found.complete and found.lost == 0
    assert json.loads(found.custom_data["shared_topics"]) == [JOINTS.name]
    assert json.loads(found.custom_data["loss_unknown"]) == [JOINTS.name]
    assert recorder.state().loss_unknown == (JOINTS.name,)


def test_another_subscription_follows_on_nothing(make):
    recorder = make()
    feed(recorder, 1, 5)
    recorder.forget(STATE.name)
    feed(recorder, 50, 5)
    assert recorder.state().lost == 0


def test_a_latched_message_stands_in_every_bag(make, tmp_path, endings):
    recorder = make(latched=[JOINTS.name])
    recorder.add(JOINTS.name, joint_state(7), 5, 4, 1)
    for episode in ("a", "b"):
        recorder.begin(episode, {}, TOPICS)
        feed(recorder, 1, 3)
        recorder.end(episode, {JOINTS.name: 1, STATE.name: 3})
    assert all(result.complete for result in endings.wait(2))
    for episode in ("a", "b"):
        (message,) = messages(tmp_path / "bags" / episode, topics=[JOINTS.name])
        assert (message.data, message.publish_ns) == (joint_state(7), 4)
        began = int(check_bag(tmp_path / "bags" / episode).custom_data["started_wall_ns"])
        assert message.log_ns >= began


def test_a_full_queue_drops_and_says_so(make, tmp_path, endings):
    entered, go_on = threading.Event(), threading.Event()
    recorder = make(queue_messages=10)
    told = endings.__call__

    def hold(result):
        told(result)
        entered.set()
        go_on.wait(60.0)

    recorder._finished = hold
    recorder.begin("first", {}, TOPICS)
    recorder.end("first", {})
    assert entered.wait(60.0)  # the writer thread is held up
    recorder.begin("second", {}, TOPICS)
    feed(recorder, 1, 25)
    state = recorder.state()
    assert (state.queue, state.dropped) == (10, 15)
    assert state.behind_s > 0.0
    recorder.end("second", {})
    go_on.set()
    result = endings.wait(2)[1]
    assert (result.complete, result.messages, result.dropped, result.lost) == (True, 10, 15, 0)
    assert check_bag(tmp_path / "bags/second").lost == 15


def test_a_queue_is_also_full_by_its_bytes(make, endings):
    entered, go_on = threading.Event(), threading.Event()
    recorder = make(queue_bytes=3 * len(DATA))
    recorder._finished = lambda _: (entered.set(), go_on.wait(60.0))
    recorder.begin("first", {}, TOPICS)
    recorder.end("first", {})
    assert entered.wait(60.0)
    recorder.begin("second", {}, TOPICS)
    feed(recorder, 1, 5)
    assert recorder.state().dropped == 2
    go_on.set()


def test_a_count_that_is_not_met_puts_the_bag_aside(make, tmp_path, endings):
    recorder = make()
    recorder.begin("a", {}, TOPICS)
    feed(recorder, 1, 399)
    recorder.end("a", {STATE.name: 400})
    (result,) = endings.wait()
    assert not result.complete and "399 messages came, 400 were expected" in result.reason
    assert reason_of(tmp_path / "bags/a.partial") == result.reason


def test_begin_interrupts_what_is_open(make, tmp_path, endings):
    recorder = make()
    recorder.begin("a", {}, TOPICS)
    feed(recorder, 1, 3)
    recorder.begin("b", {}, TOPICS)
    feed(recorder, 4, 2)
    recorder.end("b", {STATE.name: 2})
    a, b = endings.wait(2)
    assert (a.episode, a.complete, a.reason) == ("a", False, "interrupted: b began")
    assert b.complete
    assert len(list(recover(tmp_path / "bags/a.partial"))) == 3


def test_what_is_not_open_cannot_be_ended(make):
    recorder = make()
    for action in (lambda: recorder.end("a", {}), lambda: recorder.discard("", "x")):
        with pytest.raises(EpisodeError, match="no episode is open"):
            action()
    recorder.begin("a", {}, TOPICS)
    for action in (lambda: recorder.end("b", {}), lambda: recorder.discard("b", "x")):
        with pytest.raises(EpisodeError, match="a is open, not b"):
            action()
    assert recorder.state().episode == "a"


def test_the_same_name_again_right_after_a_discard(make, tmp_path, endings):
    recorder = make()
    for number in range(5):
        recorder.begin("a", {}, TOPICS)
        feed(recorder, 1 + 100 * number, 100)
        recorder.discard("a", f"try {number}")
    recorder.begin("a", {}, TOPICS)
    recorder.end("a", {})
    results = endings.wait(6)
    assert [result.complete for result in results] == [False] * 5 + [True]
    names = {path.name for path in (tmp_path / "bags").iterdir() if path.is_dir()}
    assert names == {"a", "a.partial", *(f"a.{n}.partial" for n in range(2, 6))}


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 30)),
        st.tuples(st.sampled_from(["begin", "end", "discard"]), st.integers(0, 3)),
    ),
    max_size=40,
)


@given(ACTIONS)
def test_whatever_is_asked_in_any_order_each_message_is_in_the_episode_that_was_open(actions):
    endings = Endings()
    with tempfile.TemporaryDirectory() as folder:
        recorder = Recorder(RecorderConfig(Path(folder), min_free_bytes=0), (), endings)
        recorder.start()
        expected, current, closed, sequence = [], None, set(), 0
        for action, number in actions:
            name = f"e{number}"
            if action == "add":
                feed(recorder, sequence + 1, number)
                if current is not None:
                    expected[-1][1].extend(range(sequence + 1, sequence + number + 1))
                sequence += number
            elif action == "begin":
                try:
                    recorder.begin(name, {}, TOPICS)
                except EpisodeError:
                    assert name in closed or name == current
                    current = None  # what was open is put aside all the same
                else:
                    assert name not in closed
                    current = name
                    expected.append([name, [], False])
            elif name == current:
                getattr(recorder, action)(name, {} if action == "end" else "asked")
                expected[-1][2] = action == "end"
                closed |= {name} if action == "end" else set()
                current = None
            else:
                with pytest.raises(EpisodeError):
                    getattr(recorder, action)(name, {})
        assert recorder.close(60.0)
        results = [[r.episode, sequences_of(r), r.complete] for r in endings.results]
        assert results == expected
        assert recorder.state().lost == recorder.state().dropped == 0


def sequences_of(result):
    return [message.sequence for message in recover(Path(result.path))]


def test_refusals_of_begin(make, tmp_path, endings):
    recorder = make()
    with pytest.raises(EpisodeError, match="letters, digits"):
        recorder.begin("../x", {}, TOPICS)
    with pytest.raises(EpisodeError, match="messages_lost"):
        recorder.begin("a", {"messages_lost": "0"}, TOPICS)
    recorder.begin("a", {}, TOPICS)
    recorder.end("a", {})
    endings.wait()
    with pytest.raises(EpisodeError, match="never overwritten"):
        recorder.begin("a", {}, TOPICS)
    assert recorder.state().episode == ""


def test_too_little_room_refuses_with_what_mends_it(make):
    recorder = make(min_free_bytes=10**18)
    assert "make room, or lower" in recorder.state().reason
    with pytest.raises(EpisodeError, match="make room"):
        recorder.begin("a", {}, TOPICS)


@pytest.mark.parametrize(
    "wrong", [{"queue_messages": 0}, {"queue_bytes": 0}, {"flush_s": 0.0}, {"flush_s": float("nan")},
              {"min_free_bytes": -1}],
)  # fmt: skip
def test_settings_out_of_range(tmp_path, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RecorderConfig(tmp_path, **wrong)


def test_one_directory_has_one_recorder(make):
    first = make()
    with pytest.raises(EpisodeError, match="another recorder writes"):
        make()
    assert first.close(60.0)
    make()


def test_closing_puts_the_open_one_aside_and_finishes_the_ended_one(make, tmp_path, endings):
    recorder = make()
    recorder.begin("ended", {}, TOPICS)
    feed(recorder, 1, 2000)
    recorder.end("ended", {STATE.name: 2000})
    recorder.begin("open", {}, TOPICS)
    feed(recorder, 2001, 7)
    assert recorder.close(60.0)
    assert recorder.close(60.0)
    ended, left = endings.results
    assert ended.complete
    assert (left.complete, left.reason) == (False, "the recorder was stopped")
    assert len(list(recover(tmp_path / "bags/open.partial"))) == 7


def test_a_full_disk_costs_the_episode_and_not_the_recorder(make, small_disk, endings):
    recorder = make(directory=small_disk, flush_s=0.001)
    filler = small_disk / "filler"
    recorder.begin("a", {}, TOPICS)
    feed(recorder, 1, 10)
    with filler.open("wb", buffering=0) as file, pytest.raises(OSError):
        while True:
            file.write(b"x" * 4096)
    sequence = 11
    while not endings.results:
        recorder.add(STATE.name, os.urandom(3000), sequence, sequence, sequence)
        sequence += 1
        assert sequence < 10**6
    (result,) = endings.wait()
    assert not result.complete and "No space left" in result.reason
    assert result.path == str(small_disk / "a.partial")
    assert recorder.state().episode == ""
    with pytest.raises(EpisodeError, match="no episode is open"):
        recorder.end("a", {})
    with pytest.raises(EpisodeError, match="cannot be opened"):
        for number in range(100):  # a small file may still fit
            recorder.begin(f"b{number}", {}, TOPICS)
    filler.unlink()
    recorder.begin("c", {}, TOPICS)
    recorder.add(STATE.name, DATA, 1, 1, sequence)
    recorder.end("c", {STATE.name: 1})
    while endings.results[-1].episode != "c":
        endings.wait(len(endings.results) + 1)
    assert endings.results[-1].complete
    assert recorder.failure == ""


KILLED = """
    import sys, time
    from pathlib import Path
    from dexndm_ros.recording.recorder import Recorder
    from dexndm_ros.recording.recorder_types import RecorderConfig
    from support.bags import STATE, TOPICS, hand_state
    recorder = Recorder(RecorderConfig(Path(sys.argv[1]), min_free_bytes=0), (), print)
    recorder.start()
    recorder.begin("e000001_a1", {"entry": "1"}, TOPICS)
    data, sequence = hand_state(1), 0
    while True:
        sequence += 1
        now = time.time_ns()
        recorder.add(STATE.name, data, now, now, sequence)
        sys.stdout.write(f"{sequence} {now}\\n")
        sys.stdout.flush()
        time.sleep(0.002)
"""


def test_a_kill_costs_at_most_a_second(tmp_path):
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    given = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        for line in process.stdout:
            given.append(tuple(map(int, line.split())))
            if given[-1][1] - given[0][1] > 1.7e9:
                process.send_signal(signal.SIGKILL)
                break
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["e000001_a1.part"]
    assert sweep(tmp_path, "the recorder died") == [tmp_path / "e000001_a1.partial"]
    back = list(recover(tmp_path / "e000001_a1.partial"))
    assert [(m.sequence, m.log_ns) for m in back] == given[: len(back)]
    assert given[-1][1] - back[-1].log_ns < 1e9
