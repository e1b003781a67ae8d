# SPDX-License-Identifier: Apache-2.0
"""Bring-up, torque and restart of emulated motors: everything set and read back, and nothing moves."""

from dataclasses import replace

import numpy as np
import pytest

from dexndm_ros.hand.errors import (
    HandBusError,
    MotorHardwareError,
    MotorMissingError,
    PortLostError,
    VerifyError,
    WrongModelError,
    ZeroPositionError,
)
from dexndm_ros.hand.profile import PROFILES, profile_by_name
from dexndm_ros.hand.startup import (
    bring_up,
    implausible_angles,
    reboot_and_restore,
    recover,
    torque_off,
    torque_on,
)
from dexndm_ros.sim.rig import RigConfig

FULL = PROFILES["full"]
POSE = np.array([0.1, 0.5, 0.4, 0.3] * 3 + [0.8, 0.5, 0.2, 0.1])


def torques(rig):
    return [servo.torque_on for servo in rig.bank.servos]


def registers(rig, name):
    return [servo.get(name) for servo in rig.bank.servos]


def test_factory_motors_are_set_up_completely_and_stay_limp(make_rig, open_bus):
    rig = make_rig(RigConfig(return_delay_us=500), POSE)
    report = bring_up(open_bus(rig.port), FULL)
    assert registers(rig, "operating_mode") == [5] * 16
    assert registers(rig, "return_delay_time") == [0] * 16
    assert registers(rig, "position_p_gain") == [600, 800, 800, 800] * 3 + [800] * 4
    assert registers(rig, "position_d_gain") == [150, 200, 200, 200] * 3 + [200] * 4
    assert registers(rig, "position_i_gain") == [0] * 16
    assert registers(rig, "goal_current") == [500] * 16
    assert registers(rig, "goal_position") == registers(rig, "present_position")
    assert not any(torques(rig))
    np.testing.assert_allclose(report.position_rad, POSE, atol=0.001)
    assert (3, "operating_mode", 3, 5) in report.changed
    assert report.fast_read
    assert report.warnings == ()
    assert report.motors[7] == (1240, 52)


def test_motors_left_running_by_another_program_are_taken_over(rig, open_bus):
    """Torque on, silent on writes, watchdog tripped, reversed, torque-on-by-goal: all in one hand."""
    servos = rig.bank.servos
    for name, value in {"status_return_level": 0, "drive_mode": 9, "homing_offset": 100,
                        "profile_velocity": 125, "startup_configuration": 1}.items():  # fmt: skip
        servos[2].set(name, value)
    servos[2].set("torque_enable", 1)
    servos[3].set("bus_watchdog", -1)
    report = bring_up(open_bus(rig.port), FULL)
    table = {name: servos[2].get(name) for name in ("status_return_level", "drive_mode",
             "homing_offset", "profile_velocity", "startup_configuration")}  # fmt: skip
    assert table == {"status_return_level": 2} | dict.fromkeys(list(table)[1:], 0)
    assert registers(rig, "bus_watchdog") == [0] * 16
    assert not any(torques(rig))
    assert (2, "drive_mode", 9, 0) in report.changed


def test_the_second_bring_up_changes_nothing(bus):
    bring_up(bus, FULL)
    assert bring_up(bus, FULL).changed == ()


def test_a_lower_current_limit_in_a_motor_is_respected(rig, bus):
    rig.bank.servos[6].set("current_limit", 350)
    bring_up(bus, FULL)
    assert registers(rig, "goal_current") == [350 if k == 6 else 500 for k in range(16)]
    torque_on(bus, FULL)
    torque_off(bus)


def test_a_missing_motor_is_named_and_nobody_gets_torque(rig, open_bus):
    rig.inject("silent_motor", 11)
    with pytest.raises(MotorMissingError, match="motor 11 did not answer") as caught:
        bring_up(open_bus(rig.port, reply_timeout_s=0.03), FULL)
    assert caught.value.missing == (11,)
    assert not any(torques(rig))


def test_a_motor_of_another_model_is_refused_and_nobody_gets_torque(make_rig, open_bus):
    rig = make_rig(RigConfig(other_models={4: 1200}))
    bus = open_bus(rig.port)
    for servo in rig.bank.servos:
        servo.set("torque_enable", 1)
    with pytest.raises(WrongModelError, match=r"motor 4: model 1200.*drives model 1240"):
        bring_up(bus, FULL)
    assert not any(torques(rig))
    assert registers(rig, "operating_mode") == [3] * 16


def test_a_lite_hand_needs_the_lite_profile(make_rig, open_bus):
    bus = open_bus(make_rig(RigConfig(model_number=1200)).port)
    with pytest.raises(WrongModelError, match="'lite' for XL330"):
        bring_up(bus, FULL)
    bring_up(bus, PROFILES["lite"])
    assert bus.read_register(0, "goal_current") == 300


def test_a_horn_mounted_a_quarter_turn_off_is_refused(make_rig, open_bus):
    rig = make_rig(RigConfig(horn_offset_rad={12: np.pi / 2, 1: -np.pi / 2}))
    with pytest.raises(ZeroPositionError, match=r"index_mcp_forward.*-90 deg"):
        bring_up(open_bus(rig.port), FULL)
    assert not any(torques(rig))


@pytest.mark.parametrize(
    ("angles", "names"),
    [
        ({}, []),
        ({0: 0.0, 1: 2.5, 13: -0.8, 99: 50.0}, []),
        ({1: 2.7}, ["index_mcp_forward"]),
        ({15: np.pi, 8: 3 * np.pi / 2}, ["ring_mcp_side", "thumb_ipl"]),
    ],
)
def test_angles_far_outside_the_limits_are_implausible(angles, names):
    details = implausible_angles(angles)
    assert len(details) == len(names)
    assert all(name in detail for name, detail in zip(names, details, strict=True))


def test_a_shut_down_motor_stops_bring_up_until_recovery(rig, bus, wait_until):
    bring_up(bus, FULL)
    rig.inject("overload", 9)
    wait_until(lambda: rig.bank.servos[9].alert)
    with pytest.raises(MotorHardwareError, match="motor 9: overload"):
        bring_up(bus, FULL)
    with pytest.raises(MotorHardwareError):
        torque_on(bus, FULL)
    assert not any(torques(rig))
    report = recover(bus, FULL)
    assert {(k, name) for k, name, _, _ in report.changed} == {
        (9, "position_p_gain"), (9, "position_d_gain"), (9, "goal_current"),
    }  # fmt: skip
    assert not any(torques(rig))
    torque_on(bus, FULL)
    assert all(torques(rig))


def test_torque_on_holds_the_measured_pose_with_the_watchdog_armed(make_rig, open_bus, wait_until):
    rig = make_rig(position_rad=POSE.copy())
    bus = open_bus(rig.port)
    bring_up(bus, FULL)
    # Somebody moves the hand between bring-up and enabling: the old goals must not pull it back.

    def moved():  # the physics thread may be in the middle of a step: until it has taken
        rig.plant.position_rad = POSE + 0.1
        return np.abs(bus.read_state().position_rad - POSE - 0.1).max() < 0.002

    wait_until(moved)
    held = torque_on(bus, replace(FULL, bus_watchdog_s=2.0))
    assert all(torques(rig))
    assert registers(rig, "bus_watchdog") == [100] * 16
    np.testing.assert_allclose(held, POSE + 0.1, atol=0.002)
    for _ in range(20):
        np.testing.assert_allclose(bus.read_state().position_rad, held, atol=0.005)
    assert torque_off(bus) == ()
    assert not any(torques(rig))
    bus.ping(0)  # behind the last packet, which has no answer
    assert registers(rig, "bus_watchdog") == [0] * 16


def test_torque_is_refused_to_a_motor_that_lost_its_settings(rig, bus):
    bring_up(bus, FULL)
    bus.reboot(5)  # a power dip: gains and current limit are back at the factory's
    for _ in range(100):
        try:
            bus.ping(5)
            break
        except HandBusError:
            continue
    with pytest.raises(VerifyError, match="motor 5: position_p_gain reads 1100"):
        torque_on(bus, FULL)
    assert not any(torques(rig))


def test_torque_goes_off_again_when_one_motor_fails_to_get_it(rig, open_bus):
    bus = open_bus(rig.port, reply_timeout_s=0.03)
    bring_up(bus, FULL)
    rig.inject("silent_motor", 15)
    with pytest.raises(HandBusError, match="motor 15"):
        torque_on(bus, FULL)
    assert not any(torques(rig)[:15])


def test_torque_off_names_the_motors_that_do_not_confirm(rig, open_bus):
    bus = open_bus(rig.port, reply_timeout_s=0.03)
    bring_up(bus, FULL)
    torque_on(bus, replace(FULL, bus_watchdog_s=2.5))
    rig.inject("silent_motor", 3)
    assert torque_off(bus) == (3,)
    assert not any(torques(rig)[:3] + torques(rig)[4:])


def test_torque_off_without_a_port_is_an_error(make_rig, open_bus):
    rig = make_rig()
    bus = open_bus(rig.port)
    bring_up(bus, FULL)
    rig.close()
    with pytest.raises(PortLostError):
        torque_off(bus)


def test_one_motor_is_restarted_while_the_others_hold(rig, bus):
    bring_up(bus, FULL)
    held = torque_on(bus, replace(FULL, bus_watchdog_s=2.5))
    rig.bank.servos[5].set("position_p_gain", 1)
    changed = reboot_and_restore(bus, FULL, [5])
    assert (5, "position_p_gain", 1100, 800) in changed
    assert torques(rig) == [k != 5 for k in range(16)]
    assert bus.read_register(5, "goal_current") == 500
    np.testing.assert_allclose(bus.read_state().position_rad, held, atol=0.005)
    torque_on(bus, FULL, [5])
    assert all(torques(rig))


def test_a_motor_that_does_not_come_back_is_named(rig, open_bus):
    bus = open_bus(rig.port, reply_timeout_s=0.02)
    rig.inject("silent_motor", 8)
    with pytest.raises(HandBusError, match="motor 8"):
        reboot_and_restore(bus, FULL, [8], timeout_s=0.1)


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        ({"current_limit_ma": 0}, "1..2352"),
        ({"current_limit_ma": 2353}, "1..2352"),
        ({"p_gain": 16384}, "p_gain"),
        ({"d_gain": -1}, "d_gain"),
        ({"bus_watchdog_s": 0.0}, "bus_watchdog_s"),
        ({"bus_watchdog_s": 3.0}, "bus_watchdog_s"),
    ],
)
def test_profiles_that_motors_would_refuse_are_refused(bad, word):
    with pytest.raises(ValueError, match=word):
        replace(FULL, **bad)


def test_unknown_profiles_are_named_with_the_known_ones():
    with pytest.raises(ValueError, match="'medium'; known profiles: full, lite"):
        profile_by_name("medium")
