# SPDX-License-Identifier: Apache-2.0
"""Two hours of a headset's frames through the server, as fast as they go: memory stays as it is.

``DEXNDM_SOAK_TELEOP_HOURS`` (2) tells how long a session; about half a minute of real time an hour.
"""

from __future__ import annotations

import os

import psutil
import pytest

from dexndm_ros.teleop.web.config import WebConfig
from dexndm_ros.teleop.web.intake import Limits
from dexndm_ros.teleop.web.source import WebXrSource
from dexndm_ros.teleop.web.status import Status
from support.webxr import TOKEN, RawPage, frame, wait_until

pytestmark = pytest.mark.soak

RATE_HZ = 90
GROWTH_BYTES = 4e6
RECENTRED_EVERY = 5000


def test_a_long_session_leaves_memory_as_it_was() -> None:
    frames = int(float(os.environ.get("DEXNDM_SOAK_TELEOP_HOURS", "2")) * 3600 * RATE_HZ)
    fast = Limits(rate_hz=1e9, burst=1_000_000, late_s=1e9)  # the limits are of real time
    source = WebXrSource(WebConfig(token=TOKEN, port=0, limits=fast), lambda: Status("Ready"))
    source.start()
    page = RawPage(source.server.port).prove()
    try:
        assert page.claim()
        process, warm, heard = psutil.Process(), 0, 0
        for seq in range(frames):
            page.say(**frame(seq, origin=seq // RECENTRED_EVERY))
            if seq % 100 == 0:
                heard += page.drain()
                source.latest()
                source.pulse("right", 0.5, 40.0)
            if seq == frames // 10:
                warm = process.memory_info().rss
        wait_until(lambda: source.counts()["accepted"] == frames, "all frames")
        assert source.counts() == {"accepted": frames}
        assert heard > 0
        assert process.memory_info().rss - warm < GROWTH_BYTES
    finally:
        page.close()
        source.stop()
