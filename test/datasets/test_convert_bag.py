# SPDX-License-Identifier: Apache-2.0
"""A bag goes in; rows, findings and verdict come out, compared with what the maker of the bag knows."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dexndm_ros.bags.open import open_bag
from dexndm_ros.datasets.assemble import Assembler
from dexndm_ros.datasets.bag_checks import joint_states_findings
from dexndm_ros.datasets.config import ConvertConfig, Limits
from dexndm_ros.datasets.convert_bag import BagRefusedError, convert_bag
from dexndm_ros.datasets.episode import BagResult, Episode
from dexndm_ros.datasets.features import FEATURES, RowFlag
from dexndm_ros.datasets.foreign_cut import ForeignCutter
from dexndm_ros.datasets.mapping import TopicMapping
from dexndm_ros.datasets.row_checks import check_rows
from dexndm_ros.datasets.streams import Streams, find_roles
from dexndm_ros.datasets.tables import size
from dexndm_ros.hand.joints import JOINT_NAMES
from dexndm_ros.paths import library_path
from dexndm_ros.policy.wrist import WRISTS
from dexndm_ros.replay.library import TrajectoryLibrary
from support.nights import (
    write_joint_state_bag,
    write_night,
    write_older_night,
    write_policy_run,
)

CONFIG = ConvertConfig()


def converted(tmp_path: Path, steps: int = 400, config: ConvertConfig = CONFIG, **faults) -> tuple:
    """(what the maker knows, the only episode, the bag's result) of a night of one trajectory."""
    (bag,) = write_night(tmp_path, trajectories=1, steps=steps, **faults)
    result = convert_bag(bag.path, config)
    assert len(result.episodes) == 1
    return bag, result.episodes[0], result


def actions(result: Episode | BagResult) -> dict[str, str]:
    return {each.check: each.action for each in result.findings}


def test_rows_of_a_whole_trajectory_are_those_of_the_night(tmp_path: Path) -> None:
    bag, episode, result = converted(tmp_path, steps=400)
    columns = episode.columns
    assert result.findings == () and episode.verdict == "keep", (result.findings, episode.findings)
    assert {name: column.dtype.name for name, column in columns.items()} == {
        feature.name: feature.dtype for feature in FEATURES
    }
    assert len(episode) == 400 and columns["valid"].all()
    assert np.array_equal(columns["action"], bag.target_rad.astype(np.float32))
    assert np.array_equal(columns["action.clean"], bag.clean_rad.astype(np.float32))
    assert np.array_equal(columns["action.noise"], bag.noise_rad.astype(np.float32))
    assert not columns["action.residual"].any()
    assert np.array_equal(columns["action.seq"], bag.command_seq)
    assert np.array_equal(columns["observation.axis"], np.tile(np.float32(bag.axis), (400, 1)))
    assert np.allclose(columns["observation.wrist"], WRISTS["palm_down"])
    assert np.isfinite(columns["observation.temperature"]).all()
    facts = episode.facts
    assert (facts["trajectory"], facts["entry"]) == (bag.claim.trajectory, bag.claim.entry)
    assert (facts["seed"], facts["attempt"]) == (bag.claim.seed, bag.claim.attempt)
    assert facts["orientation"] == "palm_down" and facts["kind"] == "replay"
    assert facts["lag_ticks"] in (0, 1, 2)


def test_the_state_of_a_tick_is_the_last_one_read_before_its_command_came_into_force(
    tmp_path: Path,
) -> None:
    bag, episode, _ = converted(tmp_path)
    seqs, in_force = bag.states.seq, bag.commands.seq[bag.states.in_force]
    for row, number in enumerate(bag.command_seq.tolist()):
        under = np.flatnonzero(in_force == number)
        assert episode.columns["observation.seq"][row] == seqs[under[0] - 1]
        expected = bag.states.position_rad[under[0] - 1].astype(np.float32)
        assert np.array_equal(episode.columns["observation.state"][row], expected)


def test_a_clock_that_jumps_changes_no_pair_of_state_and_action(tmp_path: Path) -> None:
    _, calm, _ = converted(tmp_path / "calm")
    _, jumped, _ = converted(tmp_path / "jumped", clock_jump=((60, -3600.0),))
    assert actions(jumped)["clock_jump"] == "flagged"
    for name in ("observation.state", "action", "observation.seq", "action.seq"):
        assert np.array_equal(calm.columns[name], jumped.columns[name]), name


def test_lost_states_are_counted_and_their_rows_marked(tmp_path: Path) -> None:
    _, episode, result = converted(tmp_path, drop_states=((50, 12),))
    lost = next(each for each in result.findings if each.check == "lost")
    assert lost.count == 12 and "/hand/state" in lost.text
    assert actions(episode)["gap"] == "flagged" and episode.verdict == "flag"
    marked = (episode.columns["flags"] & RowFlag.GAP) != 0
    assert marked.any() and set(np.flatnonzero(marked)) <= set(range(47, 55))
    assert not episode.columns["valid"][marked].any()


def test_a_missed_read_is_no_loss(tmp_path: Path) -> None:
    _, episode, result = converted(tmp_path, missed_cycles=((50, 2),))
    assert "lost" not in actions(result)
    assert actions(episode)["missed_reads"] == "noted" and episode.verdict == "keep"


def test_doubled_and_swapped_states_are_put_right(tmp_path: Path) -> None:
    _, calm, _ = converted(tmp_path / "calm")
    _, episode, _ = converted(tmp_path / "faulty", duplicate_states=((20, 3),), swap_states=(70,))
    found = actions(episode)
    assert found["duplicates"] == "repaired" and found["order"] == "repaired"
    assert np.array_equal(calm.columns["observation.state"], episode.columns["observation.state"])
    assert episode.verdict == "keep"


@pytest.mark.parametrize(
    ("faults", "check", "flag"),
    [
        ({"nan": ((40, 3),)}, "not_finite", RowFlag.NOT_FINITE),
        ({"spike": ((40, 5),)}, "impossible", RowFlag.IMPOSSIBLE),
        ({"drop_commands": (30, 31)}, "no_command", RowFlag.NO_COMMAND),
        ({"passed_over": (33,)}, "passed_over", RowFlag.PASSED_OVER),
    ],
)
def test_rows_that_cannot_be_used_are_marked_and_told(tmp_path: Path, faults, check, flag) -> None:
    _, episode, _ = converted(tmp_path, **faults)
    assert actions(episode)[check] == "flagged"
    marked = (episode.columns["flags"] & flag) != 0
    assert 1 <= marked.sum() <= 12 and not episode.columns["valid"][marked].any()
    assert episode.columns["valid"].sum() >= 385


def test_a_stuck_joint_is_named(tmp_path: Path) -> None:
    limits = replace(CONFIG.limits, stuck_target_rad=0.02)
    _, episode, _ = converted(
        tmp_path, config=replace(CONFIG, limits=limits), stuck=((5, 60, 120),)
    )
    stuck = [each for each in episode.findings if each.check == "stuck"]
    assert len(stuck) == 1 and JOINT_NAMES[5] in stuck[0].text and episode.verdict == "flag"
    assert ((episode.columns["flags"] & RowFlag.STUCK) != 0).sum() >= 100


def test_a_current_at_its_limit_is_told(tmp_path: Path) -> None:
    _, episode, _ = converted(tmp_path, saturated=((2, 30, 60),))
    assert actions(episode)["saturated"] == "flagged"


def test_missing_steps_are_a_gap_and_a_short_trajectory_is_told(tmp_path: Path) -> None:
    _, episode, _ = converted(tmp_path, drop_steps=(40, 41))
    assert len(episode) == 398
    assert actions(episode) == {"missing_ticks": "flagged", "gap": "flagged"}
    assert episode.columns["flags"][39] & RowFlag.GAP
    _, episode, _ = converted(tmp_path / "short", steps=120)
    assert len(episode) == 120 and actions(episode) == {"short": "flagged"}


def test_targets_that_are_not_clean_plus_noise_drop_the_episode(tmp_path: Path) -> None:
    _, episode, _ = converted(tmp_path, wrong_target=(17,))
    assert actions(episode)["fidelity"] == "dropped"
    assert episode.verdict == "drop" and len(episode) == 0


def test_the_library_is_compared_when_it_is_given(tmp_path: Path) -> None:
    path = library_path("cylinder_z")
    config = ConvertConfig(library=path, library_sha256=TrajectoryLibrary(path).sha256)
    _, episode, _ = converted(tmp_path, config=config)
    assert "fidelity" not in actions(episode)
    assert config.hash != CONFIG.hash


def test_joint_states_in_another_order_are_understood_by_their_names(tmp_path: Path) -> None:
    _, episode, _ = converted(tmp_path, permuted_joints=True)
    assert actions(episode) == {}


def test_angles_under_another_joint_s_name_are_found_out() -> None:
    stamps = np.arange(5) * 10_000_000
    angles = np.arange(80.0).reshape(5, 16)
    states = {"stamp_ns": stamps, "position": angles}
    names = list(JOINT_NAMES)
    joints = {"stamp_ns": stamps, "position": angles, "name": [tuple(names)]}
    assert not list(joint_states_findings(states, joints))
    names[3], names[7] = names[7], names[3]
    (found,) = joint_states_findings(states, {**joints, "name": [tuple(names)]})
    assert found.action == "dropped" and found.count == 2 and JOINT_NAMES[7] in found.text


def test_exchanged_joints_are_found_out_by_what_they_follow(tmp_path: Path) -> None:
    _, episode, _ = converted(tmp_path)
    columns, lag = dict(episode.columns), episode.facts["lag_ticks"]
    stamps = columns["observation.stamp_ns"]
    assert "joint_order" not in {
        each.check for each in check_rows(columns, Limits(), False, lag, stamps)
    }
    swapped = columns["observation.state"].copy()
    swapped[:, [0, 5]] = swapped[:, [5, 0]]
    found = check_rows({**columns, "observation.state": swapped}, Limits(), False, lag, stamps)
    told = [each for each in found if each.check == "joint_order"]
    assert len(told) == 1 and told[0].action == "dropped"
    assert JOINT_NAMES[0] in told[0].text and JOINT_NAMES[5] in told[0].text


def test_a_stock_recorder_leaves_the_loss_unknown(tmp_path: Path) -> None:
    _, episode, result = converted(tmp_path, stock=True)
    assert actions(result)["loss_unknown"] == "noted" and episode.verdict == "keep"


@pytest.mark.parametrize("faults", [{"truncate": 0.7}, {"unfinished": True}, {"flip_byte": 0.5}])
def test_what_is_whole_of_a_torn_bag_becomes_rows(tmp_path: Path, faults) -> None:
    bag, episode, result = converted(tmp_path, steps=400, **faults)
    assert "damage" in actions(result)
    rows = episode.columns["action.seq"]
    assert 50 <= len(rows) <= 400
    at = np.searchsorted(bag.command_seq, rows)
    assert np.array_equal(episode.columns["action"], bag.target_rad[at].astype(np.float32))


def test_a_bag_read_in_small_stretches_gives_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dexndm_ros.bags.open import Bag

    bag, whole, _ = converted(tmp_path)
    read = Bag.batches
    monkeypatch.setattr(Bag, "batches", lambda self: read(self, max_bytes=100_000))
    (episode,) = convert_bag(bag.path, CONFIG).episodes
    assert episode.identity == whole.identity and episode.facts == whole.facts
    for name, column in whole.columns.items():
        assert column.tobytes() == episode.columns[name].tobytes(), name


def test_a_bag_of_another_driver_needs_a_mapping_and_becomes_episodes_with_it(
    tmp_path: Path,
) -> None:
    names = [f"j{k}" for k in range(16)]
    order = np.random.default_rng(0).permutation(16)
    known = write_joint_state_bag(
        tmp_path / "bag", [names[k] for k in order], seconds=7.0, command_topic="/cmd_leap"
    )
    with pytest.raises(BagRefusedError, match="--mapping"):
        convert_bag(tmp_path / "bag", CONFIG)
    content = {
        "state": {"topic": "/joint_states"},
        "command": {"topic": "/cmd_leap"},
        "joints": dict(zip(names, JOINT_NAMES, strict=True)),
        "offset_rad": 0.25,
        "wrist": "palm_up",
        "axis": "+z",
        "episode_s": 3.0,
    }
    config = ConvertConfig(mapping=TopicMapping.parse(content))
    result = convert_bag(tmp_path / "bag", config)
    assert [len(each) for each in result.episodes] == [60, 60, 20]
    first = result.episodes[0].columns
    assert ((first["flags"] & RowFlag.BY_TIME) != 0).all() and first["valid"].all()
    back = np.argsort(order)
    at = np.searchsorted(known["state_ns"], first["action.stamp_ns"], side="right") - 1
    assert np.array_equal(first["observation.stamp_ns"], known["state_ns"][at])
    wanted = (known["position"][at][:, back] + 0.25).astype(np.float32)
    assert np.array_equal(first["observation.state"], wanted)
    assert (first["observation.stamp_ns"] <= first["action.stamp_ns"]).all()
    held = np.searchsorted(known["command_ns"], first["action.stamp_ns"], side="right") - 1
    wanted = (known["command"][np.maximum(held, 0)][:, back] + 0.25).astype(np.float32)
    assert np.array_equal(first["action"], wanted)
    assert np.isnan(first["observation.temperature"]).all()
    stamps = np.concatenate([each.columns["action.stamp_ns"] for each in result.episodes])
    assert (np.diff(stamps) == 50_000_000).all()


def test_a_joint_that_is_missing_is_named(tmp_path: Path) -> None:
    write_joint_state_bag(tmp_path / "bag", [*JOINT_NAMES[:15], "wrist_roll"], seconds=2.0)
    content = {"state": {"topic": "/joint_states"}, "command": {"topic": "/joint_commands"}}
    with pytest.raises(BagRefusedError, match=JOINT_NAMES[15]):
        convert_bag(tmp_path / "bag", ConvertConfig(mapping=TopicMapping.parse(content)))


def test_the_same_bag_gives_the_same_result_twice(tmp_path: Path) -> None:
    bag, first, result = converted(tmp_path)
    again = convert_bag(bag.path, CONFIG)
    assert again.sha256 == result.sha256 and again.provenance == result.provenance
    for name, column in first.columns.items():
        assert column.tobytes() == again.episodes[0].columns[name].tobytes()


def test_limits_are_part_of_the_configuration_s_name() -> None:
    other = ConvertConfig(limits=Limits(max_age_s=0.1))
    assert other.hash != CONFIG.hash and ConvertConfig().hash == CONFIG.hash


def test_a_state_lost_just_before_a_command_is_marked(tmp_path: Path) -> None:
    _, whole, _ = converted(tmp_path / "whole")
    _, episode, _ = converted(
        tmp_path / "lost", drop_states=tuple((k, 3) for k in range(0, 400, 7))
    )
    older = (episode.columns["flags"] & RowFlag.OLDER_STATE) != 0
    assert older.any() and actions(episode)["older_state"] == "noted"
    differ = (episode.columns["observation.seq"] != whole.columns["observation.seq"]).nonzero()[0]
    assert len(differ) and set(differ) <= set(np.flatnonzero(older)), "another state is told"


def test_rows_of_a_hand_that_follows_nothing_are_not_valid(tmp_path: Path) -> None:
    (bag,) = write_night(tmp_path, trajectories=1)
    table = {"mode": 0}
    columns, findings = _with_states(bag.path, table)
    assert ((columns["flags"] & RowFlag.NOT_RUNNING) != 0).all() and not columns["valid"].any()
    assert "not_running" in findings


def _with_states(path: Path, changes: dict) -> tuple:
    """Columns and checks of a bag whose states had other values."""
    from dexndm_ros.datasets import convert_bag as module

    bag = open_bag(path)
    streams = Streams(bag, find_roles(bag, None))
    stretches = list(streams.stretches())
    assert len(stretches) == 1
    states = dict(stretches[0]["state"])
    for name, value in changes.items():
        states[name] = np.full_like(states[name], value)
    (cut,) = Assembler(CONFIG, (0.0, 0.0, 1.0), foreign=False).feed(
        {**stretches[0], "state": states}, last=True
    )
    loose = replace(CONFIG, limits=replace(CONFIG.limits, max_invalid_share=1.0))
    episode = module._episode(cut, bag, loose)
    return episode.columns, {each.check for each in episode.findings}


def test_a_policy_s_row_without_its_own_state_is_told(tmp_path: Path) -> None:
    write_policy_run(tmp_path)
    (path,) = tmp_path.iterdir()
    (whole,) = convert_bag(path, CONFIG).episodes
    assert whole.verdict == "keep" and whole.facts["kind"] == "policy"
    assert (whole.columns["flags"] & (RowFlag.OTHER_STATE | RowFlag.BY_TIME) == 0).all()


def test_copies_of_a_run_have_one_name_and_other_nights_another(tmp_path: Path) -> None:
    write_policy_run(tmp_path / "policy")
    (run,) = (tmp_path / "policy").iterdir()
    shutil.copytree(run, tmp_path / "copy")
    (file,) = (tmp_path / "copy").glob("*.mcap")
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * 0.8)])
    (whole,) = convert_bag(run, CONFIG).episodes
    (torn,) = convert_bag(tmp_path / "copy", CONFIG).episodes
    assert torn.identity == whole.identity and len(torn) < len(whole)
    _, first, _ = converted(tmp_path / "one", seed=1)
    _, second, _ = converted(tmp_path / "two", seed=2)
    assert first.identity != second.identity, "another seed is another recording"


def test_a_foreign_bag_whose_clock_is_set_back_is_cut_there(tmp_path: Path) -> None:
    known = write_joint_state_bag(tmp_path / "bag", seconds=20.0, clock_back_s=5.0)
    content = {"state": {"topic": "/joint_states"}, "command": {"topic": "/joint_commands"}}
    config = ConvertConfig(mapping=TopicMapping.parse({**content, "episode_s": 30}))
    result = convert_bag(tmp_path / "bag", config)
    first, second = result.episodes
    assert abs(len(first) - 200) <= 2 and abs(len(second) - 200) <= 2
    assert actions(second)["clock_jump"] == "flagged" and "by -4.9" in second.findings[0].text
    for episode, half in ((first, slice(None, 1000)), (second, slice(1000, None))):
        states, stamps = known["position"][half], known["state_ns"][half]
        at = np.searchsorted(stamps, episode.columns["action.stamp_ns"], side="right") - 1
        assert np.array_equal(episode.columns["observation.state"], states[at].astype(np.float32))
        assert (episode.columns["observation.stamp_ns"] <= episode.columns["action.stamp_ns"]).all()


def test_a_foreign_hand_that_nobody_commands_gives_no_rows_and_takes_no_memory(
    tmp_path: Path,
) -> None:
    content = {"state": {"topic": "/joint_states"}, "command": {"topic": "/joint_commands"}}
    config = ConvertConfig(mapping=TopicMapping.parse({**content, "episode_s": 2}))
    cutter = ForeignCutter(config)
    rows, most = 0, 0
    for k in range(20):
        at = np.arange(100) * 10_000_000 + k * 10**9 + 10**18
        states = {
            "stamp_ns": at,
            "log_ns": at,
            "place": at - 10**18,
            "position": np.zeros((100, 16)),
        }
        stretch = {"foreign_state": states}
        if k < 5:
            stretch["foreign_command"] = {name: column[::5] for name, column in states.items()}
        rows += sum(len(each.ticks) for each in cutter.feed(stretch, last=k == 19))
        most = max(most, *(size(table) for table in cutter._tables.values()))
    assert abs(rows - 5 * 20) <= 2
    assert most <= 400


def test_a_trajectory_left_in_its_middle_is_not_waited_for(tmp_path: Path) -> None:
    (bag,) = write_night(tmp_path, trajectories=1, steps=100)
    opened = open_bag(bag.path)
    streams = Streams(opened, find_roles(opened, None))
    (stretch,) = streams.stretches()
    assembler = Assembler(CONFIG, (0.0, 0.0, 0.0), foreign=False)
    assert list(assembler.feed(stretch, last=False)) == []
    cuts, most = [], 0
    idle = dict(stretch["state"])
    for k in range(1, 20):
        later = {**idle, "log_ns": idle["log_ns"] + k * 5_000_000_000}
        cuts += list(assembler.feed({"state": later}, last=False))
        most = max(most, size(assembler._tables["state"]))
    assert len(cuts) == 1 and len(cuts[0].ticks) == 100
    assert most < 4 * size(idle)


def test_a_topic_of_another_type_is_refused_by_name(tmp_path: Path) -> None:
    write_joint_state_bag(tmp_path / "bag", seconds=1.0, state_topic="/hand/state")
    with pytest.raises(BagRefusedError) as error:
        convert_bag(tmp_path / "bag", CONFIG)
    for words in ("/hand/state", "sensor_msgs/msg/JointState", "dexndm_msgs/msg/HandState"):
        assert words in str(error.value)


@pytest.mark.parametrize("left_out", ["monotonic_ns", "command_seq"])
def test_messages_of_another_version_are_read_by_their_own_definition_or_refused(
    tmp_path: Path, left_out: str
) -> None:
    write_older_night(tmp_path / "old", "dexndm_msgs/msg/HandState", left_out)
    if left_out == "command_seq":
        with pytest.raises(BagRefusedError, match=r"command_seq.*another version.*HandState"):
            convert_bag(tmp_path / "old", CONFIG)
        return
    (episode,) = convert_bag(tmp_path / "old", CONFIG).episodes
    assert len(episode) == 400 and episode.columns["valid"].all()
