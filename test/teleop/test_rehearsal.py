# SPDX-License-Identifier: Apache-2.0
"""The operator that is written down: what ships is what the script makes, and a real bridge follows it."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from dexndm_ros.paths import share_dir
from dexndm_ros.teleop.bridge import ArmSeen, Bridge
from dexndm_ros.teleop.bulb import OPERATOR, READY_RAD, socket_palm
from dexndm_ros.teleop.chain import PALM_ON_FLANGE, ArmChain
from dexndm_ros.teleop.clutch import State
from dexndm_ros.teleop.errors import RecordingError
from dexndm_ros.teleop.limiter import LimiterConfig
from dexndm_ros.teleop.recording import read_samples
from dexndm_ros.teleop.rehearsal import FRAME_S, Step, main, rehearse, write_session

SHIPPED = share_dir() / "config" / "teleop" / "sessions" / "light_bulb.jsonl.gz"
READY = ArmChain(PALM_ON_FLANGE).pose(np.array(READY_RAD))


def test_what_ships_is_what_the_script_makes(tmp_path) -> None:
    made = tmp_path / "session.jsonl.gz"
    assert main([str(made)]) == 0
    assert gzip.decompress(made.read_bytes()) == gzip.decompress(SHIPPED.read_bytes())


def test_an_arm_that_follows_it_reaches_the_socket_and_comes_back_inside_its_limits() -> None:
    bridge, pose, limits = Bridge(), READY, LimiterConfig()
    places, axes, faults = [], [], set()
    for sample in rehearse(OPERATOR):
        now_s = sample.arrived_s
        decision = bridge.tick(now_s, sample, ArmSeen(pose, pose))
        if decision.state is State.FAULT_HOLD:
            faults.add(decision.reason)
        if decision.target is not None:
            pose = decision.target
        places.append(pose.position_m)
        axes.append(float(decision.axis[2]))
    assert not faults
    way = np.array(places)
    socket = socket_palm(READY).position_m
    assert np.linalg.norm(way - socket, axis=1).min() < 0.01
    np.testing.assert_allclose(way[-1], way[0], atol=0.005)
    assert (way > limits.box_lower_m).all() and (way < limits.box_upper_m).all()
    speed = np.linalg.norm(np.diff(way, axis=0), axis=1) / FRAME_S
    assert np.convolve(speed, np.ones(10) / 10).max() < limits.speed_m_s
    changes = [int(z) for z, before in zip(axes, [0.0, *axes], strict=False) if z != before]
    assert changes == [1, 0, 1, 0, 1, 0, -1, 0]
    assert axes[-1] == 0.0


def test_a_packed_session_is_the_session(tmp_path) -> None:
    file = tmp_path / "short.jsonl.gz"
    write_session(file, [Step(0.1, grip=True, button="Y", by_m=(0.0, 0.01, 0.0))])
    told = list(read_samples(file))
    assert told == list(rehearse([Step(0.1, grip=True, button="Y", by_m=(0.0, 0.01, 0.0))]))
    assert told[-1].left is not None and told[-1].left.buttons == {"Y"}


@pytest.mark.parametrize("cut", [5, 60, -9])
def test_a_packed_session_that_was_cut_is_refused_in_words(tmp_path, cut) -> None:
    file = tmp_path / "short.jsonl.gz"
    write_session(file, [Step(0.5)])
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises(RecordingError, match="cannot be read"):
        list(read_samples(file))


@pytest.mark.parametrize("wrong", [{"seconds": 0.0}, {"seconds": 1.0, "button": "A"}])
def test_a_step_that_no_hand_can_do_is_refused(wrong) -> None:
    with pytest.raises(ValueError):
        Step(**wrong)
