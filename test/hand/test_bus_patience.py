# SPDX-License-Identifier: Apache-2.0
"""Setting up on a machine that is held up, or a bus that loses replies."""

from __future__ import annotations

import pytest

from dexndm_ros.hand.bus import BusConfig, DynamixelBus
from dexndm_ros.hand.errors import NoReplyError
from dexndm_ros.hand.profile import profile_by_name
from dexndm_ros.hand.startup import bring_up, torque_off, torque_on
from dexndm_ros.sim.plant import JointPlant
from dexndm_ros.sim.rig import ServoRig

LOSS = 0.3


def test_a_third_of_the_replies_lost_costs_time_and_not_the_start() -> None:
    profile = profile_by_name("full")
    with ServoRig(JointPlant()) as rig, DynamixelBus(BusConfig(rig.port)) as bus:
        rig.inject("lost_reply", probability=LOSS)
        assert list(bring_up(bus, profile).motors) == list(range(16))
        torque_on(bus, profile)
        rig.inject("clear")
        assert torque_off(bus) == ()


def test_patience_ends_with_its_block() -> None:
    with ServoRig(JointPlant()) as rig, DynamixelBus(BusConfig(rig.port)) as bus:
        rig.inject("lost_reply", motor=3, probability=LOSS)
        with bus.patient():
            assert {bus.read_register(3, "id") for _ in range(50)} == {3}
        with pytest.raises(NoReplyError, match="motor 3"):
            for _ in range(1000):
                bus.read_register(3, "id")


def test_a_motor_that_is_not_there_is_missing_all_the_same() -> None:
    with ServoRig(JointPlant()) as rig, DynamixelBus(BusConfig(rig.port)) as bus:
        rig.inject("silent_motor", motor=3)
        assert list(bus.ping_all()) == [k for k in range(16) if k != 3]
