# SPDX-License-Identifier: Apache-2.0
"""What the registers make the motors do, and what the motors report."""

import mujoco
import numpy as np
import pytest

from dexndm_ros.hand.joints import JOINT_NAMES
from dexndm_ros.hand.units import (
    VELOCITY_UNIT_RAD_S,
    XC330_M288,
    per_joint_gains,
    rad_from_ticks,
    servo_gains,
    ticks_from_rad,
)
from dexndm_ros.sim.motors import MotorBankConfig
from dexndm_ros.sim.plant import JointPlant, MujocoPlant
from dexndm_ros.sim.protocol2 import Instruction
from dexndm_ros.sim.scene import build_model
from dexndm_ros.sim.worlds import World
from support.emulated import EmulatedHand


@pytest.fixture
def hand():
    hand = EmulatedHand()
    hand.switch_on()
    return hand


def positions(hand):
    return np.array([s.get("present_position") for s in hand.servos])


def test_goals_in_motor_order_are_reached(hand):
    goals = 2048 + 20 * np.arange(16)
    hand.sync_write("goal_position", dict(enumerate(goals.tolist())))
    hand.run(1.0)
    assert np.abs(positions(hand) - goals).max() <= 6  # dry friction and no integral gain
    np.testing.assert_allclose(hand.plant.position_rad, rad_from_ticks(goals), atol=0.01)


def test_without_torque_nothing_moves_but_everything_reads():
    hand = EmulatedHand()
    hand.sync_write("goal_position", dict.fromkeys(range(16), 3000))
    hand.run(0.5)
    assert (positions(hand) == 2048).all()


def test_velocity_and_current_have_the_sign_of_the_motion(hand):
    hand.sync_write("goal_position", {k: 2600 if k % 2 else 1700 for k in range(16)})
    hand.run(0.03)
    sign = np.array([1 if k % 2 else -1 for k in range(16)])
    velocity = np.array([s.get("present_velocity") for s in hand.servos])
    assert (velocity * sign > 0).all()
    np.testing.assert_allclose(
        velocity * VELOCITY_UNIT_RAD_S, hand.plant.velocity_rad_s, atol=VELOCITY_UNIT_RAD_S
    )
    current = np.array([s.get("present_current") for s in hand.servos])
    np.testing.assert_allclose(
        current * XC330_M288.nm_per_a / 1000, hand.plant.torque_nm, atol=XC330_M288.nm_per_a / 1000
    )
    assert all(s.get("moving") for s in hand.servos)


def test_goal_current_limits_the_torque(hand):
    hand.sync_write("goal_current", {k: 10 * k for k in range(16)})
    hand.sync_write("goal_position", dict.fromkeys(range(16), 3000))
    hand.run(0.01)
    current = [s.get("present_current") for s in hand.servos]
    assert current == pytest.approx([10 * k for k in range(16)], abs=1)


def test_the_law_is_the_one_conversion_of_servo_units():
    """In the nominal world the hand behind the bus is the hand that training compiled."""
    world = World()
    model = build_model(world)
    trained = (
        model.actuator_gainprm.copy(),
        model.actuator_biasprm.copy(),
        model.actuator_forcerange.copy(),
    )
    plant = MujocoPlant(model, mujoco.MjData(model))
    hand = EmulatedHand(plant=plant, bank_options={"true_gains": world.servo.true_gains})
    hand.switch_on(current_ma=500)
    hand.sync_write("position_p_gain", dict(enumerate(per_joint_gains(800).tolist())))
    hand.sync_write("position_d_gain", dict(enumerate(per_joint_gains(200).tolist())))
    hand.run(0.01)
    for now, then in zip(
        (model.actuator_gainprm, model.actuator_biasprm, model.actuator_forcerange),
        trained,
        strict=True,
    ):
        np.testing.assert_allclose(now, then, rtol=1e-12, atol=1e-15)


def test_step_responses_agree_with_the_training_hand():
    world = World(object=World().object.__class__(kind="none"))
    direct = build_model(world)
    direct_data = mujoco.MjData(direct)
    model = build_model(world)
    hand = EmulatedHand(plant=MujocoPlant(model, mujoco.MjData(model)))
    hand.switch_on(current_ma=500)
    hand.sync_write("position_p_gain", dict(enumerate(per_joint_gains(800).tolist())))
    hand.sync_write("position_d_gain", dict(enumerate(per_joint_gains(200).tolist())))
    target = rad_from_ticks(ticks_from_rad(np.full(16, 0.35)))
    hand.sync_write("goal_position", dict(enumerate(ticks_from_rad(target).tolist())))
    order = [direct.joint(name).qposadr[0] for name in JOINT_NAMES]
    worst = 0.0
    for _ in range(200):
        direct_data.ctrl[[direct.actuator(n).id for n in JOINT_NAMES]] = target
        mujoco.mj_step(direct, direct_data)
        hand.run(hand.plant.dt_s)
        worst = max(worst, np.abs(direct_data.qpos[order] - hand.plant.position_rad).max())
    assert worst < 1e-9


def test_a_light_plant_and_mujoco_obey_the_same_law():
    gains = servo_gains(np.full(16, 800), np.full(16, 200), np.full(16, 500))
    plant = JointPlant()
    plant.set_servo(gains.kp_nm_rad, gains.kd_nms_rad, gains.torque_limit_nm, np.full(16, 0.01))
    plant.set_goal(np.full(16, 0.05))
    plant.step()
    expected = 0.01 + gains.kp_nm_rad * 0.05
    np.testing.assert_allclose(plant.torque_nm, expected, rtol=0.2)  # implicit in the velocity
    for _ in range(1000):
        plant.step()
    np.testing.assert_allclose(plant.torque_nm, 0.0, atol=0.006)


def test_extreme_gains_stay_stable(hand):
    hand.sync_write("position_p_gain", dict.fromkeys(range(16), 16383))
    hand.sync_write("position_d_gain", dict.fromkeys(range(16), 16383))
    hand.sync_write("goal_position", dict.fromkeys(range(16), 2400))
    hand.run(2.0)
    assert np.abs(positions(hand) - 2400).max() < 10
    assert np.abs(hand.plant.velocity_rad_s).max() < 0.5


def test_integral_and_feed_forward_gains_are_accepted_and_harmless(hand):
    for name in ("position_i_gain", "feedforward_1st_gain", "feedforward_2nd_gain"):
        hand.sync_write(name, dict.fromkeys(range(16), 16383))
    hand.sync_write("goal_position", dict.fromkeys(range(16), 2200))
    hand.run(1.0)
    assert np.abs(positions(hand) - 2200).max() <= 6


@pytest.mark.parametrize("mode", [3, 4])
def test_position_modes_hold_their_goal(mode):
    hand = EmulatedHand()
    hand.switch_on(mode=mode)
    hand.sync_write("goal_position", dict.fromkeys(range(16), 2200))
    hand.run(1.0)
    assert np.abs(positions(hand) - 2200).max() <= 6


def test_velocity_mode_turns_at_the_goal_velocity():
    hand = EmulatedHand()
    hand.switch_on(mode=1)
    hand.run(0.1)
    assert (positions(hand) == 2048).all()
    hand.sync_write("goal_velocity", dict.fromkeys(range(16), -40))
    hand.run(0.2)
    assert [s.get("present_velocity") for s in hand.servos] == pytest.approx([-40] * 16, abs=4)


def test_current_mode_exerts_the_goal_current():
    hand = EmulatedHand()
    hand.switch_on(mode=0, current_ma=0)
    hand.sync_write("goal_current", dict.fromkeys(range(16), -30))
    hand.run(0.05)
    assert [s.get("present_current") for s in hand.servos] == pytest.approx([-30] * 16, abs=1)


def test_pwm_mode_settles_below_the_no_load_speed():
    hand = EmulatedHand()
    hand.switch_on(mode=16)
    hand.sync_write("goal_pwm", dict.fromkeys(range(16), 88))
    hand.run(0.1)
    expected = XC330_M288.no_load_speed_rad_s * 88 / 885
    assert hand.plant.velocity_rad_s == pytest.approx([expected] * 16, rel=0.2)


def test_reverse_mode_mirrors_the_motion():
    hand = EmulatedHand()
    hand.sync_write("drive_mode", dict.fromkeys(range(16), 1))
    hand.switch_on()
    assert (positions(hand) == 2048).all()
    hand.sync_write("goal_position", dict.fromkeys(range(16), 2200))
    hand.run(1.0)
    assert np.abs(positions(hand) - 2200).max() <= 6
    assert hand.plant.position_rad == pytest.approx(
        [-(2200 - 2048) * 2 * np.pi / 4096] * 16, abs=0.01
    )


def test_homing_offset_shifts_what_is_read_and_what_is_meant():
    hand = EmulatedHand()
    hand.sync_write("homing_offset", dict.fromkeys(range(16), -2048))
    hand.switch_on()
    hand.run(0.01)
    assert (positions(hand) == 0).all()
    hand.sync_write("goal_position", dict.fromkeys(range(16), 100))
    hand.run(1.0)
    assert hand.plant.position_rad == pytest.approx([100 * 2 * np.pi / 4096] * 16, abs=0.01)


def test_a_profile_limits_velocity_and_reports_its_trajectory(hand):
    hand.sync_write("profile_velocity", dict.fromkeys(range(16), 20))
    hand.sync_write("profile_acceleration", dict.fromkeys(range(16), 10))
    hand.sync_write("goal_position", dict.fromkeys(range(16), 2500))
    hand.run(0.7)
    velocity = [s.get("present_velocity") for s in hand.servos]
    assert max(velocity) <= 24
    assert hand.servos[0].get("velocity_trajectory") == pytest.approx(20, abs=1)
    assert 2048 < hand.servos[0].get("position_trajectory") < 2500
    assert hand.servos[0].get("moving_status") & 0x02
    hand.run(2.0)
    assert np.abs(positions(hand) - 2500).max() <= 6
    assert hand.servos[0].get("moving_status") & 0x03 == 0x01


def test_a_time_based_profile_arrives_in_its_time():
    hand = EmulatedHand()
    hand.sync_write("drive_mode", dict.fromkeys(range(16), 4))
    hand.switch_on()
    hand.sync_write("profile_velocity", dict.fromkeys(range(16), 1000))
    hand.sync_write("profile_acceleration", dict.fromkeys(range(16), 200))
    hand.sync_write("goal_position", dict.fromkeys(range(16), 2600))
    hand.run(0.5)
    assert hand.servos[2].get("position_trajectory") == pytest.approx(2324, abs=15)
    hand.run(0.55)
    assert hand.servos[2].get("position_trajectory") == 2600


# --- bus watchdog ---


def armed(hand, steps=5):
    hand.sync_write("bus_watchdog", dict.fromkeys(range(16), steps))


def test_a_fed_watchdog_stays_armed(hand):
    armed(hand)
    for _ in range(20):
        hand.run(0.05)
        hand.ask(15, Instruction.PING)  # any packet on the bus feeds all
    assert [hand.read(k, "bus_watchdog").value for k in range(16)] == [5] * 16


def test_a_starved_watchdog_stops_the_motor_and_locks_the_goals(hand):
    armed(hand)
    hand.sync_write("goal_position", dict.fromkeys(range(16), 2900))
    hand.run(0.12)
    where = positions(hand)
    assert (where < 2890).all()
    hand.run(1.0)
    assert hand.read(7, "bus_watchdog").value == 255
    assert hand.read(7, "torque_enable").value == 1
    stopped = positions(hand)
    assert (np.abs(stopped - where) < 200).all()
    for goal in ("goal_position", "goal_current", "goal_velocity", "goal_pwm"):
        assert hand.write(7, goal, 100).number == 4
    hand.sync_write("goal_position", dict.fromkeys(range(16), 2000))  # silently without effect
    hand.run(0.5)
    assert np.abs(positions(hand) - stopped).max() <= 2
    hand.sync_write("bus_watchdog", dict.fromkeys(range(16), 0))
    hand.run(0.2)
    assert np.abs(positions(hand) - stopped).max() <= 2  # clearing alone moves nothing
    assert hand.write(7, "goal_position", 2048).error == 0
    hand.run(1.0)
    assert positions(hand)[7] == pytest.approx(2048, abs=6)


def test_a_late_packet_does_not_save_the_watchdog(hand):
    armed(hand)
    hand.now_s += 0.2
    assert hand.read(3, "bus_watchdog").value == 255


def test_the_watchdog_counts_only_while_torque_is_on():
    hand = EmulatedHand()
    armed(hand, 1)
    hand.run(1.0)
    assert hand.read(3, "bus_watchdog").value == 1


def test_an_unplugged_cable_starves_the_watchdog(hand):
    armed(hand)
    hand.inject("unplugged")
    for _ in range(10):
        hand.run(0.05)
        hand.ask(3, Instruction.PING)
    hand.inject("clear")
    assert hand.read(3, "bus_watchdog").value == 255


# --- protection and measurement ---


def test_load_heats_a_motor_until_it_switches_off():
    config = MotorBankConfig(thermal_time_constant_s=2.0, rise_c_per_a2=400.0)
    hand = EmulatedHand(bank_options={"config": config})
    hand.switch_on(current_ma=400)
    hand.sync_write("goal_position", {4: 4000})  # against its mechanical stop
    hand.run(1.0)
    warm = hand.read(4, "present_temperature").value
    assert 35 < warm < 70
    assert hand.read(5, "present_temperature").value == 28
    hand.run(8.0)
    assert hand.read(4, "hardware_error_status").value == 0x04
    assert hand.read(4, "torque_enable").value == 0


def test_a_long_stall_at_full_current_is_an_overload():
    hand = EmulatedHand()
    hand.switch_on(current_ma=2000)
    hand.sync_write("goal_position", {4: 4000})
    hand.run(1.0)
    assert hand.read(4, "hardware_error_status").value == 0
    hand.run(1.5)
    assert hand.read(4, "hardware_error_status").value == 0x20
    assert hand.read(5, "hardware_error_status").value == 0


def test_a_leap_hand_holding_hard_is_no_overload(hand):
    hand.sync_write("goal_position", dict.fromkeys(range(16), 4000))
    hand.run(5.0)
    assert [s.get("hardware_error_status") for s in hand.servos] == [0] * 16
    assert hand.read(0, "present_input_voltage").value < 50


def test_the_realtime_tick_counts_milliseconds_and_wraps(hand):
    ticks = []
    hand.run(0.01)
    for _ in range(3):
        ticks.append(hand.servos[0].get("realtime_tick"))
        hand.run(0.1)
    assert ticks[1] - ticks[0] == pytest.approx(100, abs=2)
    hand.now_s = 32.767 * 5 + 0.5
    hand.run(0.01)
    assert hand.servos[0].get("realtime_tick") < 1000


def test_a_wrongly_mounted_horn_shows_and_a_reboot_folds_it_into_one_turn():
    quarter = np.zeros(16, dtype=np.int64)
    quarter[[3, 6]] = 1024, 2500
    hand = EmulatedHand(bank_options={"horn_offset_ticks": quarter})
    hand.run(0.01)
    assert positions(hand)[[2, 3, 6]].tolist() == [2048, 3072, (2048 + 2500) % 4096]


def test_turns_are_counted_while_powered_and_lost_at_reboot():
    offset = np.zeros(16, dtype=np.int64)
    offset[0] = 2000  # so that a joint's range reaches past one turn
    hand = EmulatedHand(bank_options={"horn_offset_ticks": offset})
    hand.switch_on()
    hand.write(0, "goal_position", 4096 + 500)
    hand.run(1.5)
    assert positions(hand)[0] == pytest.approx(4096 + 500, abs=6)
    angle = hand.plant.position_rad[0]
    hand.ask(0, Instruction.REBOOT)
    hand.run(0.2)
    assert positions(hand)[0] == pytest.approx(500, abs=10)
    hand.write(0, "operating_mode", 5)
    hand.write(0, "torque_enable", 1)
    hand.run(0.5)
    assert hand.plant.position_rad[0] == pytest.approx(angle, abs=0.02)
