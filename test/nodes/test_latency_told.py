# SPDX-License-Identifier: Apache-2.0
"""What the running node tells of latency, with a headset behind a slow radio."""

from __future__ import annotations

import contextlib
import re
import threading
import time

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("dexndm_msgs")

from dexndm_msgs.msg import ControllerState, TeleopStatus
from websockets.exceptions import ConnectionClosed

from dexndm_ros.dashboard.access import keep_token
from dexndm_ros.teleop.web import TOKEN_FILE
from support.ros import Graph, NodeProcess, node_spec
from support.webxr import RawPage, frame

pytestmark = pytest.mark.ros

LATE_MS = 40.0


def send(page: RawPage, ending: threading.Event) -> None:
    """Thirty frames a second, each 40 ms after its time; pings are answered."""
    seq = 0
    with contextlib.suppress(ConnectionClosed):
        while not ending.wait(1.0 / 30.0):
            seq += 1
            page.say(**frame(seq, t=1000.0 * time.monotonic() - LATE_MS))
            page.drain()


def test_a_delay_that_every_frame_has_is_in_the_latency(tmp_path) -> None:
    kept, ending = tmp_path / "kept", threading.Event()
    spec = node_spec("quest_bridge", port=0, usb=False, directory=str(kept))
    with Graph() as graph, NodeProcess(spec, tmp_path) as node:
        hands = graph.listen(ControllerState, "teleop/controllers")
        states = graph.listen(TeleopStatus, "teleop/status")
        port = graph.until(lambda: re.search(r"http://localhost:(\d+)/", node.log), "the address")
        page = RawPage(int(port[1])).prove(keep_token(kept / TOKEN_FILE))
        assert page.claim("the operator")
        sending = threading.Thread(target=send, args=(page, ending), daemon=True)
        sending.start()
        try:
            told = 0.9 * LATE_MS  # half a round trip on loopback stays unknown
            graph.until(lambda: len(hands) and hands.last.age_ms > told, "the age of a sample")
            graph.until(lambda: len(states) and states.last.latency_ms_p50 > told, "the latency")
        finally:
            ending.set()
            sending.join()
            page.close()
