# SPDX-License-Identifier: Apache-2.0
"""Targets of the Chaos Box come out of library and seed again, to the last bit."""

import dataclasses

import numpy as np
import pytest

from dexndm_ros.playback.check_types import CheckError
from dexndm_ros.playback.recorded import read_recorded
from dexndm_ros.playback.replay_check import check_replay_steps
from support.decisions import changed
from support.nights import write_night

LIBRARY = "cylinder_z"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    (bag,) = write_night(tmp_path_factory.mktemp("night"), trajectories=1, steps=60)
    return read_recorded(bag.path)


def test_every_step_is_the_same_to_the_last_bit(recorded):
    result = check_replay_steps(recorded, LIBRARY)
    assert (result.equal, result.diverged, result.unknown, result.notes) == (60, 0, {}, ())
    assert result.facts["noise_probability"] == 0.5
    alone = check_replay_steps(recorded)
    assert alone.equal == 60 and "--library" in alone.notes[0]


@pytest.mark.parametrize("field", ["clean_target", "noise", "target"])
def test_a_bit_that_differs_is_found_at_its_step_and_joint(recorded, field):
    value = recorded.replay_steps[field][17].copy()
    value[9] = np.nextafter(value[9], 10.0)
    steps = changed(recorded.replay_steps, field, 17, value)
    first = check_replay_steps(dataclasses.replace(recorded, replay_steps=steps), LIBRARY).first
    assert (first.tick, first.joint, first.field) == (17, 9, field)


def test_a_command_that_is_not_the_target_is_found(recorded):
    row = int(
        np.flatnonzero(recorded.commands["seq"] == recorded.replay_steps["command_seq"][4])[0]
    )
    sent = changed(recorded.commands, "position", row, recorded.commands["position"][row] + 0.1)
    first = check_replay_steps(dataclasses.replace(recorded, commands=sent)).first
    assert (first.tick, first.field) == (4, "HandCommand.position")
    assert first.size == pytest.approx(0.1)


def test_another_noise_diverges(recorded):
    data = {**recorded.custom_data, "noise_sigma_rad": "0.02"}
    result = check_replay_steps(dataclasses.replace(recorded, custom_data=data))
    assert result.diverged > 10 and result.first.field == "noise"


def test_what_cannot_be_checked_is_refused(recorded):
    with pytest.raises(CheckError, match="replay/step"):
        check_replay_steps(dataclasses.replace(recorded, replay_steps={}))
    with pytest.raises(CheckError, match="nothing_of_the_kind"):
        check_replay_steps(recorded, "nothing_of_the_kind")
    with pytest.raises(CheckError, match="sigma_rad"):
        data = {"noise_probability": "0.5", "noise_sigma_rad": "7"}
        check_replay_steps(dataclasses.replace(recorded, custom_data=data))
    data = {key: text for key, text in recorded.custom_data.items() if "noise" not in key}
    result = check_replay_steps(dataclasses.replace(recorded, custom_data=data))
    assert result.diverged == 0 and "default" in result.notes[0]
    other = {**recorded.custom_data, "library_sha256": "0" * 64}
    result = check_replay_steps(dataclasses.replace(recorded, custom_data=other), LIBRARY)
    assert "another library" in result.notes[0]
