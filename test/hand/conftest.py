# SPDX-License-Identifier: Apache-2.0
"""A hand of emulated servos for the bus tests, on a real pty, with the real SDK in between."""

import time

import pytest

from dexndm_ros.hand.bus import BusConfig, DynamixelBus
from dexndm_ros.sim.plant import JointPlant
from dexndm_ros.sim.rig import RigConfig, ServoRig

# The emulator shares this process and perhaps a busy machine: patience costs nothing where all answer.
PATIENT = {"reply_timeout_s": 0.1, "gap_s": 0.05}


@pytest.fixture
def make_rig(tmp_path):
    """Start rigs with a configuration; all are closed at the end.

    Each has a link of its own: the name of a pty is given to the next one that is opened, perhaps by another test at
    the same time, and a driver whose cable was pulled would find that one's hand behind it.
    """
    rigs = []

    def make(config=None, position_rad=None):
        link = tmp_path / f"rig_{len(rigs)}"
        rig = ServoRig(JointPlant(position_rad=position_rad), link, config or RigConfig())
        rig.start()
        rigs.append(rig)
        return rig

    yield make
    for rig in rigs:
        rig.close()


@pytest.fixture
def rig(make_rig):
    return make_rig()


@pytest.fixture
def open_bus():
    """Open buses on a port; all are closed at the end."""
    buses = []

    def make(port, **config):
        bus = DynamixelBus(BusConfig(port, **{**PATIENT, **config}))
        bus.open()
        buses.append(bus)
        return bus

    yield make
    for bus in buses:
        bus.close()


@pytest.fixture
def bus(rig, open_bus):
    return open_bus(rig.port)


def wait_until(condition, timeout_s=20.0):
    """Poll until the condition holds; fails loudly when it never does."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.002)


@pytest.fixture(name="wait_until")
def wait_until_fixture():
    return wait_until
