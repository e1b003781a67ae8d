# SPDX-License-Identifier: Apache-2.0
"""What --save writes: recording, plot, and (where something can draw) video, GIF and stills."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dexndm_ros.demo.pictures import make_pictures
from dexndm_ros.demo.recording import Recording, RecordingData
from dexndm_ros.demo.run import DemoRun
from dexndm_ros.paths import world_path
from support.demo_events import START, play, pose, state

PNG, GIF = b"\x89PNG", b"GIF8"


def recorded(seconds: float = 1.0) -> DemoRun:
    run = DemoRun(simulated=True, record=True)
    play(run, seconds)
    return run


def save(run: DemoRun, folder: Path, world: str) -> RecordingData:
    data = run.recording.data(run.began_ns, run.period_ms, run.delay_ms, run.wrist_xyzw, world)
    data.save(folder)
    return data


def draw(module: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"dexndm_ros.demo.{module}", str(folder)],
        capture_output=True, text=True, env=os.environ | environment, check=False,
    )  # fmt: skip


def test_a_recording_comes_back_as_it_was(tmp_path) -> None:
    data = save(recorded(), tmp_path, "nominal")
    back = RecordingData.load(tmp_path)
    for name, value in vars(data).items():
        np.testing.assert_array_equal(value, getattr(back, name))
    assert back.angle[-1] == pytest.approx(1.0)
    assert back.state_s[0] < 0.0 < back.state_s[-1]


def test_poses_are_those_last_seen_at_each_time() -> None:
    recording = Recording()
    for k in range(3):
        recording.add_state(state(k, START + k * 10**9))
        recording.add_object(pose(START + k * 10**9, 0.1 * k))
    data = recording.data(START, [], [], (0, 0, 0, 1), "")
    q, position, xyzw = data.poses(np.array([-5.0, 0.5, 1.0, 99.0]))
    assert q[:, 0] == pytest.approx([0.0, 0.0, 1e-3, 2e-3])
    assert position.shape == (4, 3)
    assert xyzw[:, 2] == pytest.approx(np.sin([0.0, 0.0, 0.05, 0.1]))


def test_the_plot_is_drawn_also_of_a_real_hand(tmp_path) -> None:
    for simulated in (True, False):
        folder = tmp_path / str(simulated)
        folder.mkdir()
        run = DemoRun(simulated, record=True)
        play(run, 0.5)
        run.recording._angles = run.recording._angles if simulated else []
        save(run, folder, "")
        done = draw("plot", folder)
        assert done.returncode == 0, done.stderr
        assert (folder / "demo.png").read_bytes().startswith(PNG)


def test_pictures_are_made_or_a_sentence_says_why_not(tmp_path, capsys) -> None:
    make_pictures(recorded(), tmp_path, str(world_path("nominal")), tmp_path / "logs")
    said = capsys.readouterr().out
    assert (tmp_path / "demo.png").read_bytes().startswith(PNG)
    if "no video" in said:
        assert "MUJOCO_GL" in said
        assert not (tmp_path / "demo.mp4").exists()
        return
    assert b"ftyp" in (tmp_path / "demo.mp4").read_bytes()[:12]
    assert (tmp_path / "demo.gif").read_bytes().startswith(GIF)
    assert (tmp_path / "stills.png").read_bytes().startswith(PNG)


def test_without_a_way_to_draw_one_sentence_tells_the_cure(tmp_path) -> None:
    save(recorded(0.2), tmp_path, "")
    done = draw("render", tmp_path, MUJOCO_GL="no_such_backend")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "no video" in done.stderr and "libegl1" in done.stderr


def test_the_demo_process_loads_neither_mujoco_nor_ros_nor_torch() -> None:
    code = (
        "import sys, dexndm_ros.demo.cli, dexndm_ros.demo.viewer;"
        "print(*{'mujoco', 'rclpy', 'torch', 'matplotlib', 'onnxruntime'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
