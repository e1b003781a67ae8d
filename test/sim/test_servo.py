# SPDX-License-Identifier: Apache-2.0
"""Access rules of the emulated control table, through instruction packets."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexndm_ros.hand.control_table import MODEL_DEFAULTS, REGISTERS, TABLE_SIZE
from dexndm_ros.sim.protocol2 import BROADCAST_ID, Instruction, StatusError, encode
from support.emulated import EmulatedHand

MEASURED = {
    r.name for r in REGISTERS.values() if 120 <= r.address < 148
}  # these follow the physics


@pytest.fixture
def hand():
    return EmulatedHand()


@pytest.mark.parametrize("name", [n for n in REGISTERS if n not in MEASURED | {"id", "baud_rate"}])
def test_every_register_starts_at_its_default(hand, name):
    expected = REGISTERS[name].default
    assert hand.servos[3].get(name) == expected
    answer = hand.read(3, name)
    assert answer.error == 0
    assert answer.data == expected.to_bytes(REGISTERS[name].size, "little", signed=expected < 0)


def test_the_lite_motor_has_its_own_defaults():
    hand = EmulatedHand(servo_options={"model_number": 1200})
    for name, value in MODEL_DEFAULTS[1200].items():
        assert hand.servos[0].get(name) == value


@pytest.mark.parametrize("name", [n for n, r in REGISTERS.items() if r.access == "R"])
def test_read_only_registers_answer_access_error(hand, name):
    before = hand.servos[2].get(name)
    assert hand.write(2, name, 0).error == StatusError.ACCESS
    assert hand.servos[2].get(name) == before


@pytest.mark.parametrize(
    "name", [n for n, r in REGISTERS.items() if r.access == "RW" and r.area == "EEPROM"]
)
def test_eeprom_is_locked_while_torque_is_on(hand, name):
    value = REGISTERS[name].default
    hand.write(4, "torque_enable", 1)
    assert hand.write(4, name, min(value, REGISTERS[name].maximum)).error == StatusError.ACCESS
    hand.write(4, "torque_enable", 0)
    assert hand.write(4, "moving_threshold", 11).error == 0


WRITABLE = [r for r in REGISTERS.values() if r.writable and not r.name.startswith("indirect")]


@pytest.mark.parametrize("register", WRITABLE, ids=lambda r: r.name)
def test_values_beyond_the_range_are_refused_by_number(hand, register):
    bits = 8 * register.size
    highest = 2 ** (bits - 1) - 1 if register.signed else 2**bits - 1
    lowest = -(2 ** (bits - 1)) if register.signed else 0
    before = hand.servos[5].get(register.name)
    for value in {register.maximum + 1, highest, register.minimum - 1, lowest}:
        if lowest <= value <= highest and not register.minimum <= value <= register.maximum:
            assert hand.write(5, register.name, value).error == StatusError.DATA_RANGE
            assert hand.servos[5].get(register.name) == before


@pytest.mark.parametrize(
    ("goal", "limit", "allowed", "beyond"),
    [
        ("goal_current", "current_limit", -400, -401),
        ("goal_pwm", "pwm_limit", 400, 401),
        ("goal_velocity", "velocity_limit", 400, 401),
    ],
)
def test_goals_beyond_a_limit_register_answer_data_limit(hand, goal, limit, allowed, beyond):
    hand.write(1, limit, 400)
    assert hand.write(1, goal, allowed).error == 0
    assert hand.write(1, goal, beyond).error == StatusError.DATA_LIMIT
    assert hand.servos[1].get(goal) == allowed


def test_position_limits_hold_in_position_mode_only(hand):
    hand.write(1, "max_position_limit", 3000)
    assert hand.write(1, "goal_position", 3001).error == StatusError.DATA_LIMIT
    hand.write(1, "operating_mode", 5)
    assert hand.write(1, "goal_position", 9000).error == 0
    assert hand.write(1, "goal_position", -9000).error == 0
    assert hand.read(1, "goal_position").value == 2**32 - 9000


def test_unknown_operating_modes_are_refused(hand):
    assert [hand.write(0, "operating_mode", m).number for m in (2, 6, 15)] == [4, 4, 4]
    assert [hand.write(0, "operating_mode", m).number for m in (0, 1, 3, 4, 5, 16)] == [0] * 6


@pytest.mark.parametrize(
    ("address", "data", "error"),
    [
        (116, b"\x00\x08", StatusError.DATA_LENGTH),  # half a register
        (117, b"\x00", StatusError.DATA_LENGTH),  # from its middle
        (84, b"\x20\x03\x00\x00", StatusError.ACCESS),  # over its end into nothing
        (66, b"\x00", StatusError.ACCESS),  # nothing there
        (3000, b"\x00", StatusError.ACCESS),
        (112, struct.pack("<Ii", 7, 1000), StatusError.NONE),  # two registers in one write
        (112, struct.pack("<Ii", 7, 9_999_999), StatusError.DATA_RANGE),  # and all or nothing
    ],
)
def test_windows_of_a_write(hand, address, data, error):
    answer = hand.ask(0, Instruction.WRITE, struct.pack("<H", address) + data)
    assert answer.error == error
    assert hand.servos[0].get("profile_velocity") == (7 if error == 0 else 0)


def test_a_write_without_data_is_a_length_error(hand):
    assert hand.ask(0, Instruction.WRITE, b"\x40\x00").error == StatusError.DATA_LENGTH


@pytest.mark.parametrize(
    ("address", "length", "error"),
    [(0, 148, 0), (0, 228, 0), (66, 2, 7), (220, 9, 7), (0, 0, 5), (60000, 4, 7), (0, 65535, 7)],
)
def test_windows_of_a_read(hand, address, length, error):
    answer = hand.ask(0, Instruction.READ, struct.pack("<HH", address, length))
    assert answer.error == error
    assert len(answer.data) == (0 if error else length)


@given(st.integers(0, TABLE_SIZE), st.binary(min_size=1, max_size=12))
def test_any_write_is_answered_and_registers_stay_in_range(address, data):
    hand = EmulatedHand()
    parameters = struct.pack("<H", address) + data
    answers = hand.send(encode(6, Instruction.WRITE, parameters))
    assert len(answers) <= 1
    for register in REGISTERS.values():
        if register.writable:
            value = hand.servos[6].get(register.name)
            assert register.minimum <= value <= register.maximum
    hand.run(0.01)


def test_changing_the_mode_resets_gains_goals_and_profile(hand):
    for name, value in {
        "position_p_gain": 800, "position_d_gain": 200, "goal_current": 300, "profile_velocity": 50,
    }.items():  # fmt: skip
        hand.write(7, name, value)
    hand.write(7, "operating_mode", 3)  # the same mode: nothing changes
    assert hand.servos[7].get("position_p_gain") == 800
    hand.write(7, "operating_mode", 5)
    table = hand.servos[7]
    assert [table.get(n) for n in ("position_p_gain", "position_d_gain")] == [1100, 500]
    assert table.get("goal_current") == table.get("current_limit")
    assert table.get("profile_velocity") == 0


def test_a_registered_write_waits_for_the_action(hand):
    assert hand.ask(3, Instruction.ACTION).error == StatusError.INSTRUCTION
    assert hand.write(3, "goal_position", 2100, Instruction.REG_WRITE).error == 0
    assert hand.write(3, "led", 9, Instruction.REG_WRITE).error == StatusError.DATA_RANGE
    assert hand.read(3, "registered_instruction").value == 1
    assert hand.servos[3].get("goal_position") == 2048
    assert hand.ask(3, Instruction.ACTION).error == 0
    assert hand.servos[3].get("goal_position") == 2100
    assert hand.read(3, "registered_instruction").value == 0


def test_a_broadcast_action_moves_all_at_once_without_answers(hand):
    for k in range(16):
        hand.write(k, "goal_position", 2100 + k, Instruction.REG_WRITE)
    assert hand.send(encode(BROADCAST_ID, Instruction.ACTION)) == []
    assert [s.get("goal_position") for s in hand.servos] == [2100 + k for k in range(16)]


def test_indirect_registers_collect_others(hand):
    for slot, address in enumerate((132, 133, 134, 135, 146, 65)):
        hand.write(2, f"indirect_address_{slot + 1}", address)
    answer = hand.ask(2, Instruction.READ, struct.pack("<HH", 208, 6))
    assert answer.data == (2048).to_bytes(4, "little") + bytes((28, 0))
    assert hand.write(2, "indirect_data_6", 1).error == 0
    assert hand.servos[2].get("led") == 1
    assert hand.write(2, "indirect_data_1", 1).error in (
        StatusError.DATA_LENGTH,
        StatusError.ACCESS,
    )
    assert hand.write(2, "indirect_data_20", 77).error == 0
    assert hand.read(2, "indirect_data_20").value == 77


def test_a_reboot_loses_ram_keeps_eeprom_and_takes_its_time(hand):
    hand.write(5, "return_delay_time", 10)
    hand.write(5, "operating_mode", 5)
    hand.write(5, "position_p_gain", 800)
    hand.write(5, "torque_enable", 1)
    assert hand.ask(5, Instruction.REBOOT).error == 0
    assert hand.ask(5, Instruction.PING) is None
    hand.run(0.2)
    assert hand.ask(5, Instruction.PING).data == struct.pack("<HB", 1240, 52)
    table = hand.servos[5]
    assert [table.get(n) for n in ("return_delay_time", "operating_mode")] == [10, 5]
    assert [table.get(n) for n in ("position_p_gain", "torque_enable")] == [1100, 0]


def test_factory_reset_keeps_what_its_option_says(hand):
    hand.write(9, "moving_threshold", 99)
    assert hand.ask(9, Instruction.FACTORY_RESET, b"\x07").error == StatusError.DATA_RANGE
    assert hand.ask(9, Instruction.FACTORY_RESET, b"\x02").error == 0
    hand.run(0.2)
    assert [hand.servos[9].get(n) for n in ("id", "baud_rate", "moving_threshold")] == [9, 6, 10]
    hand.ask(9, Instruction.FACTORY_RESET, b"\x01")
    hand.run(0.2)
    assert [hand.servos[9].get(n) for n in ("id", "baud_rate")] == [9, 1]
    assert hand.send(encode(BROADCAST_ID, Instruction.FACTORY_RESET, b"\xff")) == []
    assert hand.servos[9].get("id") == 9


def test_a_new_id_answers_from_the_next_packet_on(hand):
    hand.ask(15, Instruction.REBOOT)  # frees nothing: the ID is EEPROM
    assert hand.write(4, "id", 40).motor_id == 4
    assert hand.ask(4, Instruction.PING) is None
    assert hand.ask(40, Instruction.PING).motor_id == 40


def test_unknown_instructions_answer_by_number(hand):
    assert hand.ask(1, 0x77).error == StatusError.INSTRUCTION


def test_a_torque_on_by_goal_drive_mode_switches_on(hand):
    hand.write(1, "drive_mode", 8)
    hand.write(1, "goal_position", 2100)
    assert hand.servos[1].torque_on
