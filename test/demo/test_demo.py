# SPDX-License-Identifier: Apache-2.0
"""``dexndm demo`` from end to end: real processes, a policy that holds still, and every way out."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dexndm_ros.bringup import system
from support.tiny_policy import write_tiny_policy

pytestmark = [pytest.mark.ros, pytest.mark.slow]

PATIENCE_S = 240.0
NODES = {"virtual_leap_hand", "leap_hand_driver", "rotation_policy"}


class Demo:
    """A demo process and what it printed."""

    def __init__(self, folder: Path, *words: str, delta: float = 0.0) -> None:
        self.output = folder / "output"
        policy = write_tiny_policy(folder / "tiny.onnx", bias=[delta] * 16)
        command = [sys.executable, "-m", "dexndm_ros.cli", "demo", "--policy", str(policy), *words]
        # A port of its own, and a folder for logs that the test can look into.
        environment = os.environ | {"XDG_RUNTIME_DIR": str(folder), "TMPDIR": str(folder)}
        with self.output.open("wb") as file:
            self.process = subprocess.Popen(
                command, stdout=file, stderr=subprocess.STDOUT, env=environment, process_group=0
            )

    @property
    def said(self) -> str:
        return self.output.read_text(errors="replace")

    def nodes(self) -> dict[str, int]:
        """Its node processes by name."""
        found = {}
        for pid in living_pids():
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                name = next((w.decode() for w in words if w.startswith(b"dexndm_ros.nodes.")), "")
                if name and parent(pid) == self.process.pid:
                    found[name.rpartition(".")[2]] = pid
        return found

    def until(self, condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert self.process.poll() is None, f"ended before {what}:\n{self.said}"
            assert time.monotonic() < deadline, f"waited for {what}:\n{self.said}"
            time.sleep(0.05)

    def wait(self) -> int:
        try:
            return self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"did not end:\n{self.said}") from None


@contextlib.contextmanager
def demo(folder: Path, *words: str, delta: float = 0.0) -> Iterator[Demo]:
    running = Demo(folder, *words, delta=delta)
    try:
        yield running
    finally:
        left = running.nodes()
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait()
        wait_gone(left)


def living_pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()


def parent(pid: int) -> int:
    return int(stat(pid)[1])


def alive(pid: int) -> bool:
    try:
        return stat(pid)[0] not in "ZX"
    except OSError:
        return False


def wait_gone(nodes: dict[str, int]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while left := [name for name, pid in nodes.items() if alive(pid)]:
        assert time.monotonic() < deadline, f"still running: {left}"
        time.sleep(0.05)


def test_a_short_demo_reports_and_leaves_nothing_behind(tmp_path) -> None:
    report = tmp_path / "report.json"
    with demo(tmp_path, "--seconds", "2", "--headless", "--report", str(report)) as running:
        running.until(lambda: set(running.nodes()) == NODES, "all nodes")
        nodes = running.nodes()
        assert running.wait() == 0, running.said
        assert not any(alive(pid) for pid in nodes.values())
    data = json.loads(report.read_text())
    assert data["world"] == "nominal" and data["policy"].endswith("tiny.onnx")
    assert data["fell"] is False and data["seconds"] > 0.5
    assert data["ticks"] > 10 and data["missed_ticks"] >= 0
    for key in ("tick_period_ms", "obs_to_command_ms"):
        assert 0.0 < data[key]["p50"] <= data[key]["p99"] <= data[key]["max"]
    assert data["tick_period_ms"]["p50"] == pytest.approx(50.0, rel=0.5)
    assert data["bus_hz"] > 0.0
    assert "turned" in running.said and "waiting" not in running.said.splitlines()[-1]
    assert not list(tmp_path.glob("dexndm-demo-*"))


def running_policy(running: Demo) -> bool:
    return "held" in running.said


def test_ctrl_c_ends_it_in_order_with_a_report(tmp_path) -> None:
    report = tmp_path / "report.json"
    with demo(tmp_path, "--seconds", "600", "--headless", "--report", str(report)) as running:
        running.until(lambda: running_policy(running), "the policy to run")
        nodes = running.nodes()
        running.process.send_signal(signal.SIGINT)
        assert running.wait() == 130, running.said
        assert set(nodes) == NODES
        assert not any(alive(pid) for pid in nodes.values())
    assert json.loads(report.read_text())["ticks"] > 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("when", ["starting", "running"])
def test_however_it_is_ended_the_nodes_end_too(tmp_path, number, when) -> None:
    with demo(tmp_path, "--headless") as running:
        running.until(lambda: set(running.nodes()) == NODES, "all nodes")
        if when == "running":
            running.until(lambda: running_policy(running), "the policy to run")
        nodes = running.nodes()
        running.process.send_signal(number)
        assert running.wait() == (143 if number == signal.SIGTERM else -signal.SIGKILL)
        wait_gone(nodes)


def test_a_node_that_dies_ends_it_with_a_sentence(tmp_path) -> None:
    with demo(tmp_path, "--headless") as running:
        running.until(lambda: set(running.nodes()) == NODES, "all nodes")
        nodes = running.nodes()
        os.kill(nodes["rotation_policy"], signal.SIGKILL)
        assert running.wait() == 1
        assert "rotation_policy ended by SIGKILL" in running.said
        assert "Traceback" not in running.said
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
    with demo(tmp_path, "--headless", *words) as running:
        assert running.wait() == 1
        assert sentence in running.said and "Traceback" not in running.said
        assert len(running.said.splitlines()) == 1


def test_a_hand_that_opens_lets_fall_and_gets_the_object_again(tmp_path) -> None:
    report = tmp_path / "report.json"
    words = ("--wrist", "palm_down", "--seconds", "14", "--headless", "--report", str(report))
    with demo(tmp_path, *words, delta=-1.0) as running:
        assert running.wait() == 0, running.said
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
