# SPDX-License-Identifier: Apache-2.0
"""``dexndm demo`` from end to end: real processes, a policy that holds still, and every way out."""

from __future__ import annotations

import json
import os
import signal
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from dexndm_ros.bringup import system
from support.command import Command, alive, running, wait_gone
from support.tiny_policy import residual_spec, write_tiny_policy

pytestmark = [pytest.mark.ros, pytest.mark.slow]

NODES = {"virtual_leap_hand", "leap_hand_driver", "rotation_policy"}


def demo(folder: Path, *words: str, delta: float = 0.0) -> AbstractContextManager[Command]:
    """A demo with a policy that turns every joint by ``delta`` a tick."""
    policy = write_tiny_policy(folder / "tiny.onnx", bias=[delta] * 16)
    return running(Command(folder, "demo", "--policy", str(policy), *words))


def test_a_short_demo_reports_and_leaves_nothing_behind(tmp_path) -> None:
    report = tmp_path / "report.json"
    with demo(tmp_path, "--seconds", "2", "--headless", "--report", str(report)) as shown:
        shown.until(lambda: set(shown.nodes()) == NODES, "all nodes")
        nodes = shown.nodes()
        assert shown.wait() == 0, shown.said
        assert not any(alive(pid) for pid in nodes.values())
    data = json.loads(report.read_text())
    assert data["world"] == "nominal" and data["policy"].endswith("tiny.onnx")
    assert data["fell"] is False and data["seconds"] > 0.5
    assert data["ticks"] > 10 and data["missed_ticks"] >= 0
    for key in ("tick_period_ms", "obs_to_command_ms"):
        assert 0.0 < data[key]["p50"] <= data[key]["p99"] <= data[key]["max"]
    assert data["tick_period_ms"]["p50"] == pytest.approx(50.0, rel=0.5)
    assert data["bus_hz"] > 0.0
    assert "turned" in shown.said and "waiting" not in shown.said.splitlines()[-1]
    assert not list(tmp_path.glob("dexndm-demo-*"))


def test_a_residual_that_does_not_run_is_told_and_the_base_policy_shown(tmp_path) -> None:
    residual = write_tiny_policy(
        tmp_path / "correction.onnx", spec=residual_spec(refused="a delay of a tick")
    )
    report = tmp_path / "report.json"
    words = ("--residual", str(residual), "--seconds", "1", "--headless", "--report", str(report))
    with demo(tmp_path, *words) as shown:
        assert shown.wait() == 0, shown.said
    line = "the residual does not run, the base policy runs alone: a delay of a tick"
    assert line in shown.said.splitlines()
    assert json.loads(report.read_text())["policy"].endswith("correction.onnx")


def policy_runs(shown: Command) -> bool:
    return "held" in shown.said


def test_ctrl_c_ends_it_in_order_with_a_report(tmp_path) -> None:
    report = tmp_path / "report.json"
    with demo(tmp_path, "--seconds", "600", "--headless", "--report", str(report)) as shown:
        shown.until(lambda: policy_runs(shown), "the policy to run")
        nodes = shown.nodes()
        shown.process.send_signal(signal.SIGINT)
        assert shown.wait() == 130, shown.said
        assert set(nodes) == NODES
        assert not any(alive(pid) for pid in nodes.values())
    assert json.loads(report.read_text())["ticks"] > 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("when", ["starting", "running"])
def test_however_it_is_ended_the_nodes_end_too(tmp_path, number, when) -> None:
    with demo(tmp_path, "--headless") as shown:
        shown.until(lambda: set(shown.nodes()) == NODES, "all nodes")
        if when == "running":
            shown.until(lambda: policy_runs(shown), "the policy to run")
        nodes = shown.nodes()
        shown.process.send_signal(number)
        assert shown.wait() == (143 if number == signal.SIGTERM else -signal.SIGKILL)
        wait_gone(nodes)


def test_a_node_that_dies_ends_it_with_a_sentence(tmp_path) -> None:
    with demo(tmp_path, "--headless") as shown:
        shown.until(lambda: set(shown.nodes()) == NODES, "all nodes")
        nodes = shown.nodes()
        os.kill(nodes["rotation_policy"], signal.SIGKILL)
        assert shown.wait() == 1
        assert "rotation_policy ended by SIGKILL" in shown.said
        assert "Traceback" not in shown.said
        wait_gone(nodes)


@pytest.mark.parametrize(
    "words, sentence",
    [
        (["--world", "no_such_world"], "no world 'no_such_world'"),
        (["--report", "no/such/folder/r.json", "--seconds", "1"], "its folder does not exist"),
        (["--rate", "fast"], "to 500 Hz"),
    ],
)
def test_what_cannot_start_is_told_before_anything_starts(tmp_path, words, sentence) -> None:
    with demo(tmp_path, "--headless", *words) as shown:
        assert shown.wait() == 1
        assert sentence in shown.said and "Traceback" not in shown.said
        assert len(shown.said.splitlines()) == 1


def test_a_hand_that_opens_lets_fall_and_gets_the_object_again(tmp_path) -> None:
    report = tmp_path / "report.json"
    words = ("--wrist", "palm_down", "--seconds", "14", "--headless", "--report", str(report))
    with demo(tmp_path, *words, delta=-1.0) as shown:
        assert shown.wait() == 0, shown.said
    data = json.loads(report.read_text())
    assert data["fell"] is True
    # It fell within seconds; the rest is the hand opening, closing and rotating again.
    assert 0.0 < data["seconds"] < 10.0


def test_a_wrist_turns_world_and_policy_alike(tmp_path) -> None:
    """What the command line asks for reaches both ends."""
    from dexndm_ros.demo.options import parse_options
    from dexndm_ros.demo.world_summary import with_wrist
    from dexndm_ros.paths import world_path
    from dexndm_ros.sim.worlds import World

    world = with_wrist(world_path("nominal"), "palm_down", tmp_path)
    policy = write_tiny_policy(tmp_path / "tiny.onnx")
    words = ["--wrist", "palm_down", "--world", str(world), "--policy", str(policy)]
    specs = {spec.name: spec for spec in system("rotation_demo", parse_options(words).arguments())}
    assert specs["rotation_policy"].parameters["wrist"] == "palm_down"
    assert World.load(str(specs["virtual_leap_hand"].parameters["world"])).wrist == "palm_down"
