# SPDX-License-Identifier: Apache-2.0
"""Families of objects drawn off screen, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
from PIL import Image


def draw(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dexndm_ros.demo.objects_picture", *words]
    return subprocess.run(
        command, capture_output=True, text=True, env=os.environ | environment, timeout=300
    )


def test_every_object_is_in_the_picture_or_a_sentence_says_why_not(tmp_path):
    file = tmp_path / "objects.png"
    done = draw(str(file), "--objects", "cylinders,named")
    if done.returncode:
        assert "MUJOCO_GL" in done.stderr
        return
    pixels = np.asarray(Image.open(file).convert("RGB"), dtype=float)
    coloured = np.ptp(pixels, axis=2) > 30.0
    rows, columns = 3, 13
    height, width = (side // n for side, n in zip(coloured.shape, (rows, columns), strict=True))
    seen = [
        [coloured[r * height : (r + 1) * height, c * width : (c + 1) * width].mean() for c in range(columns)]
        for r in range(rows)
    ]  # fmt: skip
    assert (np.array(seen[0])[:9] > 0.02).all() and max(seen[0][9:]) < 0.02
    assert (np.array(seen[1:]) > 0.02).all()


def test_unknown_objects_are_one_sentence(tmp_path):
    done = draw(str(tmp_path / "none.png"), "--objects", "teapots")
    assert done.returncode == 1
    assert "'teapots' are none of" in done.stderr or "MUJOCO_GL" in done.stderr
