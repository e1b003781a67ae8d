# SPDX-License-Identifier: Apache-2.0
"""How old a page's sample is told to be, whatever its clock shows: real sockets."""

from __future__ import annotations

import time

import pytest

from dexndm_ros.teleop.gates import Gates
from dexndm_ros.teleop.web.access import proof_of
from dexndm_ros.teleop.web.config import WebConfig
from dexndm_ros.teleop.web.source import WebXrSource
from dexndm_ros.teleop.web.status import Status
from support.webxr import TOKEN, RawPage, frame, wait_until

LATE_S = 0.04


@pytest.fixture
def source():
    made = WebXrSource(WebConfig(TOKEN, port=0), lambda: Status("Ready", "good"))
    made.start()
    yield made
    made.stop()


def test_a_page_whose_frames_are_late_from_the_first_is_told_to_be(source) -> None:
    """The page answers pings at once, so its clock is known; each of its frames waits 40 ms before it goes."""
    page, gates = RawPage(source.server.port).prove(), Gates()
    assert page.claim()
    wait_until(lambda: page.hear("ping") is not None and source.server.delay_s >= 0.0, "an offset")
    ages_s = []
    for seq in range(1, 20):
        page.say(**frame(seq, t=1000.0 * (time.monotonic() - LATE_S)))
        wait_until(lambda: source.counts()["accepted"] == len(ages_s) + 1, "the frame")
        page.drain()
        sample = source.latest()
        gates.check(sample, sample.arrived_s)
        ages_s.append(gates.age_s(sample.arrived_s))
    # The middle of the quickest ping is not known better than this.
    assert min(ages_s) >= LATE_S - source.server.delay_s - 0.001
    page.close()


def test_of_a_page_that_answers_no_ping_it_is_not_known(source) -> None:
    page = RawPage(source.server.port)
    page.say(answer=proof_of(TOKEN, page.challenge))
    page.say(claim="")
    page.say(**frame(1))
    wait_until(source.latest, "the frame")
    assert source.latest().delay_s is None
    page.close()
