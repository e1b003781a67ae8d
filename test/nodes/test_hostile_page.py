# SPDX-License-Identifier: Apache-2.0
"""Hostile clients against the running node: what ROS is told while they try, and after the operator's end."""

from __future__ import annotations

import contextlib
import re
import threading

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("dexndm_msgs")
pytest.importorskip("cryptography")

from dexndm_msgs.msg import TeleopStatus
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from websockets.exceptions import ConnectionClosed

from dexndm_ros.dashboard.access import keep_token
from dexndm_ros.teleop.web import TOKEN_FILE
from dexndm_ros.teleop.web.access import proof_of
from support.ros import Graph, NodeProcess, node_spec
from support.webxr import RawPage, controller, frame

pytestmark = pytest.mark.ros

LURE = controller(p=[0.1, 1.21, -0.31])
"""A place that the gates would believe, if such a frame were taken."""


@pytest.fixture
def graph():
    with Graph() as made:
        yield made


class Operator:
    """Sends frames of a hand that is held still; the grip is pressed when it is told to."""

    def __init__(self, port: int, token: str) -> None:
        self.page = RawPage(port)
        self.proof = proof_of(token, self.page.challenge)
        self.page.say(answer=self.proof)
        self.page.hear("welcome")
        assert self.page.claim("the operator")
        self.squeeze, self.last, self._ending = 0.0, b"", threading.Event()
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    def _send(self) -> None:
        seq = 0
        with contextlib.suppress(ConnectionClosed):
            while not self._ending.wait(1.0 / 60.0):
                seq += 1
                self.page.say(**frame(seq, r=controller(b=[0, self.squeeze, 0, 0, 0, 1])))
                self.page.drain()

    def stop(self) -> None:
        self._ending.set()
        self._thread.join()
        self.page.close()


def attack(port: int, operator: Operator) -> None:
    """A wrong token, a replayed one, a second client that sends frames, and broken messages."""
    for answer in (proof_of("not-the-token-of-this-server", "x"), operator.proof):
        page = RawPage(port)
        page.say(answer=answer)
        with contextlib.suppress(ConnectionClosed):
            page.say(**frame(10**6, r=LURE))
        assert page.ended()[0] == 4001
    stranger = RawPage(port)
    with contextlib.suppress(ConnectionClosed):
        for _ in range(200):
            stranger.socket.send("{")
    stranger.close()


def test_targets_stay_where_the_operator_holds_them_and_end_with_the_connection(graph, tmp_path):
    arm = PoseStamped()
    arm.header.frame_id, arm.pose.position.x, arm.pose.position.z = "fr3_link0", 0.5, 0.4
    tell = graph.publisher(PoseStamped, "arm/measured_pose")
    graph.node.create_timer(0.02, lambda: tell.publish(arm))
    targets = graph.listen(PoseStamped, "arm/target_pose")
    states = graph.listen(TeleopStatus, "teleop/status")
    diagnostics = graph.listen(DiagnosticArray, "/diagnostics")
    kept = tmp_path / "kept"
    spec = node_spec(
        "quest_bridge", port=0, usb=False, directory=str(kept), stale_s=20.0, grace_s=10.0
    )
    with NodeProcess(spec, tmp_path) as node:
        told = re.compile(r"teleoperation: http://localhost:(\d+)/\n")
        address = graph.until(lambda: told.search(node.log), "the address")
        port, token = int(address[1]), keep_token(kept / TOKEN_FILE)
        operator = Operator(port, token)
        try:
            graph.until(lambda: "hold the right grip" in states.last.reason, "the operator")
            operator.squeeze = 1.0
            graph.until(lambda: states.last.engaged and len(targets) > 10, "the arm to follow")
            before = states.last.rejected

            attack(port, operator)
            second = RawPage(port).prove(token)
            assert second.claim("another") is False
            for seq in range(20):
                second.say(**frame(10**6 + seq, r=LURE))
            graph.until(lambda: states.last.rejected >= before + 20, "what was refused")
            assert states.last.engaged
            assert {(t.pose.position.x, t.pose.position.y) for t in targets.messages} == {(0.5, 0.0)}  # fmt: skip

            operator.page.socket.send("x" * 5000)
            graph.until(lambda: states.last.reason.startswith("no headset"), "the end")
            count, seen = len(targets), len(states)
            graph.until(lambda: len(states) > seen + 10, "a second")
            assert len(targets) <= count + 1
            wanted = {"wrong token", "second operator", "not the operator", "malformed", "oversized"}  # fmt: skip

            def counted() -> set[str]:
                parts = [part for array in diagnostics.messages[-3:] for part in array.status]
                return {pair.key for part in parts for pair in part.values if pair.value != "0"}

            graph.until(lambda: wanted <= counted(), f"{wanted}, each counted")
            second.close()
        finally:
            operator.stop()
