# SPDX-License-Identifier: Apache-2.0
"""A bag from first message to last rename, read by others' readers, and what happens when it goes wrong."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from mcap.reader import make_reader
from rosbags.highlevel import AnyReader

from dexndm_ros.recording.check import check_bag
from dexndm_ros.recording.contents import read_contents
from dexndm_ros.recording.definitions import definition
from dexndm_ros.recording.episode import EpisodeError, EpisodeWriter, check_name
from dexndm_ros.recording.partial import put_aside, reason_of, recover, sweep
from dexndm_ros.recording.read import BagError, bag_file, decode, decoder, messages
from support.bags import (
    CLOSING,
    JOINTS,
    RELIABLE,
    STATE,
    TOPICS,
    hand_state,
    open_episode,
    stream,
    write_bag,
)
from support.small_disk import small_disk

__all__ = ["small_disk"]


def test_a_bag_gets_its_name_only_when_it_is_whole(tmp_path):
    writer = open_episode(tmp_path, count=40)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["e000001_a1.part"]
    assert not check_bag(tmp_path / "e000001_a1").complete
    assert not check_bag(tmp_path / "e000001_a1.part").complete
    result = writer.finish({STATE.name: 40, JOINTS.name: 20}, CLOSING)
    assert [p.name for p in tmp_path.iterdir()] == ["e000001_a1"]
    bag = tmp_path / "e000001_a1"
    assert sorted(p.name for p in bag.iterdir()) == ["e000001_a1_0.mcap", "metadata.yaml"]
    found = check_bag(bag)
    assert found.complete and found.reason == ""
    assert found.counts == {STATE.name: 40, JOINTS.name: 20}
    assert found.messages == result.messages == 60
    assert found.lost == result.lost == 0
    assert found.bytes == result.bytes == sum(p.stat().st_size for p in bag.iterdir())
    assert found.duration_s == result.duration_s == pytest.approx(0.39)
    assert found.custom_data == {"campaign": "night", "seed": "007", **CLOSING}
    assert (result.complete, result.reason, result.path) == (True, "", str(bag))


def test_every_message_comes_back_with_its_times_and_number(tmp_path):
    write_bag(tmp_path)
    back = [(m.topic, m.data, m.log_ns, m.publish_ns, m.sequence) for m in
            messages(tmp_path / "e000001_a1")]  # fmt: skip
    assert back == list(stream(40))
    only = list(messages(tmp_path / "e000001_a1", topics=["joint_states"]))
    assert {m.topic for m in only} == {JOINTS.name} and len(only) == 20


def test_messages_are_decoded_by_todays_definitions_and_by_the_bags_own(tmp_path):
    write_bag(tmp_path)
    own = decoder(tmp_path / "e000001_a1")
    for message in messages(tmp_path / "e000001_a1", topics=[STATE.name]):
        for state in (decode(message.type, message.data), own(message.type, message.data)):
            assert state.seq == message.sequence - 1
            assert state.command_source == "replay"
            np.testing.assert_array_equal(state.position, np.linspace(0.0, 1.0, 16) + state.seq)
    with pytest.raises(BagError, match="are no dexndm_msgs/msg/HandState"):
        decode(STATE.type, b"\0\1\0\0")
    with pytest.raises(BagError, match="are no"):
        own(STATE.type, b"\0\1\0\0")


def test_rosbags_reads_it_with_types_and_metadata_from_the_bag_itself(tmp_path):
    write_bag(tmp_path)
    with AnyReader([tmp_path / "e000001_a1"]) as reader:
        assert {c.topic: (c.msgtype, c.msgcount) for c in reader.connections} == {
            STATE.name: (STATE.type, 40),
            JOINTS.name: (JOINTS.type, 20),
        }
        hashes = {c.msgtype: c.digest for c in reader.connections}
        assert hashes == {t.type: definition(t.type).type_hash for t in TOPICS}
        state = next(c for c in reader.connections if c.topic == STATE.name)
        assert state.ext.offered_qos_profiles[0].reliability.name == "RELIABLE"
        seqs = [
            reader.deserialize(raw, c.msgtype).seq
            for c, _, raw in reader.messages(connections=[state])
        ]
    assert seqs == list(range(40))


def test_mcaps_indexed_reader_reads_it(tmp_path):
    write_bag(tmp_path)
    with bag_file(tmp_path / "e000001_a1").open("rb") as file:
        reader = make_reader(file, validate_crcs=True)
        assert reader.get_header().profile == "ros2"
        summary = reader.get_summary()
        assert summary.statistics.message_count == 60
        assert {s.encoding for s in summary.schemas.values()} == {"ros2msg"}
        found = list(reader.iter_messages(topics=[STATE.name]))
    assert [m.sequence for _, _, m in found] == list(range(1, 41))
    assert found[0][1].message_encoding == "cdr"
    assert yaml.safe_load(found[0][1].metadata["offered_qos_profiles"]) == [RELIABLE]


def test_the_text_in_the_bag_names_units(tmp_path):
    assert "rad" in definition(STATE.type).text
    assert definition(STATE.type).text.count("=" * 80) == 2  # Header, Time


def test_a_name_that_is_taken_is_refused(tmp_path):
    write_bag(tmp_path)
    before = bag_file(tmp_path / "e000001_a1").read_bytes()
    with pytest.raises(EpisodeError, match="never overwritten"):
        EpisodeWriter(tmp_path, "e000001_a1", {}, TOPICS)
    assert bag_file(tmp_path / "e000001_a1").read_bytes() == before


def test_a_bag_that_appears_meanwhile_is_not_overwritten(tmp_path):
    writer = open_episode(tmp_path)
    (tmp_path / "e000001_a1").mkdir()
    result = writer.finish({}, CLOSING)
    assert not result.complete and "appeared" in result.reason
    assert result.path == str(tmp_path / "e000001_a1.partial")
    assert not any((tmp_path / "e000001_a1").iterdir())


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "/x", ".x", "-x", "a b", "é", "x.part", "x.partial",
             "a" * 101, "x\n", "a\0b"],
)  # fmt: skip
def test_names_that_are_no_folder_of_ours_are_refused(tmp_path, name):
    with pytest.raises(EpisodeError, match="letters, digits"):
        EpisodeWriter(tmp_path / "bags", name, {}, TOPICS)
    assert list(tmp_path.iterdir()) == []


def test_an_ordinary_name_is_taken():
    assert check_name("e000123_a2") == "e000123_a2"
    assert check_name("night-1.2") == "night-1.2"


def test_a_missing_message_puts_the_bag_aside_with_the_numbers(tmp_path):
    result = open_episode(tmp_path, count=39).finish({STATE.name: 40}, CLOSING)
    assert not result.complete
    assert "/hand/state: 39 messages came, 40 were expected" in result.reason
    partial = tmp_path / "e000001_a1.partial"
    assert result.path == str(partial)
    assert reason_of(partial) == result.reason
    assert not check_bag(partial).complete
    assert len(list(recover(partial))) == 39 + 20


def test_an_expected_topic_that_is_not_recorded_at_all(tmp_path):
    result = open_episode(tmp_path).finish({"/replay/step": 400}, CLOSING)
    assert "/replay/step: 0 messages came, 400 were expected" in result.reason


def test_an_episode_without_messages_is_a_bag_too(tmp_path):
    writer = EpisodeWriter(tmp_path, "empty", {}, TOPICS)
    assert writer.finish({}, CLOSING).complete
    found = check_bag(tmp_path / "empty")
    assert found.complete and found.messages == 0 and found.duration_s == 0.0
    with AnyReader([tmp_path / "empty"]) as reader:
        assert reader.message_count == 0


def test_gaps_in_the_numbers_are_found_again_from_the_bag(tmp_path):
    writer = EpisodeWriter(tmp_path, "gap", {}, TOPICS)
    for k, message in enumerate(stream(40)):
        if k not in (9, 10, 30):  # 0-based over both topics: two states and a joint state
            writer.add(*message)
    assert writer.finish({}, CLOSING).complete
    assert check_bag(tmp_path / "gap").lost == 3


def test_what_was_counted_while_recording_counts_too_and_shared_topics_do_not(tmp_path):
    writer = EpisodeWriter(tmp_path, "shared", {}, TOPICS)
    for sequence in (1, 50, 2, 51):
        writer.add(STATE.name, hand_state(0), 1, 1, sequence)
    closing = {**CLOSING, "messages_lost": "1", "messages_dropped": "2"}
    writer.finish({}, {**closing, "shared_topics": json.dumps([STATE.name])})
    assert check_bag(tmp_path / "shared").lost == 3


def test_interrupted_episodes_are_put_aside_without_overwriting_each_other(tmp_path):
    for number in range(3):
        writer = open_episode(tmp_path, count=10 + number)
        result = writer.abandon(f"reason {number}")
        assert not result.complete and result.reason == f"reason {number}"
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == ["e000001_a1.2.partial", "e000001_a1.3.partial", "e000001_a1.partial"]
    assert reason_of(tmp_path / "e000001_a1.2.partial") == "reason 1"
    note = json.loads((tmp_path / "e000001_a1.3.partial/partial.json").read_text())
    assert note == {"reason": "reason 2", "episode": "e000001_a1"}
    states = [m for m in recover(tmp_path / "e000001_a1.2.partial") if m.topic == STATE.name]
    assert len(states) == 11


def test_the_sweep_takes_what_is_open_and_leaves_the_rest(tmp_path):
    write_bag(tmp_path, "good")
    open_episode(tmp_path, "torn", 25)  # never closed, as after a kill
    put_aside(write_and_leave(tmp_path, "old"), "an older night")
    assert sweep(tmp_path, "the recorder died") == [tmp_path / "torn.partial"]
    assert sweep(tmp_path, "the recorder died") == []
    assert sweep(tmp_path / "nothing", "x") == []
    assert check_bag(tmp_path / "good").complete
    assert reason_of(tmp_path / "torn.partial") == "the recorder died"
    assert reason_of(tmp_path / "old.partial") == "an older night"
    back = [(m.topic, m.data) for m in recover(tmp_path / "torn.partial")]
    assert back == [(topic, data) for topic, data, *_ in stream(25)]


def write_and_leave(directory, episode):
    open_episode(directory, episode)
    return directory / f"{episode}.part"


def test_a_partial_folder_put_aside_again_stays_where_it_is(tmp_path):
    partial = put_aside(write_and_leave(tmp_path, "x"), "first")
    assert put_aside(partial, "second") == partial
    assert reason_of(partial) == "second"


def test_without_a_note_there_is_no_reason(tmp_path):
    assert reason_of(tmp_path) == ""
    (tmp_path / "partial.json").write_text("[]")
    assert reason_of(tmp_path) == ""


def test_a_full_disk_is_put_aside_readable_with_its_reason(small_disk):
    writer = EpisodeWriter(small_disk, "full", {}, TOPICS)
    noise = np.random.default_rng(0)
    written = []
    with pytest.raises(OSError, match="No space left"):
        for k in range(10_000):
            data = noise.bytes(2000)  # does not compress
            writer.add(STATE.name, data, k + 1, k + 1, k + 1)
            writer.flush()
            written.append(data)
    result = writer.abandon("No space left on device")
    assert not result.complete
    assert Path(result.path) == small_disk / "full.partial"
    assert [m.data for m in recover(small_disk / "full.partial")] == written
    assert reason_of(small_disk / "full.partial") in ("", "No space left on device")  # no room


def test_a_disk_that_fills_up_at_the_end_gives_a_partial_bag_and_no_error(small_disk):
    writer = open_episode(small_disk, "late")
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            pass
    result = writer.finish({STATE.name: 40}, CLOSING)
    assert not result.complete and "No space left" in result.reason
    assert len(list(recover(small_disk / "late.partial"))) == 60
    filler.unlink()
    assert write_bag(small_disk, "next").complete


def test_a_directory_that_cannot_be_written_leaves_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        EpisodeWriter(tmp_path / "file", "x", {}, TOPICS)
    with pytest.raises(ValueError, match="no_such_package"):
        EpisodeWriter(tmp_path, "x", {}, [STATE, type(STATE)("/x", "no_such_package/msg/X")])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file"]


def test_contents_tell_what_the_metadata_records_said(tmp_path):
    write_bag(tmp_path)
    contents = read_contents(bag_file(tmp_path / "e000001_a1"))
    assert contents.metadata["dexndm.episode.begin"] == {"campaign": "night", "seed": "007"}
    assert contents.gaps == {STATE.name: 0, JOINTS.name: 0}
