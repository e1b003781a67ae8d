# SPDX-License-Identifier: Apache-2.0
"""The list of processes that launch files and the demo share."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml

from dexndm_ros.bringup import SYSTEMS, BringupError, ProcessSpec, default_virtual_port, system
from dexndm_ros.campaign_head import CampaignHead
from dexndm_ros.process_spec import ParameterValue
from dexndm_ros.replay.campaign import Campaign


@pytest.fixture
def policy(tmp_path: Path) -> str:
    path = tmp_path / "some.onnx"
    path.write_bytes(b"not read here")
    return str(path)


@pytest.fixture
def campaign(tmp_path: Path) -> str:
    path = tmp_path / "night.yaml"
    path.write_text("orientation: palm_down\nhand_load: half\n")
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


def test_a_residual_reaches_the_policy_node_only_when_one_is_named(
    policy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = by_name(system("rotation_demo", {"policy": policy}))
    assert "residual" not in plain["rotation_policy"].parameters
    monkeypatch.chdir(tmp_path)
    (tmp_path / "residual.onnx").write_bytes(b"not read here")
    named = by_name(system("rotation_demo", {"policy": policy, "residual": "residual.onnx"}))
    assert named["rotation_policy"].parameters["residual"] == str(tmp_path / "residual.onnx")
    with pytest.raises(BringupError, match=r"nowhere\.onnx"):
        system("rotation_demo", {"policy": policy, "residual": "nowhere.onnx"})


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
    name: str, policy: str, campaign: str
) -> None:
    known = {argument.name for argument in SYSTEMS[name].arguments}
    arguments = {
        "sim": "true", "policy": policy, "wrist": "palm_down", "campaign": campaign, "world": "nominal",
        "bag": campaign,
    }  # fmt: skip
    for process in system(name, {key: arguments[key] for key in arguments.keys() & known}):
        assert importlib.util.find_spec(process.module) is not None
        assert process.parameter_file is not None
        content = yaml.safe_load(process.parameter_file.read_text())
        assert set(content) == {f"/**/{process.name}"}
        # What bringup sets must be a parameter the file documents.
        documented = set(flat(content[f"/**/{process.name}"]["ros__parameters"]))
        assert set(process.parameters) <= documented | {"use_sim_time"}  # every ROS node has that


def flat(mapping: dict[str, object], prefix: str = "") -> Iterator[str]:
    for key, value in mapping.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key


def test_the_chaos_box_starts_in_the_order_of_need_and_everything_comes_back(
    campaign: str, tmp_path: Path
) -> None:
    processes = system("chaos_box", {"campaign": campaign, "out": tmp_path / "out"})
    names = [p.name for p in processes]
    assert names == [
        "virtual_leap_hand", "leap_hand_driver", "episode_recorder", "chaos_box_replay", "dashboard",
    ]  # fmt: skip
    assert all(p.respawn for p in processes)
    assert [p.name for p in processes if not p.critical] == ["dashboard"]
    named = by_name(processes)
    hand = named["virtual_leap_hand"].parameters
    assert hand["wrist"] == "palm_down" and hand["speed"] == 1.0
    assert str(hand["world"]).endswith("chaos_box_half.yaml")
    assert hand["load"] == "half"
    assert named["chaos_box_replay"].parameters["campaign"] == campaign
    assert named["chaos_box_replay"].parameters["directory"] == str(tmp_path / "out")
    assert named["episode_recorder"].parameters["directory"] == str(tmp_path / "out" / "bags")
    assert named["episode_recorder"].parameters["min_free_gb"] == 1.0
    assert named["dashboard"].parameters["directory"] == str(tmp_path / "out")
    # The replay switches the torque on, once everything is ready; a dead replay must not leave it on.
    driver = named["leap_hand_driver"].parameters
    assert driver["enable_on_activate"] is False
    assert driver["relax_after_s"] == 5.0


def test_a_faster_virtual_hand_has_a_faster_driver_and_everybody_follows_its_clock(
    campaign: str,
) -> None:
    words = {
        "campaign": campaign,
        "speed": "4",
        "rate": "110",
        "world": "nominal",
        "wrist": "palm_up",
    }
    named = by_name(system("chaos_box", words))
    driver = named["leap_hand_driver"].parameters
    assert driver["rate_hz"] == 250.0
    assert driver["command_period_s"] == 0.0125
    assert driver["ramp_speed_rad_s"] == 4.0
    assert named["virtual_leap_hand"].parameters["speed"] == 4.0
    assert named["virtual_leap_hand"].parameters["wrist"] == "palm_up"
    for name in ("leap_hand_driver", "episode_recorder", "chaos_box_replay"):
        assert named[name].parameters["use_sim_time"] is True
    fastest = by_name(system("chaos_box", words | {"speed": "40"}))["leap_hand_driver"].parameters
    assert fastest["rate_hz"] == 250.0


def test_at_its_real_pace_a_virtual_hand_lives_by_the_same_clock_as_a_real_one(
    campaign: str,
) -> None:
    for process in system("chaos_box", {"campaign": campaign}):
        assert "use_sim_time" not in process.parameters


def test_a_real_hand_in_the_box_lives_in_real_time(campaign: str, tmp_path: Path) -> None:
    port = tmp_path / "leap_hand"
    port.touch()
    words = {"campaign": campaign, "port": port, "dashboard": "false", "realtime": "true"}
    processes = system("chaos_box", words)
    assert [p.name for p in processes] == [
        "leap_hand_driver",
        "episode_recorder",
        "chaos_box_replay",
    ]
    for process in processes:
        assert "use_sim_time" not in process.parameters
    driver = processes[0].parameters
    assert driver["port"] == str(port)
    # Started again while the cable is out, the driver has to wait for it.
    assert driver["port_wait_s"] == 600.0
    assert "command_period_s" not in driver and "ramp_speed_rad_s" not in driver
    assert driver["realtime.fifo_priority"] == 60
    assert processes[2].parameters["realtime.fifo_priority"] == 60


def test_who_wants_a_message_gets_the_dashboard_that_sends_it(
    campaign: str, tmp_path: Path
) -> None:
    words = {"campaign": campaign, "world": "nominal", "dashboard": "false"}
    assert "dashboard" not in by_name(system("chaos_box", words))
    with Path(campaign).open("a") as file:
        file.write("notify: {webhook: 'https://example.org/x'}\n")
    named = by_name(system("chaos_box", words))
    assert named["dashboard"].parameters["webhook"] == "https://example.org/x"


def test_what_is_read_of_a_campaign_has_the_names_and_defaults_of_the_campaign() -> None:
    real = Campaign("c", "palm_up", "waves", 1)
    head = CampaignHead()
    assert head.hand_load == real.hand_load
    assert head.webhook == real.notify.webhook
    assert head.pause_gb == real.disk.pause_gb


def test_without_a_folder_the_campaign_gives_its_name(
    campaign: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    named = by_name(system("chaos_box", {"campaign": campaign, "world": "nominal"}))
    assert named["chaos_box_replay"].parameters["directory"] == str(
        tmp_path / "campaigns" / "night"
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"speed": "0"}, "speed is '0'; allowed: 0.05 to 100 times real time"),
        ({"speed": "nan"}, "speed is 'nan'"),
        ({"dashboard": "perhaps"}, "dashboard is 'perhaps'; allowed: true or false"),
        ({"dashboard_port": "99999"}, "dashboard_port"),
        ({"port": "/nowhere/hand"}, "/nowhere/hand does not exist: plug the U2D2 in"),
        ({"port": "/dev/null", "speed": "2"}, "the hand at /dev/null is real"),
        ({"campaign": "no_such_campaign"}, "no campaign 'no_such_campaign'"),
        ({"wrist_orientation": "palm_up"}, "has no argument"),
    ],
)
def test_a_wrong_argument_of_the_chaos_box_is_refused(
    arguments: dict[str, object], words: str, campaign: str
) -> None:
    with pytest.raises(BringupError, match=re.escape(words)):
        system("chaos_box", {"campaign": campaign, "world": "nominal"} | arguments)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- a list\n", "holds no keys"),
        ("orientation: [\n", "cannot be read"),
        ("hand_load: overfull\n", "hand_load is 'overfull'; allowed: full, half, free, tied"),
        ("hand_load: [full]\n", "hand_load is"),
        ("orientation: 3\n", "orientation is 3"),
        ("disk: {pause_gb: much}\n", "pause_gb is 'much'"),
        ("notify: {webhook: 3}\n", "webhook is 3"),
    ],
)
def test_a_campaign_file_that_tells_nothing_is_refused(
    tmp_path: Path, text: str, words: str
) -> None:
    path = tmp_path / "campaign.yaml"
    path.write_text(text)
    with pytest.raises(BringupError, match=words):
        system("chaos_box", {"campaign": path})


def test_a_bag_replay_is_one_node_that_gets_what_was_asked(tmp_path: Path) -> None:
    bag = tmp_path / "e000001_a1"
    bag.mkdir()
    words = {
        "bag": bag,
        "rate": "0.5",
        "start": "2",
        "pause": "true",
        "remap": "/a:=/b",
        "clock": "100",
    }
    (process,) = system("bag_replay", words)
    assert process.name == "bag_replay"
    given = process.parameters
    assert (given["bag"], given["rate"], given["start_s"]) == (str(bag), 0.5, 2.0)
    assert (given["paused"], given["remap"], given["clock_hz"]) == (True, "/a:=/b", 100.0)
    assert given["publish_commands"] is False and given["keep_holes"] is False
    assert given["allow_listeners"] == ""
    assert not process.respawn  # a bag that was played is not played again


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "bag is empty; name the bag"),
        ({"bag": "/nowhere/e1"}, "/nowhere/e1 does not exist"),
        ({"rate": "0"}, "rate is '0'; allowed: 0.001 to 1000"),
        ({"publish_commands": "perhaps"}, "publish_commands is 'perhaps'; allowed: true or false"),
    ],
)
def test_a_wrong_argument_of_a_bag_replay_is_refused(
    arguments: dict[str, object], words: str, tmp_path: Path
) -> None:
    given = {"bag": tmp_path, **arguments} if arguments else {}
    with pytest.raises(BringupError, match=re.escape(words)):
        system("bag_replay", given)


def test_teleop_without_arguments_is_a_virtual_arm_that_carries_the_virtual_hand() -> None:
    processes = system("teleop")
    assert [p.name for p in processes] == [
        "virtual_arm", "leap_hand_driver", "rotation_policy", "arm_bridge", "quest_bridge",
    ]  # fmt: skip
    named = by_name(processes)
    assert named["virtual_arm"].module == "dexndm_ros.nodes.virtual_arm"
    assert named["virtual_arm"].parameters["link"] == named["leap_hand_driver"].parameters["port"]
    assert named["arm_bridge"].parameters["profile"] == "virtual"
    # Nothing turns until the operator says so, nor when nobody tells the axis any more.
    policy = named["rotation_policy"].parameters
    assert policy["axis"] == "stop" and float(policy["command_lease_s"]) > 0.0
    quest = named["quest_bridge"].parameters
    assert (quest["source"], quest["host"], quest["tls"]) == ("webxr", "127.0.0.1", False)
    assert "stale_s" not in quest, "a live operator's data ages as with a real arm"


def test_how_the_headset_is_reached_is_told_to_who_reaches_it() -> None:
    words = {"usb": "false", "adb": "/opt/adb", "headset": "2G0YC1"}

    def quest(**more: str) -> Mapping[str, ParameterValue]:
        return by_name(system("teleop", {**words, **more}))["quest_bridge"].parameters

    page = quest()
    assert (page["usb"], page["adb"], page["serial"]) == (False, "/opt/adb", "2G0YC1")
    assert page["directory"], "a token that is new at each start would pair no headset for long"
    app = quest(source="oculus_reader")
    assert (app["adb"], app["serial"], "usb" in app) == ("/opt/adb", "2G0YC1", False)
    assert "adb" not in quest(source="recording")


def test_a_real_arm_gets_the_driver_of_a_real_hand_or_none() -> None:
    words = {"arm": "crisp", "port": "/dev/null", "wrist_from": "imu", "axis_from": "orientation"}
    processes = system("teleop", words)
    assert [p.name for p in processes] == [
        "leap_hand_driver", "rotation_policy", "arm_bridge", "quest_bridge",
    ]  # fmt: skip
    named = by_name(processes)
    assert named["leap_hand_driver"].parameters["port"] == "/dev/null"
    assert named["arm_bridge"].parameters == {"profile": "crisp", "wrist.source": "imu"}
    assert named["quest_bridge"].parameters["axis.mode"] == "orientation"
    assert "lost_s" not in named["rotation_policy"].parameters, "that patience is for virtual hands"
    alone = system("teleop", {"arm": "crisp", "hand": "false"})
    assert [p.name for p in alone] == ["arm_bridge", "quest_bridge"]


def test_a_bridge_that_crashes_is_started_again_and_the_hand_keeps_what_it_holds() -> None:
    """Both hold after a new start until the grip is pressed anew; hand and driver know nothing of it."""
    named = by_name(system("teleop", {"arm": "crisp", "port": "/dev/leap_hand"}))
    for bridge in ("quest_bridge", "arm_bridge"):
        assert named[bridge].respawn
        # Settings that it refuses, and a crash without end, a person must hear of.
        assert named[bridge].critical


def test_a_session_is_not_written_over_a_file_that_is_there(tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    named = by_name(system("teleop", {"record": file}))
    assert named["quest_bridge"].parameters["record"] == str(file)
    file.touch()
    with pytest.raises(BringupError, match="exists: remove it, or name another file"):
        system("teleop", {"record": file})
    with pytest.raises(BringupError, match="there is no folder"):
        system("teleop", {"record": tmp_path / "nowhere" / "mine.jsonl"})


def test_a_recorded_operator_is_found_by_name_and_only_moves_a_virtual_arm(tmp_path: Path) -> None:
    named = by_name(system("teleop", {"source": "recording", "wait": "true"}))
    quest = named["quest_bridge"].parameters
    assert str(quest["recording"]).endswith("config/teleop/sessions/light_bulb.jsonl.gz")
    assert quest["wait"] is True
    assert "host" not in quest
    own = tmp_path / "own.jsonl"
    own.touch()
    named = by_name(system("teleop", {"source": "recording", "recording": own}))
    assert named["quest_bridge"].parameters["recording"] == str(own)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"port": "/dev/null"}, "arm is virtual, and carries the virtual hand: leave port"),
        ({"hand": "false"}, "arm is virtual"),
        ({"arm": "crisp"}, "the hand would be virtual: name the hand's port"),
        ({"arm": "crisp", "hand": "false", "source": "recording"}, "does not see the arm"),
        ({"source": "psychic"}, "source is 'psychic'; allowed: webxr, oculus_reader, recording"),
        ({"source": "recording", "recording": "ballet"}, "shipped: light_bulb"),
        ({"axis_from": "both"}, "axis_from is 'both'"),
        ({"scale": "0"}, "scale is '0'; allowed: 0.05 to 4"),
        ({"page_port": "99999"}, "page_port"),
        ({"axis": "+z"}, "teleop has no argument 'axis'"),
    ],
)
def test_a_wrong_argument_of_teleop_is_refused(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(BringupError, match=re.escape(words)):
        system("teleop", arguments)
