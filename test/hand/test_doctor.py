# SPDX-License-Identifier: Apache-2.0
"""What the doctor finds, says and returns, against emulated hands with something wrong."""

import json

import numpy as np
import pytest

from dexndm_ros.doctor_cli import main
from dexndm_ros.hand import doctor
from dexndm_ros.hand.bus_types import BusConfig
from dexndm_ros.hand.doctor import Level, check_packages, check_port, choose_port
from dexndm_ros.hand.doctor_motors import examine
from dexndm_ros.hand.profile import PROFILES
from dexndm_ros.hand.startup import bring_up
from dexndm_ros.sim.rig import RigConfig


def by_what(findings):
    return {f.what: f for f in findings}


def look(rig, **config):
    return examine(BusConfig(rig.port, reply_timeout_s=0.03, **config))


def errors(report):
    return [f"{f.what}: {f.found}" for f in report.findings if f.level is Level.ERROR]


def test_a_sound_hand_has_no_error_and_is_left_as_it_was(rig):
    before = [bytes(servo._table) for servo in rig.bank.servos]
    report = look(rig)
    assert errors(report) == []
    findings = by_what(report.findings)
    assert findings["motors"].found == "all 16 answer at 4000000 baud"
    assert findings["models"].found.startswith("XC330-M288-T (1240)")
    assert "fast sync read" in findings["bus rate"].found
    assert findings["operating_mode (11)"].found == "motors 0-15: 3"
    assert findings["operating_mode (11)"].expected == "5"
    assert findings["operating_mode (11)"].level is Level.NOTE
    assert report.registers[7]["id"] == 7
    assert [bytes(servo._table) for servo in rig.bank.servos] == before


def test_after_bring_up_every_register_is_as_it_should_be(bus):
    bring_up(bus, PROFILES["full"])
    bus.close()
    findings = by_what(examine(bus.config).findings)
    assert findings["registers"].level is Level.OK


def test_motors_with_something_wrong_are_named_with_the_cure(make_rig, wait_until):
    rig = make_rig(RigConfig(other_models={3: 1200}, horn_offset_rad={12: -np.pi / 2}))
    rig.inject("silent_motor", 7)
    rig.inject("overload", 2)
    rig.bank.servos[1].set("current_limit", 200)
    rig.bank.servos[4].set("firmware_version", 44)
    rig.bank.servos[5].set("shutdown", 0)
    wait_until(lambda: rig.bank.servos[2].alert)
    report = look(rig)
    text = "\n".join(errors(report))
    assert "motors 0-6, 8-15 at 4000000 baud; motor 7 missing" in text
    assert "motor 3: XL330-M288-T (1200)" in text
    assert "motor 2: hardware error: overload" in text
    assert "thumb_cmc (motor 12) stands at -1.57 rad" in text
    warnings = {f.what: f for f in report.findings if f.level is Level.WARNING}
    assert "motor 1: [200] mA" in warnings["current_limit (38)"].found
    assert "motor 4 below 46" in warnings["firmware"].found
    assert "motor 5" in warnings["shutdown (63)"].found
    assert all(f.cure for f in report.findings if f.level in (Level.ERROR, Level.WARNING))


def test_a_lite_hand_is_recognised(make_rig):
    findings = by_what(look(make_rig(RigConfig(model_number=1200))).findings)
    assert findings["models"].found.endswith("profile lite")
    report = examine(
        BusConfig(make_rig(RigConfig(model_number=1200)).port, reply_timeout_s=0.03),
        PROFILES["full"],
    )
    assert by_what(report.findings)["models"].cure == "use the other profile: profile:=lite"


def test_a_hand_without_power_is_told(rig):
    rig.inject("unplugged")
    report = look(rig)
    assert errors(report) == ["motors: no motor at 4000000 baud; motors 0-15 missing"]


def test_a_low_supply_is_told(rig, wait_until):
    rig.inject("brown_out")
    wait_until(lambda: rig.bank.servos[15].alert)
    assert "motors 0-15: 3.2 V" in errors(look(rig))


def test_a_busy_port_is_told(bus):
    (finding,) = examine(bus.config).findings
    assert (finding.level, finding.what) == (Level.ERROR, "bus")
    assert "in use" in finding.found


@pytest.mark.parametrize("kind", ["missing", "file", "/dev/null"])
def test_a_port_that_is_none(tmp_path, kind):
    path = kind if kind.startswith("/") else str(tmp_path / kind)
    if kind == "file":
        (tmp_path / kind).write_text("")
    (finding,) = check_port(path)
    assert finding.level is Level.ERROR
    assert finding.cure


def test_a_forbidden_port_names_the_group(rig, monkeypatch):
    monkeypatch.setattr(doctor.os, "access", lambda *_: False)  # root may open everything
    assert "usermod -aG dialout" in by_what(check_port(rig.port))["permission"].cure


def test_a_slow_latency_timer_names_the_udev_rule(rig, monkeypatch):
    monkeypatch.setattr(doctor, "is_pseudo_terminal", lambda _: False)
    monkeypatch.setattr(doctor, "latency_timer_ms", lambda _: 16)
    monkeypatch.setattr(doctor, "holders", lambda _: ["python (pid 4711)"])
    findings = by_what(check_port(rig.port))
    assert "99-leap-hand.rules" in findings["USB latency timer"].cure
    assert findings["USB latency timer"].level is Level.WARNING
    assert findings["port users"].cure.endswith("kill 4711")


def test_adapters_are_chosen_or_missed(monkeypatch):
    assert choose_port("/dev/x") == ("/dev/x", [])
    monkeypatch.setattr(doctor, "adapters", lambda: [])
    port, (finding,) = choose_port(None)
    assert port is None
    assert finding.level is Level.WARNING
    monkeypatch.setattr(doctor, "adapters", lambda: ["/dev/a", "/dev/b"])
    assert choose_port(None)[0] == "/dev/a"


def test_old_and_missing_packages_get_their_pip_line():
    versions = {"numpy": "2.4.6", "pyserial": None, "dynamixel-sdk": "4.0.4", "mujoco": "4.0.0"}
    findings = by_what(check_packages(versions.get))
    assert findings["numpy"].level is Level.OK
    assert findings["pyserial"].level is Level.ERROR
    assert findings["dynamixel-sdk"].level is Level.ERROR
    assert "4.0.5" in findings["dynamixel-sdk"].expected
    assert findings["onnxruntime"].level is Level.WARNING
    assert "pip install" in findings["pyserial"].cure


def test_the_command_prints_writes_and_returns(rig, tmp_path, capsys):
    path = tmp_path / "report.json"
    assert main(["--port", rig.port, "--json", str(path)]) == 0
    assert "all 16 answer" in capsys.readouterr().out
    content = json.loads(path.read_text())
    assert content["registers"]["4"]["id"] == 4
    assert {"level", "what", "found", "expected", "cure"} == set(content["findings"][0])
    assert main(["--port", str(tmp_path / "none")]) == 1
    out = capsys.readouterr().out
    assert "[FAIL]" in out
    assert "->" in out
    with pytest.raises(SystemExit):
        main(["--port", rig.port, "--profile", "medium"])
    assert "known profiles: full, lite" in capsys.readouterr().err
