# SPDX-License-Identifier: Apache-2.0
"""An operator who does what a test says, now: the oculus_reader app's lines, 72 a second, behind an ``adb``."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from dexndm_ros.teleop.pose import Pose
from support.oculus_app import app_line

_FRAME_S = 1.0 / 72.0
_STEP_M = 0.1 * _FRAME_S
_LEFT = Pose(np.array([-0.2, -0.35, -0.4]), Rotation.identity())


class LiveOperator:
    """Holds both controllers. Use as a context manager.

    Attributes:
        adb: the program to be given to ``quest_bridge``; every one of them that runs hears the same.
        squeeze: of the right grip, 0..1.
        buttons: of the left controller.
        up_m: where the right hand goes, at 0.1 m/s, above where it began.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._pipe = folder / "lines"
        os.mkfifo(self._pipe)
        self.adb = folder / "adb"
        self.adb.write_text(
            f"#!/bin/sh\ncase \"$*\" in *logcat*) exec cat '{self._pipe}' ;; esac\n"
        )
        self.adb.chmod(0o755)
        self.squeeze = 0.0
        self.buttons: Iterable[str] = ()
        self.up_m = 0.0
        self._here_m = 0.0
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="operator", daemon=True)

    def __enter__(self) -> LiveOperator:
        self._thread.start()
        return self

    def __exit__(self, *unused: object) -> None:
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        # Reading too: else a pipe whose reader was killed would have to be opened anew.
        pipe = os.open(self._pipe, os.O_RDWR | os.O_NONBLOCK)
        try:
            while not self._ending.wait(_FRAME_S):
                left_m = self.up_m - self._here_m
                self._here_m += float(np.clip(left_m, -_STEP_M, _STEP_M))
                try:
                    os.write(pipe, self._line().encode())
                except BlockingIOError:  # nobody reads: the log of a headset drops lines too
                    time.sleep(0)
        finally:
            os.close(pipe)

    def _line(self) -> str:
        stamp = datetime.now(UTC).strftime("%m-%d %H:%M:%S.%f")[:-3]
        right = Pose(np.array([0.2, -0.35 + self._here_m, -0.4]), Rotation.identity())
        return app_line(right, _LEFT, squeeze=self.squeeze, stamp=stamp, left_buttons=self.buttons)
