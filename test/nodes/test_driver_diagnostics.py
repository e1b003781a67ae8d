# SPDX-License-Identifier: Apache-2.0
"""What the driver tells about itself: levels, and a cure in everything that is not OK."""

import dataclasses
import math
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("dexndm_msgs")

from dexndm_msgs.msg import HandHealth
from diagnostic_msgs.msg import DiagnosticStatus
from hypothesis import given
from hypothesis import strategies as st

from dexndm_ros.hand.cycle_times import CycleSummary
from dexndm_ros.hand.driver_types import DriverReport
from dexndm_ros.hand.guard import Mode
from dexndm_ros.hand.health import HealthLimits
from dexndm_ros.nodes._driver_diagnostics import LoopView, fill_health, statuses

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
CURES = ("check", "let it cool", "call hand/", "use a", "lower", "start it again", "free", "set the",
         "stop all but one", "rest")  # fmt: skip

WELL = DriverReport(
    polled_ns=12_000_000_034,
    mode=Mode.ACTIVE,
    reason="",
    temperature_c=30.0 + np.arange(16),
    voltage_v=np.full(16, 5.0),
    hardware_error=np.zeros(16, dtype=np.uint8),
    responding=np.ones(16, dtype=bool),
    lost_reads=np.arange(16, dtype=np.int64),
    cycles=CycleSummary(100.0, 1.5, 3.0),
    rejected=4,
    limited=5,
    last_rejection="",
    command_age_s=0.02,
    command_source="rotation_policy",
    warnings=(),
)
LOOP = LoopView(100.0, 7, 0.1, "default scheduling", False, (), 0)


def watch(**changes):
    return SimpleNamespace(**({"late": 0, "alive": 1, "deaths": 0, "unwatched": 0} | changes))


def told(before=WELL, loop=LOOP, watched=None, **changes):
    report = dataclasses.replace(WELL, **changes)
    found = statuses(report, before, loop, watched or watch(), HealthLimits())
    return {status.name: status for status in found}


def changed(name, k, value):
    array = getattr(WELL, name).copy()
    array[k] = value
    return {name: array}


def test_a_hand_that_is_well_is_ok_throughout():
    found = told()
    assert len(found) == 19
    assert {status.level for status in found.values()} == {OK}


@pytest.mark.parametrize(
    ("name", "value", "level"),
    [
        ("temperature_c", 58.0, WARN),
        ("temperature_c", 69.0, ERROR),
        ("voltage_v", 4.1, WARN),
        ("hardware_error", 0x20, ERROR),
        ("hardware_error", 0x01, WARN),
        ("responding", False, ERROR),
        ("lost_reads", 1000, WARN),
    ],
)
def test_one_bad_motor_is_named_with_a_cure_and_the_others_stay_ok(name, value, level):
    found = told(**changed(name, 5, value))
    bad = {key: status for key, status in found.items() if status.level != OK}
    assert list(bad) == ["motor 5 middle_mcp_forward"]
    (status,) = bad.values()
    assert status.level == level
    assert any(cure in status.message for cure in CURES)


@pytest.mark.parametrize(
    ("status", "level", "changes"),
    [
        ("bus", WARN, {"cycles": CycleSummary(60.0, 1.0, 20.0)}),
        ("bus", ERROR, {"responding": np.zeros(16, dtype=bool)}),
        ("guard", ERROR, {"mode": Mode.FAULT, "reason": "motor 3 is hot; call hand/recover"}),
        ("guard", WARN, {"rejected": 9, "last_rejection": "two sources: stop all but one"}),
        ("guard", WARN, {"mode": Mode.HOLDING, "reason": "no command: start it again"}),
        ("commands", WARN, {"watched": watch(alive=0, deaths=1)}),
    ],
)
def test_what_is_wrong_is_told_with_a_cure(status, level, changes):
    found = told(**changes)[status]
    assert found.level == level
    assert any(cure in found.message for cure in CURES)


def test_waiting_for_the_first_command_is_no_warning():
    found = told(mode=Mode.HOLDING, reason="enabled; waiting for a command", command_age_s=math.inf)
    assert found["guard"].level == OK


def test_old_rejections_and_losses_are_not_told_again():
    found = told(before=dataclasses.replace(WELL))
    assert found["guard"].level == OK
    assert found["motor 15 thumb_ipl"].level == OK


def test_a_publisher_without_deadline_is_mentioned():
    found = told(watched=watch(alive=0, unwatched=1))["commands"]
    assert found.level == OK
    assert "offer no deadline" in found.message


def test_a_hand_that_relaxed_by_itself_says_so_though_nobody_ever_commanded_it():
    found = told(mode=Mode.RELAXED, reason="held 30 s", command_age_s=math.inf)["guard"]
    assert found.level == WARN
    assert found.message == "RELAXED: held 30 s"


def test_health_carries_every_number_to_its_place():
    health = HandHealth()
    fill_health(health, WELL, missed=7, polled_ns=12_000_000_034)
    assert (health.header.stamp.sec, health.header.stamp.nanosec) == (12, 34)
    assert list(health.temperature) == [30.0 + k for k in range(16)]
    assert list(health.lost_reads) == list(range(16))
    assert (health.missed_cycles, health.rejected_commands, health.limited_commands) == (7, 4, 5)
    assert health.fault == ""
    fault = dataclasses.replace(WELL, mode=Mode.FAULT, reason="why")
    fill_health(health, fault, missed=7, polled_ns=0)
    assert health.fault == "why"


@given(
    st.sampled_from(list(Mode)),
    st.lists(st.floats(0, 100) | st.just(math.nan), min_size=16, max_size=16),
    st.lists(st.integers(0, 255), min_size=16, max_size=16),
    st.floats(0, 600) | st.just(math.nan),
    st.floats(0, 1e6) | st.just(math.inf),
)
def test_any_report_can_be_told(mode, numbers, bits, rate, age):
    report = dataclasses.replace(
        WELL,
        mode=mode,
        temperature_c=np.array(numbers),
        voltage_v=np.array(numbers),
        hardware_error=np.array(bits, dtype=np.uint8),
        cycles=CycleSummary(rate, math.nan, math.nan),
        command_age_s=age,
    )
    found = statuses(report, None, LOOP, watch(), HealthLimits())
    assert len(found) == 19
    fill_health(HandHealth(), report, 0, 0)
