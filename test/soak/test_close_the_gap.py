# SPDX-License-Identifier: Apache-2.0
"""The whole loop at its smallest, through ROS and all: cut off by kill -9 in the middle, gone on with, ended by a page.

Some ten minutes on two cores that do nothing else.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dexndm_ros.loop.records import Records
from dexndm_ros.loop.settings import Settings
from dexndm_ros.loop.stages import plan

pytestmark = [pytest.mark.soak, pytest.mark.ros]


def loop(out: Path, world: str) -> list[str]:
    words = ["close-the-gap", "--size", "tiny", "--world", world, "--out", str(out)]
    return [sys.executable, "-m", "dexndm_ros.cli", *words]


@pytest.mark.parametrize("world", ["twin", "delay_50ms"])
def test_it_closes_after_a_kill_and_says_what_came_of_it(tmp_path: Path, world: str) -> None:
    out = tmp_path / "loop"
    first = subprocess.Popen(loop(out, world))
    half = out / "chaos_box" / "palm_up_loaded" / "campaign.sqlite"
    while not half.exists():
        assert first.poll() is None
        time.sleep(0.5)
    time.sleep(5.0)  # the hand moves
    first.send_signal(signal.SIGKILL)
    first.wait()
    done = {path.stem: path.read_bytes() for path in (out / "done").glob("*.json")}
    assert {"rollouts", "replays_loaded", "replays_free", "task"} <= set(done)

    again = subprocess.run(loop(out, world), capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    for name, text in done.items():  # not done a second time
        assert (out / "done" / f"{name}.json").read_bytes() == text
    records = Records(out / "done")
    left = [step for step in plan(Settings(out, world, "tiny")) if not records.is_done(step)]
    metrics = json.loads((out / "residual" / "metrics.json").read_text(encoding="utf-8"))
    if metrics["chosen"] == "none":
        assert [step.name for step in left] == ["evaluate_residual"]
        assert "The residual is refused" in again.stdout and metrics["refused"] in again.stdout
    else:
        assert left == []
        assert "base + residual" in again.stdout
    assert (out / "index.html").is_file() and (out / "result.png").is_file()

    third = subprocess.run(loop(out, world), capture_output=True, text=True, check=False)
    assert third.returncode == 0 and "stage" not in third.stdout.split("world")[0]
