# SPDX-License-Identifier: Apache-2.0
"""What of the motors' slow state is a fault, and that it is seen."""

import numpy as np
import pytest

from dexndm_ros.hand.bus import BusReading
from dexndm_ros.hand.health import HealthLimits, HealthMonitor
from dexndm_ros.hand.profile import PROFILES
from dexndm_ros.hand.startup import bring_up, torque_on

SPARE_S = 1.0
NOBODY = np.zeros(16, dtype=bool)


def reading(valid, alert=NOBODY):
    zeros = np.zeros(16)
    return BusReading(0, 0, zeros, zeros, zeros, np.asarray(valid), np.asarray(alert), 0)


@pytest.fixture
def monitor(bus):
    return HealthMonitor(bus)


def one_round(monitor):
    polled = [monitor.poll(SPARE_S) for _ in range(16)]
    assert sorted(polled) == list(range(16))


def test_a_round_reads_everybody_once(monitor):
    assert np.isnan(monitor.temperature_c).all()
    one_round(monitor)
    assert monitor.rounds == 1
    assert (monitor.temperature_c > 15).all()
    np.testing.assert_allclose(monitor.voltage_v, 5.0, atol=0.3)
    assert monitor.fault() == ""
    assert monitor.warnings() == []


def test_no_spare_time_no_poll(monitor):
    assert monitor.poll(0.0005) is None
    assert np.isnan(monitor.temperature_c).all()


@pytest.mark.parametrize(
    ("fault", "motor", "word"),
    [
        ("overload", 5, "motor 5 has shut down: overload"),
        ("hot_motor", 12, "motor 12 has shut down: overheating"),
        ("brown_out", -1, "motor 0 gets 3.2 V"),
    ],
)
def test_faults_are_seen_and_say_what_to_do(rig, bus, monitor, wait_until, fault, motor, word):
    one_round(monitor)
    rig.inject(fault, motor)

    def seen():
        monitor.observe(bus.read_state(), 0.0)
        monitor.poll(SPARE_S)
        return monitor.fault()

    wait_until(seen)
    assert word in monitor.fault()
    assert "hand/recover" in monitor.fault()


def test_an_alert_is_looked_into_first(rig, bus, monitor, wait_until):
    rig.inject("overload", 9)
    wait_until(lambda: bus.read_state().alert[9])
    monitor.observe(bus.read_state(), 0.0)
    assert monitor.poll(SPARE_S) == 9
    monitor.forget()
    assert monitor.fault() == ""


def test_a_tripped_watchdog_is_visible(rig, bus, monitor, wait_until):
    profile = PROFILES["full"]
    bring_up(bus, profile)
    torque_on(bus, profile)
    # The bus falls silent: the process was held up.
    wait_until(lambda: any(servo.watchdog_tripped for servo in rig.bank.servos))
    one_round(monitor)
    assert "bus watchdog of motor" in monitor.fault()


def test_lost_torque_is_a_fault_only_where_torque_is_expected(rig, bus, monitor):
    one_round(monitor)
    assert monitor.fault() == ""
    bring_up(bus, PROFILES["full"])
    torque_on(bus, PROFILES["full"])
    monitor.expect_torque(True)
    assert monitor.fault() == ""  # what was read before says nothing
    one_round(monitor)
    assert monitor.fault() == ""
    bus.write_register(7, "torque_enable", 0)
    one_round(monitor)
    assert "motor 7 has lost its torque" in monitor.fault()
    monitor.expect_torque(False)
    assert monitor.fault() == ""


def test_a_motor_silent_for_too_long_is_a_fault(bus):
    monitor = HealthMonitor(bus, HealthLimits(lost_s=0.25))
    six = np.arange(16) != 6
    monitor.observe(reading(~NOBODY), 10.0)
    monitor.observe(reading(six), 10.2)
    assert monitor.fault() == ""
    monitor.observe(reading(six), 10.3)
    assert "motors [6] are silent for 0.30 s" in monitor.fault()
    monitor.observe(reading(~NOBODY), 10.31)
    assert monitor.fault() == ""
    monitor.observe(reading(NOBODY), 11.0)
    assert "all motors are silent" in monitor.fault()


def test_a_motor_that_never_answered_counts_from_the_first_cycle(bus):
    monitor = HealthMonitor(bus)
    monitor.observe(reading(NOBODY), 50.0)
    assert monitor.fault() == ""
    monitor.observe(reading(NOBODY), 50.5)
    assert monitor.fault()


def test_silent_motors_are_passed_over(rig, open_bus):
    bus = open_bus(rig.port, reply_timeout_s=0.02, probe_period_s=5.0)
    monitor = HealthMonitor(bus)
    rig.inject("silent_motor", 0)
    for _ in range(4):
        bus.read_state()
    assert bus.silent == (0,)
    assert [monitor.poll(SPARE_S) for _ in range(3)] == [1, 2, 3]


def test_warm_motors_and_low_supplies_are_warnings(monitor):
    one_round(monitor)
    monitor.temperature_c[3] = 57.0
    monitor.voltage_v[4] = 4.2
    assert monitor.fault() == ""
    assert monitor.warnings() == ["motor 3 is warm: 57 C", "motor 4: low supply, 4.2 V"]
    monitor.temperature_c[3] = 66.0
    assert "motor 3 is at 66 C (limit 65 C)" in monitor.fault()


def test_limits_in_the_wrong_order_are_refused():
    with pytest.raises(ValueError, match="warm_c <= hot_c"):
        HealthLimits(warm_c=70.0)
