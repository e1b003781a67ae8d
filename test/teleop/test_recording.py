# SPDX-License-Identifier: Apache-2.0
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexndm_ros.teleop.errors import RecordingError
from dexndm_ros.teleop.recording import RecordingSource, SampleWriter, read_samples
from dexndm_ros.teleop.sample import BUTTONS, Head, Sample
from support.operator import Operator, controller, poses

numbers = st.floats(0.0, 1.0)
hands = {
    side: st.none()
    | st.builds(
        controller,
        poses(),
        tracked=st.booleans(),
        emulated=st.booleans(),
        trigger=numbers,
        squeeze=numbers,
        buttons=st.frozensets(st.sampled_from(sorted(BUTTONS[side]))),
        stick=st.tuples(numbers, numbers),
    )
    for side in ("right", "left")
}
heads = poses().map(lambda pose: Head(tuple(pose.position_m.tolist()), tuple(pose.xyzw.tolist())))
samples = st.builds(
    Sample,
    st.integers(0, 2**53),
    st.floats(-1e9, 1e9),
    st.floats(0, 1e9),
    st.sampled_from(["webxr", "oculus_reader"]),
    st.booleans(),
    st.booleans(),
    hands["right"],
    hands["left"],
    st.none() | heads,
    st.none() | st.floats(-1.0, 1.0),
)


def write(path, told) -> None:
    writer = SampleWriter(path)
    for sample in told:
        writer.write(sample)
    writer.close()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "session.jsonl"


@pytest.fixture
def session(path) -> list[Sample]:
    operator = Operator()
    told = [operator.frame(0.1) for _ in range(5)]
    write(path, told)
    return told


@given(told=st.lists(samples, max_size=5, unique_by=lambda sample: (sample.seq, sample.arrived_s)))
def test_what_is_written_is_read(told, tmp_path_factory) -> None:
    path = tmp_path_factory.mktemp("recording") / "session.jsonl"
    write(path, told)
    assert list(read_samples(path)) == told


def test_a_delay_that_is_not_known_is_left_out(path) -> None:
    """As in recordings of before delays were kept."""
    operator = Operator()
    told = [operator.frame(), operator.frame(delay_s=0.04)]
    write(path, told)
    lines = path.read_text().splitlines()[1:]
    assert ["delay_s" in json.loads(line) for line in lines] == [False, True]
    assert list(read_samples(path)) == told


def test_the_same_sample_is_written_once(path) -> None:
    sample = Operator().frame()
    write(path, [sample, sample, sample])
    assert list(read_samples(path)) == [sample]


def test_a_recording_is_never_written_over(path, session) -> None:
    with pytest.raises(RecordingError, match="exists"):
        SampleWriter(path)
    assert list(read_samples(path)) == session


def test_wherever_the_program_died_the_whole_lines_are_read(path, session) -> None:
    whole = path.read_bytes()
    head = whole.index(b"\n") + 1
    for size in range(head, len(whole), 37):
        path.write_bytes(whole[:size])
        got = list(read_samples(path))
        assert got == session[: len(got)]
        assert len(got) == whole[head:size].count(b"\n")


@pytest.mark.parametrize(
    "broken",
    [
        "{}",
        "nonsense",
        "null",
        "[]",
        lambda told: told | {"captured_s": None},
        lambda told: told | {"right": {"position_m": [0, 0]}},
        lambda told: told | {"right": told["right"] | {"rotation_xyzw": [0, 0, 0, 0]}},
        lambda told: told | {"right": told["right"] | {"position_m": [0, 0, 0, 0]}},
        lambda told: told | {"right": told["right"] | {"squeeze": float("nan")}},
        lambda told: told | {"right": told["right"] | {"buttons": ["X"]}},
        lambda told: told | {"head": {"position_m": [0, 0, 0], "rotation_xyzw": [1, 1, 0, 0]}},
    ],
)
def test_a_broken_line_is_named(path, session, broken) -> None:
    lines = path.read_text().splitlines()
    lines[3] = broken if isinstance(broken, str) else json.dumps(broken(json.loads(lines[3])))
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(RecordingError, match="line 4 is not a sample"):
        list(read_samples(path))


@pytest.mark.parametrize(
    "content", ["", "hello\n", '{"format": "dexndm teleop samples", "version": 2}\n', "\x00\xff"]
)
def test_another_file_is_refused(path, content) -> None:
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(RecordingError):
        list(read_samples(path))


def test_a_file_that_is_not_there(path) -> None:
    with pytest.raises(RecordingError, match="cannot be read"):
        list(read_samples(path))


class TestPlayback:
    @pytest.mark.parametrize("speed", [1.0, 4.0])
    def test_samples_come_as_they_came(self, path, session, speed) -> None:
        now_s = 1000.0
        source = RecordingSource(path, lambda: now_s, speed)
        assert source.latest() is None
        source.start()
        for k, recorded in enumerate(session):
            now_s = 1000.0 + (0.1 * k + 0.05) / speed
            got = source.latest()
            assert got == replace(recorded, arrived_s=got.arrived_s, source="recording")
            assert got.arrived_s == pytest.approx(1000.0 + 0.1 * k / speed)
            assert source.counts() == {"accepted": k + 1}
        assert source.done

    def test_what_was_skipped_still_warns(self, path) -> None:
        operator = Operator()
        write(path, [operator.frame(0.1), operator.frame(0.1, recentred=True), operator.frame(0.1)])
        now_s = 0.0
        source = RecordingSource(path, lambda: now_s)
        source.start()
        assert not source.latest().recentred
        now_s = 5.0
        assert source.latest().recentred

    def test_it_may_be_stopped_and_started_again(self, path, session) -> None:
        now_s = 0.0
        source = RecordingSource(path, lambda: now_s)
        source.start()
        now_s = 9.0
        assert source.latest().seq == session[-1].seq
        source.stop()
        source.stop()
        assert source.latest().seq == session[-1].seq
        source.start()
        assert source.latest().seq == session[0].seq

    @pytest.mark.parametrize("speed", [0.0, -1.0, float("nan")])
    def test_a_speed_that_is_none_is_refused(self, path, session, speed) -> None:
        with pytest.raises(RecordingError, match="speed"):
            RecordingSource(path, speed=speed)

    def test_an_empty_recording_is_refused(self, path) -> None:
        write(path, [])
        with pytest.raises(RecordingError, match="holds no sample"):
            RecordingSource(path)
