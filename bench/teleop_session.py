# SPDX-License-Identifier: Apache-2.0
"""A session of hours, faster than real time: a page's frames through the real server, the bridge and the arm's drive.

Frames are sent as fast as they are taken, with the times of 90 Hz; gates, clutch, filter, limiter and inverse
kinematics tick in that time. The operator presses and releases the grip all the while, recentres now and then, and
connects anew every few minutes. Memory is that of the process with server, client, bridge and drive; straight lines are
through the last nine tenths, as in ``campaign_day``.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

import aiohttp
import numpy as np
import psutil

from bench.result import Check, Options, Result
from bench.teleop_client import HAND_M, Page
from bench.teleop_motion import FigureOfEight, as_page
from dexndm_ros.teleop.arm_drive import ArmDrive
from dexndm_ros.teleop.bridge import ArmSeen, Bridge
from dexndm_ros.teleop.clutch import State
from dexndm_ros.teleop.fr3 import HOME_RAD
from dexndm_ros.teleop.profiles import load_profile
from dexndm_ros.teleop.sample import Sample
from dexndm_ros.teleop.web.config import WebConfig
from dexndm_ros.teleop.web.intake import Limits
from dexndm_ros.teleop.web.source import WebXrSource
from dexndm_ros.teleop.web.status import Status, status_of

FRAME_S = 1.0 / 90.0
_TOKEN = "a-token-that-is-known-to-this-bench-alone"
_SAMPLES = 120
_CONNECT_EVERY, _RECENTRE_EVERY, _PRESS_EVERY = 20_000, 5_000, 900
_AHEAD = 4  # frames that may be under way: the loop takes the newest, and a hand that leaps is not followed
_MOTION_M = FigureOfEight().at(np.arange(90 * 60) * FRAME_S)  # a minute of it, again and again


@dataclass
class _Progress:
    """What sender and loop tell each other."""

    sent: int = 0
    ticked: int = 0
    failed: str = ""


class _Arm:
    """Bridge and drive, and an arm that is where it was told to be."""

    def __init__(self) -> None:
        self._bridge, self._drive = Bridge(), ArmDrive(load_profile("virtual"))
        self._seen, self._q_rad, self.engaged = ArmSeen(), np.array(HOME_RAD), 0
        self.ticks, self.reasons = 0, Counter[str]()
        self.status = Status("Ready")

    def tick(self, sample: Sample, now_s: float) -> None:
        """One tick at simulated time."""
        decision = self._bridge.tick(now_s, sample, self._seen)
        self._drive.saw_joints(self._q_rad, now_s)
        self._drive.operator(engaged=decision.state is State.ENGAGED)
        if decision.target is not None:
            self._drive.target(decision.target, now_s)
        output = self._drive.tick(now_s)
        if output.points:
            self._q_rad = output.points[0].q_rad
        self._seen = ArmSeen(output.measured, output.commanded, output.fault)
        self.ticks += 1
        self.engaged += decision.state is State.ENGAGED
        self.reasons[decision.reason] += 1
        self.status = status_of(decision.state, decision.reason)


def run(options: Options) -> Result:
    """Drive so many simulated hours and fit lines."""
    frames = round(options.hours * 3600.0 / FRAME_S)
    arm, progress = _Arm(), _Progress()
    fast = Limits(rate_hz=1e9, burst=1_000_000, late_s=1e9)  # the limits are of real time
    source = WebXrSource(WebConfig(token=_TOKEN, port=0, limits=fast), lambda: arm.status)
    source.start()
    sending = threading.Thread(
        target=_send, args=(source.server.url, frames, progress), daemon=True
    )
    began_s, rows = time.monotonic(), []
    sending.start()
    try:
        for number, sample in _samples(source, frames, progress):
            now_s = number * FRAME_S
            arm.tick(replace(sample, captured_s=now_s, arrived_s=now_s), now_s)
            if number % (frames // _SAMPLES) == 0:
                gc.collect()
                memory = psutil.Process().memory_info().rss / 1e6
                rows.append((now_s / 3600.0, memory, sys.getallocatedblocks()))
    finally:
        source.stop()
    return _result(options.hours, np.array(rows), arm, source, began_s)


def _samples(source: WebXrSource, frames: int, progress: _Progress) -> Iterator[tuple[int, Sample]]:
    last = -1
    while progress.sent < frames or source.latest() is not None:
        if progress.failed:
            raise RuntimeError(progress.failed)
        sample = source.latest()
        if sample is None or sample.seq == last:
            time.sleep(0.0002)
            if last == frames:
                return
            continue
        last = progress.ticked = sample.seq
        yield sample.seq, sample


def _send(url: str, frames: int, progress: _Progress) -> None:
    try:
        asyncio.run(_drive(url, frames, progress))
    except Exception as error:
        progress.failed = repr(error)


async def _drive(url: str, frames: int, progress: _Progress) -> None:
    async with aiohttp.ClientSession() as session:
        for first in range(1, frames + 1, _CONNECT_EVERY):
            async with session.ws_connect(f"{url}socket", origin=url.rstrip("/"), compress=0) as socket:  # fmt: skip
                page = Page(socket, _TOKEN)
                hearing = asyncio.create_task(page.hear())
                await asyncio.wait_for(page.driving.wait(), 60.0)
                last = min(first + _CONNECT_EVERY, frames + 1)
                for number in range(first, last):
                    while number - progress.ticked > _AHEAD:
                        await asyncio.sleep(0.0002)
                    await page.say(**_frame(number))
                    progress.sent = number
                while progress.ticked < last - 1:
                    await asyncio.sleep(0.0005)
                hearing.cancel()


def _frame(number: int) -> dict[str, object]:
    moved = as_page(_MOTION_M[number % len(_MOTION_M)])
    pressed = int(number % _PRESS_EVERY > 90)
    right = {
        "ok": 1, "emu": 0, "q": [0, 0, 0, 1], "x": [0, 0], "b": [0, pressed, 0, 0, 0, 1],
        "p": [a + b for a, b in zip(HAND_M, moved, strict=True)],
    }  # fmt: skip
    return {"seq": number, "t": 1e3 * number * FRAME_S, "vis": "visible",
            "origin": number // _RECENTRE_EVERY, "r": right, "l": None, "h": None}  # fmt: skip


def _result(
    hours: float, rows: np.ndarray, arm: _Arm, source: WebXrSource, began_s: float
) -> Result:
    late = rows[len(rows) // 10 :]
    slopes = [float(np.polyfit(late[:, 0], late[:, k], 1)[0]) for k in (1, 2)]
    grown_mb = slopes[0] * hours
    wall_s = time.monotonic() - began_s
    return Result(
        f"{hours:g} h of teleoperation in {wall_s:.0f} s",
        ["", "after a tenth", "at the end", "an hour"],
        [
            ["resident memory, MB", float(late[0, 1]), float(late[-1, 1]), slopes[0]],
            ["blocks of Python", float(late[0, 2]), float(late[-1, 2]), slopes[1]],
        ],
        [
            Check("memory by the straight line over the session, MB", grown_mb, 2.0),
            Check(
                "share of the time that the arm followed",
                arm.engaged / max(arm.ticks, 1),
                0.5,
                at_most=False,
            ),
        ],
        [f"frames by what became of them: {dict(source.counts())}; ticks: {arm.ticks}"],
        {"hours": hours, "reasons": dict(arm.reasons), "samples": rows.tolist()},
    )
