# SPDX-License-Identifier: Apache-2.0
"""The control table against the manual's layout."""

import itertools

import pytest
from dynamixel_easy_sdk import control_table as easy
from hypothesis import given
from hypothesis import strategies as st

from dexndm_ros.hand.control_table import (
    FAST_STATE,
    HEALTH,
    INDIRECT_DATA_START,
    MODEL_DEFAULTS,
    REGISTERS,
    TABLE_SIZE,
    decode,
    encode,
)

registers = st.sampled_from(list(REGISTERS.values()))


def test_registers_follow_each_other_without_overlap():
    ordered = list(REGISTERS.values())
    assert all(a.end <= b.address for a, b in itertools.pairwise(ordered))
    assert ordered[-1].end == TABLE_SIZE


def model_file_rows(name):
    """(address, size, words) of the SDK's own model files."""
    from pathlib import Path

    text = (Path(easy.__file__).parent / "control_table" / f"{name}.model").read_text()
    for line in text.split("[control table]")[1].splitlines()[2:]:
        if line.strip():
            address, size, words = line.split("\t")
            yield int(address), int(size), words


@pytest.mark.parametrize("model", ["xc330_m288_fw52", "xl330_m288_fw52"])
def test_addresses_and_sizes_agree_with_the_sdk(model):
    by_address = {r.address: r for r in REGISTERS.values()}
    for address, size, words in model_file_rows(model):
        if words.startswith("Indirect"):
            continue
        assert by_address[address].size == size, words
    assert REGISTERS["indirect_data_1"].address == INDIRECT_DATA_START


def test_windows_cover_what_they_are_named_for():
    def window(first, last):
        return REGISTERS[first].address, REGISTERS[last].end - REGISTERS[first].address

    assert window("present_current", "present_position") == FAST_STATE
    assert window("present_input_voltage", "present_temperature") == HEALTH


def test_model_defaults_name_registers_and_lie_in_their_range():
    for changes in MODEL_DEFAULTS.values():
        for name, value in changes.items():
            assert REGISTERS[name].minimum <= value <= REGISTERS[name].maximum


@given(registers, st.data())
def test_values_survive_the_wire(register, data):
    value = data.draw(st.integers(register.minimum, register.maximum))
    assert decode(register, encode(register, value)) == value


def test_a_tripped_watchdog_reads_minus_one():
    assert decode(REGISTERS["bus_watchdog"], b"\xff") == -1


def test_a_value_too_large_for_its_register_is_named():
    with pytest.raises(ValueError, match="goal_current = 70000 does not fit 2"):
        encode(REGISTERS["goal_current"], 70000)


def test_data_of_another_length_is_refused():
    with pytest.raises(ValueError, match="goal_position has 4 bytes, got 2"):
        decode(REGISTERS["goal_position"], b"\0\0")
