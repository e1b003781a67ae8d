# SPDX-License-Identifier: Apache-2.0
"""A world drawn off screen, in a process of its own, and what is said where it cannot be."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image


def draw(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dexndm_ros.demo.world_picture", *words]
    return subprocess.run(
        command, capture_output=True, text=True, env=os.environ | environment, timeout=300
    )


def test_a_box_is_drawn_with_coloured_balls_or_a_sentence_says_why_not(tmp_path):
    file = tmp_path / "box.png"
    done = draw("chaos_box", str(file), "--wrist", "thumb_up")
    if done.returncode:
        assert "MUJOCO_GL" in done.stderr
        return
    pixels = np.asarray(Image.open(file).convert("RGB"), dtype=float)
    assert pixels.shape == (720, 960, 3)
    colourful = np.ptp(pixels, axis=2) > 60.0
    assert 0.05 < colourful.mean() < 0.8


@pytest.mark.parametrize(
    ("words", "environment", "said"),
    [
        (("no_such_world",), {}, "no_such_world"),
        (("chaos_box", "--wrist", "sideways"), {}, "sideways"),
        (("free_hand",), {"MUJOCO_GL": "no_such_backend"}, "libegl1"),
    ],
)
def test_what_cannot_be_drawn_is_one_sentence(tmp_path, words, environment, said):
    file = tmp_path / "none.png"
    done = draw(*words, str(file), **environment)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert said in done.stderr
    assert not file.exists()
