# SPDX-License-Identifier: Apache-2.0
"""What a policy decided is computed again from the states that it saw."""

import dataclasses

import numpy as np
import pytest

from dexndm_ros.playback import policy_check
from dexndm_ros.playback.check_types import CheckError
from dexndm_ros.playback.policy_check import check_policy, find_policy
from dexndm_ros.policy.onnx_file import fingerprint
from dexndm_ros.policy.spec import PolicySpecError
from support.decisions import changed, policy_run, without
from support.tiny_policy import residual_spec, write_tiny_policy

TICKS = 60
PAUSES = (30, 31, 40)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A policy and a residual that look at all of their input."""
    folder, rng = tmp_path_factory.mktemp("policy"), np.random.default_rng(0)
    policy = write_tiny_policy(
        folder / "policy.onnx", weight=rng.normal(size=(327, 16)) * 0.1, bias=rng.normal(size=16)
    )
    residual = write_tiny_policy(
        folder / "residual.onnx",
        weight=rng.normal(size=(343, 16)) * 0.01,
        spec=residual_spec(0.05),
    )
    return policy, residual


@pytest.fixture(scope="module")
def recorded(files):
    return policy_run(*files, TICKS, pauses=PAUSES)


@pytest.fixture(scope="module")
def plain(files):
    return policy_run(files[0], None, TICKS, pauses=PAUSES)


def ran(recorded):
    return np.flatnonzero(np.any(recorded.policy_steps["axis"], axis=1))


def test_a_run_is_the_same_to_the_last_bit_also_after_holds(recorded, files):
    result = check_policy(recorded, *files)
    assert result.diverged == 0, result.first
    assert result.equal == len(ran(recorded)) > 40
    assert result.unknown == {policy_check.NOT_RUN: TICKS - result.equal}
    assert not result.notes


@pytest.mark.parametrize("begin", [3, 12, 20])
def test_a_bag_that_begins_in_mid_run_is_checked_from_its_tenth_tick_on(recorded, files, begin):
    first = ran(recorded)[0] + begin
    late = dataclasses.replace(
        recorded, policy_steps=without(recorded.policy_steps, slice(0, first))
    )
    result = check_policy(late, *files)
    assert result.diverged == 0
    before_pause = PAUSES[0] - first
    # With a residual a held target does not tell the base action that the next run goes on from.
    unknown = min(before_pause, 10)
    assert result.unknown[policy_check.NO_HISTORY] == unknown
    assert result.equal == len(ran(recorded)) - begin - unknown


def test_without_a_residual_the_held_target_tells_where_the_next_run_begins(plain, files):
    late = dataclasses.replace(plain, policy_steps=without(plain.policy_steps, slice(0, PAUSES[0])))
    result = check_policy(late, files[0])
    assert result.diverged == 0
    assert result.unknown == {policy_check.NOT_RUN: len(PAUSES)}


def test_a_refused_residual_did_not_run_then_and_does_not_now(files, tmp_path):
    residual = write_tiny_policy(
        tmp_path / "refused.onnx", bias=np.full(16, 0.04), spec=residual_spec(refused="a delay")
    )
    recorded = policy_run(files[0], residual, TICKS, pauses=PAUSES)
    assert not recorded.policy_steps["residual_action"].any()
    result = check_policy(recorded, files[0], residual)
    assert result.diverged == 0
    assert result.equal == len(ran(recorded)) > 40
    (note,) = result.notes
    assert "a delay" in note
    # Its held targets are base actions: they tell where the next run begins, as without a residual.
    late = dataclasses.replace(
        recorded, policy_steps=without(recorded.policy_steps, slice(0, PAUSES[0]))
    )
    assert check_policy(late, files[0], residual).unknown == {policy_check.NOT_RUN: len(PAUSES)}


def test_missing_ticks_and_states_are_said_and_the_rest_is_checked(recorded, files):
    row = ran(recorded)[3]
    ticks = dataclasses.replace(recorded, policy_steps=without(recorded.policy_steps, row))
    result = check_policy(ticks, *files)
    assert result.diverged == 0 and result.unknown[policy_check.NO_HISTORY] == 10
    seen = recorded.policy_steps["observation_seq"][row]
    states = dataclasses.replace(recorded, states=without(recorded.states, int(seen) - 1))
    result = check_policy(states, *files)
    assert result.diverged == 0
    assert result.unknown[policy_check.NO_STATE] == 1
    # The pair of that tick is in the histories of the nine that follow.
    assert result.unknown[policy_check.NO_HISTORY] == 9


def test_another_policy_diverges_at_the_first_tick_in_which_it_ran(recorded, files, tmp_path):
    other = write_tiny_policy(tmp_path / "other.onnx", bias=np.full(16, 0.3))
    result = check_policy(recorded, other, files[1])
    assert result.equal == 0 and result.diverged == len(ran(recorded))
    assert result.first.tick == recorded.policy_steps["seq"][ran(recorded)[0]]
    assert result.first.field == "base_action"
    assert result.max_difference_rad.max() >= result.first.size > 1e-3


def test_a_change_of_one_bit_is_found_at_its_tick_and_joint(recorded, files):
    row, joint = ran(recorded)[7], 11
    base = recorded.policy_steps["target"][row].copy()
    base[joint] = np.nextafter(base[joint], 10.0)
    steps = changed(recorded.policy_steps, "target", row, base)
    result = check_policy(dataclasses.replace(recorded, policy_steps=steps), *files)
    assert result.diverged == 1
    assert (result.first.tick, result.first.joint) == (recorded.policy_steps["seq"][row], joint)
    assert result.first.field == "target" and 0.0 < result.first.size < 1e-15
    assert "rounding" in result.notes[-1]


def test_a_state_that_was_another_diverges_as_long_as_it_is_remembered(recorded, files):
    row = ran(recorded)[2]
    at = int(recorded.policy_steps["observation_seq"][row]) - 1
    states = changed(recorded.states, "position", at, recorded.states["position"][at] + 0.01)
    result = check_policy(dataclasses.replace(recorded, states=states), *files)
    assert result.diverged == 10
    assert result.first.tick == recorded.policy_steps["seq"][row]


def test_of_two_states_of_one_number_the_one_near_the_tick_was_seen(recorded, files):
    far = {name: values.copy() for name, values in recorded.states.items()}
    far["log_ns"] = far["log_ns"] + 3_600_000_000_000
    far["position"] = far["position"] + 1.0
    both = {name: np.concatenate([recorded.states[name], far[name]]) for name in far}
    assert check_policy(dataclasses.replace(recorded, states=both), *files).diverged == 0


def test_the_files_are_those_that_the_bag_names_by_their_fingerprints(recorded, files, tmp_path):
    policy, residual = files
    told = {
        "policy": str(policy),
        "policy sha256": fingerprint(policy),
        "residual": str(residual),
        "residual sha256": fingerprint(residual),
    }
    bag = dataclasses.replace(recorded, policy=told)
    assert find_policy(bag) == (policy, residual, ())
    other = write_tiny_policy(tmp_path / "other.onnx")
    found = find_policy(bag, other)
    assert found[:2] == (other, None) and len(found[2]) == 2
    assert "another policy file" in found[2][0] and "another residual file" in found[2][1]
    moved = dataclasses.replace(bag, policy={**told, "policy": "/nowhere/policy.onnx"})
    with pytest.raises(CheckError, match="--policy"):
        find_policy(moved)
    with pytest.raises(CheckError, match="--policy"):
        find_policy(recorded)
    with pytest.raises(CheckError, match="no policy 'nonsense'"):
        find_policy(recorded, "nonsense")


def test_what_cannot_be_checked_is_refused(recorded, files, tmp_path):
    with pytest.raises(CheckError, match="policy/step"):
        check_policy(dataclasses.replace(recorded, policy_steps={}), *files)
    with pytest.raises(CheckError, match="hand/state"):
        check_policy(dataclasses.replace(recorded, states={}), *files)
    (tmp_path / "text.onnx").write_text("no policy")
    with pytest.raises(PolicySpecError):
        check_policy(recorded, tmp_path / "text.onnx")
