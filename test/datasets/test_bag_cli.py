# SPDX-License-Identifier: Apache-2.0
"""`dexndm bag`: what it says of whole bags, of torn ones, and of what is none."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil

import numpy as np
import pytest

from dexndm_ros.bags.open import open_bag
from dexndm_ros.datasets.bag_cli import main
from dexndm_ros.datasets.bag_info import inspect_bag
from dexndm_ros.datasets.bag_traces import read_traces, select_joints
from dexndm_ros.datasets.streams import BagRefusedError
from dexndm_ros.hand.joints import JOINT_NAMES
from dexndm_ros.recording.partial import put_aside
from support.nights import write_joint_state_bag, write_night

STEPS = 60


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    """Row 0 is sound; row 1 lost states, its clock stepped, cycles were missed."""
    folder = tmp_path_factory.mktemp("bags")
    sound = write_night(folder, trajectories=1, steps=STEPS)[0]
    faults = {
        "drop_states": ((20, 7),), "clock_jump": ((40, 0.5),), "missed_cycles": ((50, 3),),
    }  # fmt: skip
    return sound, write_night(folder / "bad", trajectories=1, steps=STEPS, **faults)[0]


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    path = tmp_path_factory.mktemp("foreign") / "bag"
    return path, write_joint_state_bag(path, seconds=2.0)


def run(capsys, *words):
    """Exit status, stdout, stderr."""
    capsys.readouterr()
    status = main([str(word) for word in words])
    said = capsys.readouterr()
    return status, said.out, said.err


def test_info_counts_what_is_in_the_bag(capsys, night) -> None:
    sound, _ = night
    status, out, _ = run(capsys, "info", sound.path)
    assert status == 0 and "whole     yes" in out and "mcap (zstd in" in out
    status, out, _ = run(capsys, "info", sound.path, "--json")
    (found,) = json.loads(out)
    states = found["topics"]["/hand/state"]
    assert states["messages"] == states["declared"] == len(sound.states.seq)
    assert states["rate_hz"] == pytest.approx(100.0, rel=0.01) and states["lost"] == 0
    assert found["topics"]["/diagnostics"]["lost"] is None  # several publishers share it
    assert found["topics"]["/policy/step"]["messages"] == 0
    assert found["custom_data"]["campaign"] == "night" and found["version"] == 9
    assert found["duration_s"] == pytest.approx((found["last_ns"] - found["first_ns"]) / 1e9)


def test_info_of_a_bag_without_numbers_knows_of_no_loss(foreign) -> None:
    info = inspect_bag(foreign[0])
    assert info.storage == "sqlite3" and info.topics["/joint_states"].lost is None
    assert info.topics["/joint_states"].messages == len(foreign[1]["state_ns"])


def test_loss_is_told_by_info_and_check(capsys, night) -> None:
    _, bad = night
    status, out, _ = run(capsys, "info", bad.path, "--json")
    assert json.loads(out)[0]["topics"]["/hand/state"]["lost"] == 7 and status == 0
    status, out, _ = run(capsys, "check", bad.path)
    assert status == 1 and "WARNINGS" in out
    assert "not in the bag: 7" in out and "clock jumps" in out and "missed reads" in out


def test_check_of_a_sound_bag_and_of_folders(capsys, night) -> None:
    sound, bad = night
    status, out, _ = run(capsys, "check", sound.path)
    # A trajectory of 60 of 400 steps is short, and nothing else is wrong with it.
    assert [line.split()[1] for line in out.splitlines() if line.startswith("  !")] == ["flagged"]
    assert status == 1 and "short episode: steps 0 to 59 of 0 to 399" in out
    status, out, _ = run(capsys, "check", sound.path, bad.path.parent)
    assert status == 1 and "2 bags: 0 sound, 2 with warnings, 0 refused" in out
    assert "bad/e000000_a1: WARNINGS" in out and "\ne000000_a1: WARNINGS" in "\n" + out
    status, out, _ = run(capsys, "check", sound.path, "--json")
    (found,) = json.loads(out)
    assert found["outcome"] == "warnings" and found["episodes"][0]["facts"]["rows"] == STEPS
    assert found["episodes"][0]["findings"][0]["check"] == "short"


def test_check_of_a_whole_trajectory_is_silent(capsys, tmp_path) -> None:
    bag = write_night(tmp_path, trajectories=1)[0]
    status, out, _ = run(capsys, "check", bag.path)
    assert status == 0 and "sound" in out and "400 ticks in 19.95 s" in out
    assert run(capsys, "check", "--quiet", bag.path)[:2] == (0, "")


def test_check_tells_why_a_bag_was_put_aside(capsys, tmp_path) -> None:
    bag = write_night(tmp_path, trajectories=1, steps=STEPS)[0]
    aside = put_aside(bag.path, "the thumb was stuck")
    status, out, _ = run(capsys, "check", aside)
    assert status == 1 and "put aside: the thumb was stuck" in out


def test_check_of_a_lite_hand_knows_its_limit(capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("bench.night_faults._LIMIT_A", 0.3)
    bag = write_night(tmp_path, trajectories=1, steps=STEPS, saturated=((3, 10, 40),))[0]
    assert "saturated" in run(capsys, "check", bag.path, "--hand", "lite")[1]
    assert "saturated" not in run(capsys, "check", bag.path)[1]


def test_check_tells_names_that_are_no_utf8(night, tmp_path) -> None:
    odd = tmp_path / os.fsdecode(b"n\xffcht")
    shutil.copytree(night[0].path, odd)
    put_aside(shutil.copytree(odd, tmp_path / os.fsdecode(b"\xfe")), "stuck")
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="strict", write_through=True)
    with contextlib.redirect_stdout(out):
        main(["check", str(tmp_path)])
    said = out.buffer.getvalue().decode()
    assert "n\\xffcht: " in said and "\\xfe.partial: " in said


def test_foreign_bags_need_a_mapping(capsys, foreign, tmp_path) -> None:
    status, out, _ = run(capsys, "check", foreign[0])
    assert status == 2 and "refused" in out and "--mapping" in out


@pytest.mark.parametrize("fault", [{"truncate": 0.5}, {"unfinished": True}, {"flip_byte": 0.3}])
def test_torn_bags_give_what_is_whole(capsys, tmp_path, fault) -> None:
    bag = write_night(tmp_path, trajectories=1, **fault)[0]
    status, out, _ = run(capsys, "info", bag.path, "--json")
    (found,) = json.loads(out)
    assert status == 1 and found["damage"]
    assert 100 < found["topics"]["/hand/state"]["messages"] < len(bag.states.seq)
    assert run(capsys, "check", bag.path)[0] == 1
    status, out, _ = run(capsys, "plot", bag.path, "--out", tmp_path / "p.svg", "--joints", "0")
    assert status == 1 and "!" in out and (tmp_path / "p.svg").stat().st_size > 1000


@pytest.mark.parametrize("job", ["info", "check", "plot"])
def test_what_is_no_bag_is_refused_in_words(capsys, tmp_path, job) -> None:
    (tmp_path / "notes.mcap").write_text("these are my notes")
    for path in (tmp_path, tmp_path / "notes.mcap", tmp_path / "nowhere"):
        status, out, err = run(capsys, job, path)
        assert status == 2 and str(path.name) in out + err and "Traceback" not in err


# --- plot ------------------------------------------------------------------------------------------------


def test_plot_writes_a_picture_and_tells_faults(capsys, night, tmp_path) -> None:
    sound, bad = night
    status, out, _ = run(capsys, "plot", sound.path, "--out", tmp_path / "a.png")
    assert status == 0 and "16 joints" in out
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    words = ("plot", bad.path, "--out", tmp_path / "b.svg", "--joints", "thumb", "2", "--json")
    status, out, _ = run(capsys, *words)
    found = json.loads(out)
    kinds = [mark["kind"] for mark in found["marks"] if mark["kind"] in ("gap", "clock")]
    assert status == 1 and kinds == ["gap", "clock", "gap"]
    assert "7 states are missing" in found["marks"][0]["text"] + found["marks"][1]["text"]
    picture = (tmp_path / "b.svg").read_text()
    assert "<svg" in picture


def test_traces_are_the_states_of_the_bag(night) -> None:
    sound, _ = night
    traces = read_traces(open_bag(sound.path))
    assert traces.states == len(sound.states.seq) and traces.stride == 1
    np.testing.assert_array_equal(traces.position, sound.states.position_rad)
    assert traces.target is not None and traces.names == JOINT_NAMES
    assert len(traces.temperature_s) and np.nanmax(traces.temperature) > 20
    part = read_traces(open_bag(sound.path), start_s=1.0, duration_s=0.5)
    assert part.time_s[0] >= 1.0 and part.time_s[-1] <= 1.5 and 45 <= part.states <= 52


def test_long_bags_are_thinned_evenly(night, monkeypatch) -> None:
    sound, _ = night
    monkeypatch.setattr("dexndm_ros.datasets.bag_traces._MOST", 50)
    traces = read_traces(open_bag(sound.path))
    assert traces.stride in (8, 16) and len(traces.time_s) <= 50
    np.testing.assert_array_equal(
        traces.position, sound.states.position_rad[:: traces.stride][: len(traces.position)]
    )


def test_plot_of_another_drivers_topic(capsys, foreign, tmp_path) -> None:
    path, wanted = foreign
    status, _, err = run(capsys, "plot", path)
    assert status == 2 and "--topic" in err and "/joint_commands" in err
    status, _, err = run(capsys, "plot", path, "--topic", "nothing")
    assert status == 2 and "/joint_states" in err
    traces = read_traces(open_bag(path), "joint_states")
    np.testing.assert_array_equal(traces.position, wanted["position"])
    assert traces.target is None and traces.velocity is not None
    words = ("--topic", "joint_states", "--target", "joint_commands", "--out", tmp_path / "f.png")
    assert run(capsys, "plot", path, *words)[0] == 0


def test_target_of_another_topic_is_held_until_the_next(foreign) -> None:
    path, wanted = foreign
    traces = read_traces(open_bag(path), "joint_states", "joint_commands")
    newest = np.searchsorted(wanted["command_ns"], wanted["state_ns"], side="right") - 1
    np.testing.assert_array_equal(traces.target[newest < 0], np.nan)
    np.testing.assert_array_equal(
        traces.target[newest >= 0], wanted["command"][newest[newest >= 0]]
    )


def test_hand_states_take_no_other_target(capsys, night) -> None:
    status, _, err = run(capsys, "plot", night[0].path, "--target", "joint_states")
    assert status == 2 and "tells its targets itself" in err


# --- salvage ---------------------------------------------------------------------------------------------


def test_salvage_makes_a_bag_that_is_whole(capsys, tmp_path) -> None:
    bag = write_night(tmp_path, trajectories=1, flip_byte=0.3)[0]
    before = inspect_bag(bag.path)
    status, out, _ = run(capsys, "salvage", bag.path, "--out", tmp_path / "new")
    assert status == 1 and "are not in it" in out and "damaged chunk" in out
    after = inspect_bag(tmp_path / "new")
    assert not after.damage and after.custom_data["salvaged_from"] == bag.path.name
    for name, topic in before.topics.items():
        assert name not in after.topics or after.topics[name].messages == topic.messages
    status, out, _ = run(capsys, "salvage", tmp_path / "new", "--out", tmp_path / "again", "--json")
    assert status == 0 and json.loads(out)["missing"] == {}


def test_salvage_never_overwrites(capsys, night, tmp_path) -> None:
    (tmp_path / "there").mkdir()
    status, _, err = run(capsys, "salvage", night[0].path, "--out", tmp_path / "there")
    assert status == 2 and "exists already" in err


def test_plot_says_how_long_a_bag_is_and_where_it_cannot_write(capsys, night, tmp_path) -> None:
    status, _, err = run(capsys, "plot", night[0].path, "--start", "100")
    assert status == 2 and "in that time; they last 3." in err
    picture = tmp_path / "nowhere" / "p.png"
    status, _, err = run(capsys, "plot", night[0].path, "--joints", "0", "--out", picture)
    assert status == 2 and f"{picture}: No such file or directory" in err


def test_joints_by_name_beginning_and_number() -> None:
    assert select_joints([], JOINT_NAMES) == list(range(16))
    assert select_joints(["thumb", "3", "index_pip", "3"], JOINT_NAMES) == [12, 13, 14, 15, 3, 2]
    with pytest.raises(BagRefusedError, match="no joint 'pinky'; there are index_mcp_side"):
        select_joints(["pinky"], JOINT_NAMES)


def test_wrong_words_are_told(capsys, tmp_path) -> None:
    for words in (
        ["plot", "x", "--out", "p.gif"],
        ["plot", "x", "--start", "-1"],
        ["nonsense"],
        [],
    ):
        with pytest.raises(SystemExit) as error:
            main(words)
        assert error.value.code == 2
    assert "must end in .png, .svg, .pdf" in capsys.readouterr().err
