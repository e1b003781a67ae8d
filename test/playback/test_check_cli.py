# SPDX-License-Identifier: Apache-2.0
"""The checks as a person runs them: on bags, with exit status, words, JSON and pictures."""

import argparse
import json
import shutil

import numpy as np
import pytest
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import StoragePlugin, Writer

from bench.night_policy import PolicyRunConfig
from dexndm_ros.playback.check_cli import (
    DIVERGED,
    EQUAL,
    REFUSED,
    add_arguments,
    check,
    check_from,
)
from dexndm_ros.playback.recorded import read_recorded
from dexndm_ros.recording.definitions import typestore
from support.nights import write_joint_state_bag, write_night, write_policy_run
from support.tiny_policy import write_tiny_policy

POLICY = "cylinder_z"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A bag with a run of the shipped policy."""
    return write_policy_run(tmp_path_factory.mktemp("run"), PolicyRunConfig()).path


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    (bag,) = write_night(tmp_path_factory.mktemp("night"), trajectories=1, steps=40)
    return bag.path


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def line(run, *words):
    parser = argparse.ArgumentParser()
    parser.add_argument("bag")
    add_arguments(parser)
    return check_from(parser.parse_args([str(run), *words]))


def thinned(source, out, keep):
    """A copy of a bag with the messages that ``keep(topic, number of it on its topic)`` is true for."""
    store, seen = typestore(), {}
    with AnyReader([source]) as reader:
        writer = Writer(out, version=9, storage_plugin=StoragePlugin.MCAP)
        with writer:
            made = {}
            for connection, log_ns, data in reader.messages():
                topic = connection.topic
                seen[topic] = seen.get(topic, -1) + 1
                if not keep(topic, seen[topic]):
                    continue
                if topic not in made:
                    made[topic] = writer.add_connection(topic, connection.msgtype, typestore=store)
                writer.write(made[topic], log_ns, data)
    return out


def test_all_is_equal_and_nothing_is_written(run, here, capsys):
    assert check(run, ["all"], policy=POLICY) == EQUAL
    said = capsys.readouterr().out
    for name in ("policy", "guard", "driver"):
        assert f"{name}: " in said
    assert "replay:" not in said and "DIVERGED" not in said
    assert not list(here.iterdir())


def test_a_night_is_checked_from_one_end_to_the_other(night, here, capsys):
    assert line(night, "--check", "all", "--library", "cylinder_z") == EQUAL
    said = capsys.readouterr().out
    assert "replay: 40 of 40 steps" in said and "policy:" not in said


def test_another_policy_diverges_with_a_report_and_pictures(run, here, capsys):
    other = write_tiny_policy(here / "other.onnx", bias=np.full(16, 0.5))
    assert line(run, "--check", "policy", "--policy", str(other)) == DIVERGED
    said = capsys.readouterr().out
    assert "DIVERGED" in said and "first: tick" in said and "rad apart" in said
    assert "diverged ticks: 18-" in said
    folder = here / f"{run.name}_check"
    assert (folder / "policy.png").read_bytes().startswith(b"\x89PNG")
    told = json.loads((folder / "check.json").read_text(), parse_constant=pytest.fail)
    assert told["status"] == DIVERGED
    assert "dexndm_ros" in told["checked by"]["software"] and "checked by dexndm_ros" in said
    first = told["checks"]["policy"]["divergences"][0]
    assert first["field"] == "base_action" and first["size"] > 0
    assert first["text"] in said


def test_a_report_never_takes_the_place_of_another_bags(run, here, capsys):
    other = write_tiny_policy(here / "other.onnx", bias=np.full(16, 0.5))
    first = here / f"{run.name}_check"
    first.mkdir()
    (first / "check.json").write_text("of another campaign's bag of this name")
    for number in (2, 3):
        assert check(run, ["policy"], policy=other) == DIVERGED
        assert f"{run.name}_check_{number}/check.json" in capsys.readouterr().out
    assert (first / "check.json").read_text() == "of another campaign's bag of this name"


def test_what_can_hardly_be_compared_is_not_called_equal(run, here, capsys):
    """Every seventh state is missing: hardly ever are ten ticks in a row known."""
    gaps = thinned(run, here / "gaps", lambda topic, k: topic != "/hand/state" or k % 7 != 6)
    assert check(gaps, ["policy"], policy=POLICY) == REFUSED
    said = capsys.readouterr().out
    assert "could be compared" in said and "policy: cannot be checked: only " in said
    assert check(gaps, ["policy"], policy=POLICY, min_share=0.0) == EQUAL
    assert (
        line(gaps, "--check", "policy", "--policy", POLICY, "--min-share", "0", "--json") == EQUAL
    )
    share = json.loads(capsys.readouterr().out.split("\n", 4)[-1])["checks"]["policy"][
        "share_compared"
    ]
    assert 0.0 < share < 0.1
    other = write_tiny_policy(here / "other.onnx", bias=np.full(16, 0.5))
    assert check(gaps, ["policy"], policy=other) == DIVERGED


def test_after_a_gap_the_check_goes_on_as_soon_as_the_history_is_known(run, here, capsys):
    states = range(500, 505)  # those between two ticks, one of which the policy saw
    gap = thinned(run, here / "gap", lambda topic, k: topic != "/hand/state" or k not in states)
    assert check(gap, ["policy"], policy=POLICY) == EQUAL
    said = capsys.readouterr().out
    assert "not compared, 1: the state it saw" in said
    assert "not compared, 9: fewer than ten ticks" in said


def test_json_goes_to_the_output_and_the_report_where_it_is_asked_for(run, here, capsys):
    words = ["--check", "guard", "--check", "driver", "--json", "--report", "out/report"]
    assert line(run, *words) == EQUAL
    told = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert set(told["checks"]) == {"guard", "driver"} and told["cannot"] == {}
    assert {path.name for path in (here / "out/report").iterdir()} == {"check.json", "guard.png"}


def test_a_torn_bag_is_checked_as_far_as_it_goes_and_says_so(run, here, capsys):
    torn = here / "torn"
    shutil.copytree(run, torn)
    (file,) = torn.glob("*.mcap")
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * 0.6)])
    assert check(torn, ["guard"]) == EQUAL
    said = capsys.readouterr().out
    assert "torn is not whole" in said and "are equal to the last bit" in said


def test_what_cannot_be_checked_says_why_and_what_would_help(run, night, here, capsys):
    assert check(here / "nothing", ["all"]) == REFUSED
    assert "nothing" in capsys.readouterr().err
    for policy in (None, POLICY):
        assert check(night, ["policy"], policy=policy) == REFUSED
        said = capsys.readouterr().out
        assert "holds no policy/step" in said and "--policy" not in said
    nameless = thinned(run, here / "nameless", lambda topic, _: topic != "/diagnostics")
    assert check(nameless, ["policy"]) == REFUSED
    assert "give --policy" in capsys.readouterr().out
    assert check(run, ["policy"], policy="nonsense") == REFUSED
    assert "no policy 'nonsense'" in capsys.readouterr().out
    write_joint_state_bag(here / "other", seconds=1.0)
    assert check(here / "other", ["all"]) == REFUSED
    assert "nothing to check" in capsys.readouterr().err
    assert check(run, ["guard"], hand="left") == REFUSED
    assert "left" in capsys.readouterr().err


def test_a_report_that_cannot_be_written_is_said(run, here, capsys):
    (here / "file").write_text("")
    assert check(run, ["driver"], report=here / "file") == REFUSED
    assert "no report" in capsys.readouterr().err


def test_a_bag_tells_the_columns_that_the_checks_need(run):
    recorded = read_recorded(run)
    states, commands = recorded.states, recorded.commands
    assert states["position"].shape == (len(states["seq"]), 16)
    assert commands["position"].shape == (len(commands["seq"]), 16)
    assert recorded.begin_ns <= states["log_ns"].min()
    assert recorded.damage == ()


def test_a_topic_of_another_type_or_of_two_hands_is_refused(here, capsys):
    write_joint_state_bag(here / "type", seconds=0.5, state_topic="/hand/state")
    assert check(here / "type", ["all"]) == REFUSED
    assert "/hand/state (sensor_msgs/msg/JointState) cannot be checked" in capsys.readouterr().err
    write_joint_state_bag(
        here / "two", seconds=0.5, state_topic="/a/hand/state", command_topic="/b/hand/state"
    )
    assert check(here / "two", ["all"]) == REFUSED
    assert "--hand" in capsys.readouterr().err
