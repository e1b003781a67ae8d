# SPDX-License-Identifier: Apache-2.0
"""The list of processes that launch files and the demo share."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
import yaml

from dexndm_ros.bringup import SYSTEMS, BringupError, ProcessSpec, default_virtual_port, system


@pytest.fixture
def policy(tmp_path: Path) -> str:
    path = tmp_path / "some.onnx"
    path.write_bytes(b"not read here")
    return str(path)


def by_name(processes: list[ProcessSpec]) -> dict[str, ProcessSpec]:
    return {process.name: process for process in processes}


def test_realtime_is_asked_of_driver_and_policy_only_when_wanted(policy: str) -> None:
    key = "realtime.fifo_priority"
    plain = system("rotation_demo", {"policy": policy})
    assert not any(key in process.parameters for process in plain)
    wanted = by_name(system("rotation_demo", {"policy": policy, "realtime": "true"}))
    assert wanted["leap_hand_driver"].parameters[key] == 60
    assert wanted["rotation_policy"].parameters[key] == 60
    assert key not in wanted["virtual_leap_hand"].parameters
    with pytest.raises(BringupError, match="realtime"):
        system("rotation_demo", {"policy": policy, "realtime": "perhaps"})


def test_demo_without_arguments_is_the_virtual_hand_and_starts_in_the_order_of_need(
    policy: str,
) -> None:
    processes = system("rotation_demo", {"policy": policy})
    assert [p.name for p in processes] == [
        "virtual_leap_hand",
        "leap_hand_driver",
        "rotation_policy",
    ]
    named = by_name(processes)
    assert named["virtual_leap_hand"].parameters["link"] == default_virtual_port()
    assert named["leap_hand_driver"].parameters["port"] == default_virtual_port()
    assert named["leap_hand_driver"].parameters["enable_on_activate"] is True
    assert str(named["rotation_policy"].parameters["policy"]).endswith("some.onnx")


def test_naming_a_port_means_the_real_hand(policy: str) -> None:
    processes = system("rotation_demo", {"policy": policy, "port": "/dev/ttyUSB7", "rate": 400})
    assert [p.name for p in processes] == ["leap_hand_driver", "rotation_policy"]
    assert processes[0].parameters["port"] == "/dev/ttyUSB7"
    assert processes[0].parameters["rate_hz"] == 400.0
    # A real port that is missing must fail at once, not after a wait for a simulator.
    assert "port_wait_s" not in processes[0].parameters


def test_a_virtual_hand_can_be_put_at_a_named_port(tmp_path: Path) -> None:
    link = str(tmp_path / "hand")
    named = by_name(system("leap_hand", {"sim": True, "port": link, "seed": 5}))
    assert named["virtual_leap_hand"].parameters["link"] == link
    assert str(named["virtual_leap_hand"].parameters["world"]).endswith("nominal.yaml")
    assert named["virtual_leap_hand"].parameters["seed"] == 5
    assert named["leap_hand_driver"].parameters["port"] == link
    assert named["leap_hand_driver"].parameters["enable_on_activate"] is False


def test_each_domain_has_its_own_virtual_port(monkeypatch: pytest.MonkeyPatch) -> None:
    ports = set()
    for domain in ("3", "4"):
        monkeypatch.setenv("ROS_DOMAIN_ID", domain)
        ports.add(default_virtual_port())
    assert len(ports) == 2


def test_the_virtual_hand_never_replaces_a_real_device() -> None:
    with pytest.raises(BringupError, match="real serial device"):
        system("leap_hand", {"sim": "true", "port": "/dev/null"})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"sim": "perhaps"}, "true or false"),
        ({"enable": "perhaps"}, "true or false"),
        ({"rate": "fast"}, "20 to 500 Hz"),
        ({"rate": "nan"}, "20 to 500 Hz"),
        ({"rate": 5000}, "20 to 500 Hz"),
        ({"speed": "1"}, "has no argument 'speed'"),
        ({"world": "atlantis"}, "no world 'atlantis'"),
    ],
)
def test_a_wrong_argument_is_refused_with_what_is_allowed(
    arguments: dict[str, object], words: str
) -> None:
    with pytest.raises(BringupError, match=words):
        system("leap_hand", arguments)


def test_an_unknown_system_names_the_known_ones() -> None:
    with pytest.raises(BringupError, match="rotation_demo"):
        system("rotation_dmeo")


def test_relative_files_are_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("{}")
    (tmp_path / "mine.onnx").write_bytes(b"x")
    named = by_name(system("rotation_demo", {"world": "mine.yaml", "policy": "mine.onnx"}))
    assert named["virtual_leap_hand"].parameters["world"] == str(tmp_path / "mine.yaml")
    assert named["rotation_policy"].parameters["policy"] == str(tmp_path / "mine.onnx")


def test_parameters_keep_their_type_through_the_command_line() -> None:
    spec = ProcessSpec("n", "m", "n", {"axis": "1", "on": True, "hz": 5.0, "count": 2})
    words = spec.command("python3")
    assert words[:4] == ["python3", "-m", "m", "--ros-args"]
    pairs = dict(
        word.split(":=", 1) for word in words if ":=" in word and not word.startswith("__")
    )
    assert {key: yaml.safe_load(text) for key, text in pairs.items()} == spec.parameters
    assert json.loads(pairs["axis"]) == "1"


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_module_exists_and_every_parameter_file_speaks_of_its_node(
    name: str, policy: str
) -> None:
    known = {argument.name for argument in SYSTEMS[name].arguments}
    arguments = {"sim": "true", "policy": policy, "wrist": "palm_down"}
    for process in system(name, {key: arguments[key] for key in arguments.keys() & known}):
        assert importlib.util.find_spec(process.module) is not None
        assert process.parameter_file is not None
        content = yaml.safe_load(process.parameter_file.read_text())
        assert set(content) == {f"/**/{process.name}"}
        # What bringup sets must be a parameter the file documents.
        assert set(process.parameters) <= set(content[f"/**/{process.name}"]["ros__parameters"])
