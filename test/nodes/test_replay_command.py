# SPDX-License-Identifier: Apache-2.0
"""``dexndm replay`` as a person uses it: in a terminal, with keys; and what it refuses before ROS is started."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("dexndm_msgs")

from dexndm_ros.playback.cli import main
from dexndm_ros.respawn import REFUSED
from support.replayed import write_run
from support.terminal import Terminal

pytestmark = pytest.mark.ros

COMMAND = [sys.executable, "-m", "dexndm_ros.cli", "replay"]


def environment(tmp_path):
    return os.environ | {"ROS_LOG_DIR": str(tmp_path / "log"), "COLUMNS": "160"}


def test_a_bag_is_stepped_through_with_keys(tmp_path) -> None:
    write_run(tmp_path)
    words = [
        *COMMAND,
        str(tmp_path / "e1"),
        "--step",
        "--clock",
        "--topics",
        "hand/state",
        "replay/step",
    ]
    with Terminal(words, environment(tmp_path)) as terminal:
        terminal.until("60 messages of 2 topics")
        terminal.until("keys: space pause")
        terminal.until("paused at the start")
        terminal.type("n")
        terminal.until("/hand/state at 0.000000 s")
        terminal.type("\x1b[C")
        terminal.until("/hand/state at 0.002000 s")
        terminal.type(".")
        terminal.until("4 messages, up to /replay/step")
        terminal.type("+")
        terminal.until("x2")
        terminal.type("r")
        terminal.until("0.00 of 0.10 s")
        terminal.type(" ")
        terminal.until("played 66 messages")
        assert terminal.wait() == 0


@pytest.mark.parametrize("key", ["q", "\x03"], ids=["q", "ctrl-c"])
def test_a_loop_ends_when_asked_to(tmp_path, key) -> None:
    write_run(tmp_path)
    with Terminal([*COMMAND, str(tmp_path / "e1"), "--loop"], environment(tmp_path)) as terminal:
        terminal.until("round 2")
        terminal.type(key)
        assert terminal.wait() == 0


def test_without_a_terminal_it_plays_and_ends(tmp_path) -> None:
    write_run(tmp_path)
    done = subprocess.run(
        [*COMMAND, str(tmp_path / "e1"), "--rate", "5", "--delay", "0.1"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
        env=environment(tmp_path),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "played 71 messages" in done.stdout + done.stderr
    assert "\x1b" not in done.stdout


def test_what_cannot_be_played_is_said_before_anything_is_started(tmp_path, capsys) -> None:
    write_run(tmp_path)
    bag, text = str(tmp_path / "e1"), tmp_path / "notes.txt"
    text.write_text("no bag")
    for words, told in (
        ([bag, "--topics", "hand/stat"], "did you mean /hand/state"),
        ([bag, "--rate", "0"], "rate is 0"),
        ([str(text)], "notes.txt is no bag"),
        ([str(tmp_path / "nowhere")], "nowhere"),
        ([""], "bag is empty"),
    ):
        assert main(words) == REFUSED
        said = capsys.readouterr().err
        assert said.startswith("dexndm replay: ") and told in said
