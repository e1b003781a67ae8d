# SPDX-License-Identifier: Apache-2.0
"""Whatever a client does: it is refused and counted, and the arm holds. From the socket to what the arm is told."""

from __future__ import annotations

import contextlib
import json
import time

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from dexndm_ros.teleop.arm_drive import ArmDrive
from dexndm_ros.teleop.bridge import ArmSeen, Bridge, BridgeConfig
from dexndm_ros.teleop.clutch import State
from dexndm_ros.teleop.fr3 import HOME_RAD
from dexndm_ros.teleop.frames import distance_m
from dexndm_ros.teleop.gates import GateConfig
from dexndm_ros.teleop.profiles import load_profile
from dexndm_ros.teleop.web.access import proof_of
from dexndm_ros.teleop.web.config import WebConfig
from dexndm_ros.teleop.web.intake import Limits
from dexndm_ros.teleop.web.source import WebXrSource
from dexndm_ros.teleop.web.status import Status
from support.webxr import TOKEN, RawPage, controller, frame, wait_until

# How old a frame may be is not what is tested here, and a busy machine makes them old.
PATIENT = GateConfig(stale_s=20.0)
LIMITS = Limits(late_s=1e9, refused_in_a_row=50)
FRAME_S = 1.0 / 90.0
STILL_M = 0.002
"""So far an arm may still go while it comes to rest; the lure is seven times as far."""
HELD = [0.1, 1.2, -0.3]
MOVED = [0.1, 1.2, -0.33]
LURE = [0.1, 1.21, -0.34]
"""A place that the gates would believe, and the arm go to, if a hostile frame were taken."""


class Session:
    """Server, bridge and drive, an arm that is where it was told to be, and an operator who holds the grip."""

    def __init__(self) -> None:
        self.source = WebXrSource(
            WebConfig(token=TOKEN, port=0, silence_s=60.0, limits=LIMITS), lambda: Status("Ready")
        )
        self.source.start()
        self.bridge = Bridge(BridgeConfig(gates=PATIENT))
        self.drive, self.q_rad = ArmDrive(load_profile("virtual")), np.array(HOME_RAD)
        self.seen, self.now_s, self.told, self.seq = ArmSeen(), time.monotonic(), [], 0
        self.began_ms = 1e3 * self.now_s
        self.page = RawPage(self.source.server.port)
        self.proof = proof_of(TOKEN, self.page.challenge)
        self.page.say(answer=self.proof)
        self.page.hear("welcome")
        assert self.page.claim("the operator")

    def send(self, place, squeeze=1.0):
        self.seq += 1
        hand = controller(p=place, b=[0, squeeze, 0, 0, 0, 1])
        self.page.say(**frame(self.seq, t=self.made_ms(self.seq), r=hand))
        wait_until(lambda: (s := self.source.latest()) and s.seq == self.seq, "the frame")

    def made_ms(self, seq):
        """When a frame was made, at an even pace whatever this machine's is."""
        return self.began_ms + 1e3 * FRAME_S * seq

    def tick(self):
        """One period of the loop; what was decided."""
        self.now_s += 0.01
        decision = self.bridge.tick(self.now_s, self.source.latest(), self.seen)
        self.drive.saw_joints(self.q_rad, self.now_s)
        self.drive.operator(engaged=decision.state is State.ENGAGED)
        if decision.target is not None:
            self.drive.target(decision.target, self.now_s)
        output = self.drive.tick(self.now_s)
        if output.points:
            self.q_rad = output.points[0].q_rad
        self.seen = ArmSeen(output.measured, output.commanded, output.fault)
        if output.measured is not None:
            self.told.append(output.measured)  # this arm is where it was told to be
        return decision

    def ticks(self, count=40):
        return [self.tick() for _ in range(count)]

    def engage(self):
        """Press, and move the arm by three centimetres: what follows could move it too."""
        for place, squeeze in (
            (HELD, 0.0),
            (HELD, 0.0),
            (HELD, 1.0),
        ):  # the first counts as recentred
            self.send(place, squeeze)
            decision = self.tick()
        assert decision.state is State.ENGAGED, decision.reason
        start = self.seen.measured
        for way in (0.01, 0.02, 0.03):
            self.send([0.1, 1.2, -0.3 - way])
            self.tick()
        self.rest()
        assert distance_m(start, self.told[-1]) == pytest.approx(0.03, abs=1e-3)
        self.told.clear()

    def rest(self):
        """Hold still until the filter is where the hand is, and the arm too."""
        for _ in range(70):
            self.send(MOVED)
            self.tick()
        self.ticks()

    def close(self):
        self.page.close()
        self.source.stop()

    def counted(self, *reasons):
        wait_until(lambda: all(self.source.counts().get(each) for each in reasons), f"{reasons}")

    def held(self):
        """How far the arm was told to go since it stood."""
        return max((distance_m(self.told[0], pose) for pose in self.told), default=0.0)


@pytest.fixture
def session():
    session = Session()
    session.engage()
    yield session
    session.close()


def lured(seq):
    return frame(seq, r=controller(p=LURE))


def visit(session, **how):
    return RawPage(session.source.server.port, **how)


def wrong_token(session):
    page = visit(session)
    page.say(answer=proof_of("another-token-of-the-same-length", page.challenge))
    with contextlib.suppress(ConnectionClosed):
        page.say(**lured(10**6))
    assert page.ended()[0] == 4001


def replayed_token(session):
    page = visit(session)
    page.say(answer=session.proof)
    with contextlib.suppress(ConnectionClosed):
        page.say(**lured(10**6))
    assert page.ended()[0] == 4001


def no_token(session):
    page = visit(session)
    page.say(**lured(10**6))
    assert page.ended()[0] == 4006


def second_client(session):
    page = visit(session).prove()
    assert page.claim("another") is False
    for seq in range(10**6, 10**6 + 20):
        page.say(**lured(seq))
    page.close()


def foreign_page(session):
    with pytest.raises(InvalidStatus):
        visit(session, headers={"Origin": "http://evil.example"})


def flood_of_another(session):
    page = visit(session).prove()
    with pytest.raises(ConnectionClosed):
        for _ in range(100_000):
            page.socket.send("x")


def many_connections(session):
    pages = [visit(session) for _ in range(12)]
    for page in pages:
        page.close()


def malformed(session):
    bad = controller(p=[float("nan"), 1e300, 0.0])
    wide = {"v": 1, "seq": 10**6, "t": 0, "vis": "visible", "origin": 1, "r": {"p": LURE}}
    for text in ("", "{", "[]", "null", b"\x00\xff", json.dumps(frame(10**6, r=bad)), json.dumps(wide)):  # fmt: skip
        session.page.socket.send(text)


def out_of_order(session):
    for seq in (session.seq, session.seq - 1, 1, 0):
        session.page.say(**lured(seq))


@pytest.mark.parametrize(
    ("attack", "reasons"),
    [
        (wrong_token, ["wrong token"]),
        (replayed_token, ["wrong token"]),
        (no_token, ["not paired"]),
        (second_client, ["second operator", "not the operator"]),
        (foreign_page, ["foreign"]),
        (flood_of_another, ["malformed"]),
        (many_connections, ["crowded"]),
        (malformed, ["malformed"]),
        (out_of_order, ["out of order"]),
    ],
)
def test_the_arm_stays_with_its_operator_and_what_was_tried_is_counted(session, attack, reasons):
    attack(session)
    session.counted(*reasons)
    assert {each.state for each in session.ticks()} == {State.ENGAGED}
    assert session.held() < STILL_M
    session.send(MOVED)  # and the operator goes on
    assert session.tick().state is State.ENGAGED


def oversized(session):
    session.page.socket.send("x" * 5000)


def flood(session):
    with pytest.raises(ConnectionClosed):
        for _ in range(100_000):
            session.page.socket.send("x")


def no_text(session):
    session.page.socket.send(b"\xff\xfe", text=True)


def cut(session):
    session.page.socket.socket.close()


def answered_again(session):
    session.page.say(answer=session.proof)


@pytest.mark.parametrize(
    ("attack", "reasons"),
    [
        (oversized, ["oversized"]),
        (flood, ["malformed"]),
        (no_text, ["malformed"]),
        (cut, []),
        (answered_again, ["wrong token"]),
    ],
)
def test_what_ends_the_operators_connection_holds_the_arm_until_a_fresh_press(
    session, attack, reasons
):
    attack(session)
    session.counted(*reasons)
    wait_until(lambda: not session.source.server.driven, "the end of the connection")
    decisions = session.ticks()
    assert {each.state for each in decisions} == {State.DISCONNECTED}
    assert all(each.target is None for each in decisions)

    # who comes next with the grip held, here with frames that were listened to, moves nothing either
    session.page = visit(session).prove()
    assert session.page.claim("the next")
    for place in (MOVED, LURE, LURE):
        session.send(place)
        assert session.tick().state is not State.ENGAGED
    session.ticks()
    assert session.held() < STILL_M
    session.send(LURE, squeeze=0.0)
    session.tick()
    session.send(LURE)
    assert session.tick().state is State.ENGAGED
    assert session.held() < STILL_M


def test_a_flood_of_good_frames_is_cut_to_the_rate_and_ends_the_connection(session):
    with pytest.raises(ConnectionClosed):
        for seq in range(session.seq + 1, session.seq + 100_000):
            session.page.say(**frame(seq, t=session.made_ms(seq), r=controller(p=MOVED)))
    session.counted("too many")
    wait_until(lambda: session.source.latest() is None, "the end of the connection")
    assert session.tick().state is State.DISCONNECTED
    session.ticks()
    assert session.held() < STILL_M
