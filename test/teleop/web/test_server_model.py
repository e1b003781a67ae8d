# SPDX-License-Identifier: Apache-2.0
"""Pages that come, drive, break and go in any order, against a model of who drives and what its last frame was."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dexndm_ros.teleop.web.config import WebConfig
from dexndm_ros.teleop.web.source import WebXrSource
from dexndm_ros.teleop.web.status import Status
from support.webxr import TOKEN, RawPage, controller, frame, wait_until

NAMES = ("one", "two", "three")


class Pages(RuleBasedStateMachine):
    """At most one page drives; the sample is the newest frame of that page, and of no other.

    Attributes:
        open: connections by a number of their own, with the name that their page goes by.
        driver: the connection that drives; None = nobody.
        newest: sequence number of its last frame; None = it sent none since it began.
    """

    def __init__(self):
        super().__init__()
        self.source = WebXrSource(WebConfig(token=TOKEN, port=0), lambda: Status("Ready"))
        self.source.start()
        self.open, self.next = {}, 0
        self.driver, self.newest, self.origin = None, None, None
        self.seq = 0
        self.fresh = False  # the next sample must count as recentred

    def teardown(self):
        for page, _ in self.open.values():
            page.close()
        self.source.stop()

    def one_of(self, data):
        return data.draw(st.sampled_from(sorted(self.open)), label="connection")

    @precondition(lambda self: len(self.open) < 3)
    @rule(name=st.sampled_from(NAMES))
    def connect(self, name):
        self.open[self.next] = (RawPage(self.source.server.port).prove(), name)
        self.next += 1

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def claim(self, data):
        number = self.one_of(data)
        page, name = self.open[number]
        driving = page.claim(name)
        if self.driver is None or self.driver == number:
            assert driving
            if self.driver is None:
                self.begins(number)
        elif self.open[self.driver][1] == name:
            assert driving
            old, _ = self.open.pop(self.driver)
            assert old.ended()[0] == 4005
            self.begins(number)
        else:
            assert not driving

    def begins(self, number):
        self.driver, self.newest, self.fresh = number, None, True

    @precondition(lambda self: self.open)
    @rule(data=st.data(), origin=st.integers(1, 2))
    def anyone_sends(self, data, origin):
        self.send(self.one_of(data), origin)

    @precondition(lambda self: self.driver is not None)
    @rule(origin=st.integers(1, 2))
    def the_driver_sends(self, origin):
        self.send(self.driver, origin)

    def send(self, number, origin):
        page, _ = self.open[number]
        self.seq += 1
        before = sum(self.source.counts().values())
        page.say(**frame(self.seq, origin=origin, r=controller(p=[0, 0, -float(number % 10)])))
        wait_until(lambda: sum(self.source.counts().values()) > before, "it was looked at")
        if number != self.driver:
            return
        sample = self.source.latest()
        if sample is None or sample.seq != self.seq:
            assert self.source.counts()["out of order"]  # its floor space went back
            return
        assert sample.right.position_m[0] == float(number % 10)
        assert sample.recentred == (self.fresh or origin != self.origin)
        self.newest, self.origin, self.fresh = self.seq, origin, False

    @precondition(lambda self: self.driver is not None)
    @rule()
    def the_driver_releases(self):
        page, _ = self.open[self.driver]
        page.say(release=1)
        assert page.hear("driving") is False
        self.ends(self.driver)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def leave(self, data):
        number = self.one_of(data)
        page, _ = self.open.pop(number)
        page.close()
        if number == self.driver:
            wait_until(lambda: not self.source.server.driven, "nobody drives")
        self.ends(number)

    def ends(self, number):
        if number == self.driver:
            self.driver, self.newest = None, None

    @invariant()
    def the_sample_is_the_drivers_newest_frame(self):
        sample = self.source.latest()
        assert (sample.seq if sample is not None else None) == self.newest
        assert self.source.server.driven == (self.driver is not None)


Pages.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
test_pages_that_come_and_go = Pages.TestCase
