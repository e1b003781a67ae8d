# SPDX-License-Identifier: Apache-2.0
"""``--save DIR``: the recording, then video, GIF and plot, each drawn in a process of its own."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from dexndm_ros.bringup import ProcessSpec
from dexndm_ros.demo.plot import PLOT_FILE
from dexndm_ros.demo.render import GIF_FILE, STILLS_FILE, VIDEO_FILE
from dexndm_ros.demo.run import DemoRun
from dexndm_ros.processes import Processes

__all__ = ["make_pictures"]

_WORLD_FILE = "world.yaml"
_PALM_UP = (1.0, 0.0, 0.0, 0.0)
_JOBS = (
    ("dexndm_ros.demo.render", (VIDEO_FILE, GIF_FILE, STILLS_FILE)),
    ("dexndm_ros.demo.plot", (PLOT_FILE,)),
)


def make_pictures(run: DemoRun, folder: Path, world: str, logs: Path) -> None:
    """Write the recording and draw it; what cannot be drawn here is said in a sentence.

    Args:
        run: a run that has begun and recorded.
        folder: where to.
        world: the virtual hand's world file; empty = a real hand.
        logs: folder for the drawing processes' logs.
    """
    assert run.recording is not None and run.began_ns is not None
    wrist = run.wrist_xyzw or _PALM_UP
    if world:  # beside the recording, so that the folder can be drawn again anywhere
        shutil.copyfile(world, folder / _WORLD_FILE)
    copy = _WORLD_FILE if world else ""
    data = run.recording.data(run.began_ns, run.period_ms, run.delay_ms, wrist, copy)
    data.save(folder)
    print("drawing ...", flush=True)
    for module, files in _JOBS:
        for name in files:
            (folder / name).unlink(missing_ok=True)
        problem = _run(module, folder, logs)
        if problem:
            print(problem)
        else:
            print(f"saved: {', '.join(str(folder / name) for name in files)}")


def _run(module: str, folder: Path, logs: Path) -> str:
    """Run a module on the folder; returns what went wrong, empty = nothing."""
    spec = ProcessSpec(module.rpartition(".")[2], module, "")
    command = [sys.executable, "-m", module, str(folder)]
    with Processes([spec], logs, command=lambda _: command) as processes:
        ended = processes.wait()
    failed = ended and ended[0].code != 0
    return ended[0].reason.removeprefix("[ERROR] ") if failed else ""
