# SPDX-License-Identifier: Apache-2.0
"""The made-up nights are like recorded ones: other tests and the benches stand on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rosbags.highlevel import AnyReader

from dexndm_ros.hand.guard import Guard, Mode
from dexndm_ros.recording.check import check_bag
from dexndm_ros.replay.noise import NoiseConfig, executed, noise
from support.nights import PolicyRunConfig, write_joint_state_bag, write_night, write_policy_run


def read(path: Path) -> dict[str, list]:
    found: dict[str, list] = {}
    with AnyReader([path]) as reader:
        for connection, _, raw in reader.messages():
            found.setdefault(connection.topic, []).append(
                reader.deserialize(raw, connection.msgtype)
            )
    return found


def test_every_message_says_what_it_was_made_of(tmp_path: Path) -> None:
    bag = write_night(tmp_path, 2, steps=40)[1]
    found = read(bag.path)
    assert check_bag(bag.path).complete
    steps, states = found["/replay/step"], found["/hand/state"]
    assert [each.step for each in steps] == list(range(40))
    clean, added = bag.clean_rad, noise(NoiseConfig(), bag.claim.seed)[:40]
    assert np.array_equal([each.clean_target for each in steps], clean)
    assert np.array_equal([each.noise for each in steps], added)
    assert np.array_equal([each.target for each in steps], executed(clean, added))
    of_number = {each.seq: each.position for each in found["/hand/command"]}
    assert all(np.array_equal(of_number[each.command_seq], each.target) for each in steps)
    assert np.array_equal([each.position for each in states], bag.states.position_rad)
    for state in states[20:]:
        assert np.array_equal(state.command, of_number[state.command_seq])
    assert found["/joint_states"][0].name[4] == "middle_mcp_side"


def test_states_tell_what_the_guard_would_have_decided(tmp_path: Path) -> None:
    bag = write_night(tmp_path, 1, steps=40)[0]
    sent, seen = bag.commands, bag.states
    guard = Guard()
    guard.enable(sent.target_rad[0])
    next_command = 0
    for k in range(1, len(seen.seq)):
        decided_ns = int(seen.decided_ns[k])
        while next_command < len(sent.seq) and sent.arrived_ns[next_command] <= decided_ns:
            arrived_s = sent.arrived_ns[next_command] / 1e9
            guard.accept(
                sent.target_rad[next_command], int(sent.seq[next_command]), "replay", arrived_s
            )
            next_command += 1
        out = guard.tick(seen.position_rad[k - 1], decided_ns / 1e9)
        assert out.mode is Mode.ACTIVE or k < 5
        assert out.command_seq == sent.seq[seen.in_force[k]]
        assert np.array_equal(out.target, seen.command_rad[k])


def test_faults_are_where_they_were_asked_for(tmp_path: Path) -> None:
    whole = write_night(tmp_path / "whole", 1, steps=40)[0]
    torn = write_night(
        tmp_path / "torn", 1, steps=40, drop_states=((5, 3),), missed_cycles=((9, 2),),
        duplicate_states=((12, 1),), swap_states=(15,), clock_jump=((20, 0.5),), nan=((22, 3),),
        stuck=((2, 25, 4),), saturated=((1, 30, 2),), drop_steps=(33,), drop_commands=(34,),
        passed_over=(36,), permuted_joints=True,
    )[0]  # fmt: skip
    good, bad = read(whole.path), read(torn.path)
    assert len(good["/hand/state"]) - len(bad["/hand/state"]) == 3 + 2 - 1
    numbers = np.array([each.seq for each in bad["/hand/state"]])
    assert sorted(np.diff(numbers).tolist()) == [-1, 0] + [1] * (len(numbers) - 7) + [2, 2, 3, 4]
    offset = np.array([_stamp_ns(each) - each.monotonic_ns for each in bad["/hand/state"]])
    assert np.unique(np.diff(offset)).tolist() == [0, 500_000_000]
    positions = np.array([each.position for each in bad["/hand/state"]])
    assert np.isnan(positions).any(axis=0).tolist() == [k == 3 for k in range(16)]
    assert (np.diff(positions[:, 2]) == 0).sum() >= 18
    assert np.array([each.current[1] == 0.5 for each in bad["/hand/state"]]).sum() in range(9, 12)
    assert 33 not in [each.step for each in bad["/replay/step"]]
    assert len(good["/hand/command"]) - len(bad["/hand/command"]) == 1
    in_force = {each.command_seq for each in bad["/hand/state"]}
    assert int(torn.command_seq[36]) not in in_force
    assert bad["/joint_states"][0].name != good["/joint_states"][0].name
    assert torn.lost == 3 + 1 + 1 <= check_bag(torn.path).lost


@pytest.mark.parametrize("fault", [{"flip_byte": 0.5}, {"truncate": 0.5}, {"unfinished": True}])
def test_damaged_files_are_not_whole(tmp_path: Path, fault: dict) -> None:
    bag = write_night(tmp_path, 1, steps=40, **fault)[0]
    assert not check_bag(bag.path).complete


def test_another_drivers_bag_reads_as_it_was_written(tmp_path: Path) -> None:
    truth = write_joint_state_bag(tmp_path / "bag", ["b", "a"], seconds=1.0)
    found = read(tmp_path / "bag")
    assert np.array_equal([each.position for each in found["/joint_states"]], truth["position"])
    assert np.array_equal([each.position for each in found["/joint_commands"]], truth["command"])
    assert _stamp_ns(found["/joint_states"][7]) == truth["state_ns"][7]


def test_a_policy_run_has_what_its_session_decided(tmp_path: Path) -> None:
    run = write_policy_run(tmp_path, PolicyRunConfig(ticks=60, stop=(40, 6)))
    assert check_bag(run.path).complete
    found = read(run.path)
    steps = found["/policy/step"]
    assert [each.seq for each in steps] == list(range(60))
    assert [each.stopped for each in steps] == [tick.stopped for tick in run.ticks]
    assert sum(tick.action is not None for tick in run.ticks) > 20
    for step, tick in zip(steps, run.ticks, strict=True):
        if tick.action is not None:
            assert np.array_equal(step.target, tick.action.target)
    followed = {state.command_seq for state in found["/hand/state"] if state.command_source}
    assert followed >= set(range(1, 55))


def _stamp_ns(message) -> int:
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
