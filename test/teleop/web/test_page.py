# SPDX-License-Identifier: Apache-2.0
"""The page in a real browser that believes it is on a Quest 3: from the button that is pressed to the sample."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dexndm_ros.teleop.bridge import ArmSeen, Bridge, BridgeConfig
from dexndm_ros.teleop.clutch import State
from dexndm_ros.teleop.franka import RECOVERY, robot_fault
from dexndm_ros.teleop.gates import GateConfig
from dexndm_ros.teleop.pose import Pose
from dexndm_ros.teleop.web.config import WebConfig
from dexndm_ros.teleop.web.source import WebXrSource
from dexndm_ros.teleop.web.status import Status, status_of
from support.browser import browser_or_skip
from support.iwer import INSTALL, emulator_or_skip
from support.webxr import TOKEN, RawPage, wait_until

# Reads back what was drawn in the headset when it is asked to look.
SPY = """
window.pulses = [];
window.drawn = [];
const write = CanvasRenderingContext2D.prototype.fillText;
CanvasRenderingContext2D.prototype.fillText = function (text, ...how) {
  write.call(this, text, ...how);
  window.drawn.push(text);
};
const draw = WebGLRenderingContext.prototype.drawArrays;
WebGLRenderingContext.prototype.drawArrays = function (...how) {
  draw.apply(this, how);
  if (!window.look) return;
  const [width, height] = [this.drawingBufferWidth, this.drawingBufferHeight];
  const seen = new Uint8Array(4 * width * height);
  this.readPixels(0, 0, width, height, this.RGBA, this.UNSIGNED_BYTE, seen);
  window.colours = new Set();
  for (let k = 0; k < seen.length; k += 4) window.colours.add(seen.slice(k, k + 3).join());
  window.look = false;
};
"""


@pytest.fixture(scope="module")
def emulator():
    return emulator_or_skip()


@pytest.fixture(scope="module")
def browser():
    with browser_or_skip() as browser:
        yield browser


class Stage:
    """The server, and the words that it shows."""

    def __init__(self, **changes):
        self.words = Status("Ready", "good", "", "Hold the right grip to move.")
        self.changes = changes
        self.source = self.serve(0)

    def serve(self, port):
        config = WebConfig(**{"token": TOKEN, "period_s": 0.02, "port": port, **self.changes})
        self.source = WebXrSource(config, lambda: self.words)
        self.source.start()
        return self.source

    def again(self):
        """The node ends and is started again on the same port."""
        port = self.source.server.port
        self.source.stop()
        return self.serve(port)


@pytest.fixture
def stage():
    stage = Stage()
    yield stage
    stage.source.stop()


@pytest.fixture
def visit(browser, stage, emulator):
    """Open the page as a Quest would; it must not complain at any time."""
    contexts, complaints = [], []

    def visit(url=None, quest=True, **options):
        context = browser.new_context(**options)
        contexts.append(context)
        if quest:
            context.add_init_script(emulator + INSTALL + SPY)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda said: (
                complaints.append(said.text)
                if said.type == "error" and "WebSocket connection" not in said.text
                else None
            ),
        )
        page.goto(url or stage.source.server.url_with_token)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert complaints == []


def title(page, text):
    page.locator("#title").get_by_text(text, exact=True).wait_for()


def begin(page):
    page.locator("#start:enabled").click()
    page.locator("#start").get_by_text("End", exact=True).wait_for()


def sample(stage, page, true, what):
    """The newest sample when it is as it should be; the page works while we wait."""

    def seen():
        page.wait_for_timeout(20)
        newest = stage.source.latest()
        return newest is not None and true(newest)

    wait_until(seen, what)
    return stage.source.latest()


def test_what_the_operator_does_arrives(stage, visit):
    page = visit()
    title(page, "Ready")
    assert TOKEN not in page.url  # it left the address
    assert stage.source.latest() is None
    begin(page)
    first = sample(
        stage, page, lambda s: s.right and s.right.tracked and s.left, "both controllers"
    )
    assert first.visible and "RG" not in first.right.buttons
    assert first.head.position_m == pytest.approx((0, 0, 1.6))

    page.evaluate("quest.controllers.right.updateButtonValue('squeeze', 1)")
    page.evaluate("quest.controllers.right.updateButtonValue('trigger', 0.25)")
    page.evaluate("quest.controllers.right.updateButtonValue('a-button', 1)")
    page.evaluate("quest.controllers.left.updateButtonValue('x-button', 1)")
    page.evaluate("quest.controllers.right.updateAxes('thumbstick', 0.5, -1)")
    page.evaluate("quest.controllers.right.position.set(0.3, 1.2, -0.4)")
    pressed = sample(
        stage,
        page,
        lambda s: {"RG", "A"} <= s.right.buttons and "X" in s.left.buttons,
        "the buttons",
    )
    assert (pressed.right.squeeze, pressed.right.trigger) == (1.0, 0.25)
    assert pressed.right.stick == (0.5, 1.0)
    # What is set is the pointing ray; the grip lies a little behind and below it.
    moved = sample(stage, page, lambda s: s.right.position_m[0] > 0.3, "the place")
    assert moved.right.position_m == pytest.approx((0.350, -0.304, 1.184), abs=1e-3)
    assert sample(stage, page, lambda s: s.seq > moved.seq + 20, "frames go on")
    assert set(stage.source.counts()) == {"accepted"}  # nothing was refused


def test_turning_the_controller_turns_the_sample_the_same_way(stage, visit):
    page = visit()
    begin(page)
    before = sample(stage, page, lambda s: s.right.tracked, "the controller").right
    page.evaluate(
        "quest.controllers.right.quaternion.set(0, Math.SQRT1_2, 0, Math.SQRT1_2)"
    )  # a quarter to the left
    after = sample(
        stage, page, lambda s: s.right.rotation_xyzw != before.rotation_xyzw, "the turn"
    ).right
    turn = Rotation.from_quat(after.rotation_xyzw) * Rotation.from_quat(before.rotation_xyzw).inv()
    assert turn.as_rotvec(degrees=True) == pytest.approx([0, 0, 90], abs=0.01)


@pytest.mark.parametrize(
    ("trouble", "seen"),
    [
        (
            "quest.updateVisibilityState('visible-blurred')",
            lambda s: not s.visible and s.right is None,
        ),
        (
            "quest.controllers.right.connected = false",
            lambda s: s.visible and s.right is None and s.left,
        ),
        ("quest.primaryInputMode = 'hand'", lambda s: s.right is None and s.left is None),
    ],
    ids=["system menu", "right controller off", "hands instead"],
)
def test_what_must_stop_the_arm_is_told(stage, visit, trouble, seen):
    page = visit()
    begin(page)
    sample(stage, page, lambda s: s.right and s.right.tracked, "the controller")
    page.evaluate(trouble)
    sample(stage, page, seen, trouble)


def test_recentring_is_told_once(stage, visit):
    page = visit()
    begin(page)
    assert sample(stage, page, lambda s: True, "a sample") is not None
    sample(stage, page, lambda s: not s.recentred, "the frames after the first")
    page.evaluate("quest.position.set(0.5, 1.6, 0.5); quest.recenter()")
    sample(stage, page, lambda s: s.recentred, "the recentring")
    sample(stage, page, lambda s: not s.recentred, "the frames after it")


def test_the_end_of_the_session_is_the_end_of_the_samples(stage, visit):
    page = visit()
    begin(page)
    sample(stage, page, lambda s: True, "a sample")
    page.locator("#start").dispatch_event("click")  # the emulator's picture lies over the page
    page.locator("#start").get_by_text("Start", exact=True).wait_for()
    wait_until(lambda: stage.source.latest() is None, "no sample")
    begin(page)
    assert sample(stage, page, lambda s: True, "a sample of the second session") is not None


def test_closing_the_page_is_the_end_of_the_samples(stage, visit):
    page = visit()
    begin(page)
    sample(stage, page, lambda s: True, "a sample")
    page.close()
    wait_until(lambda: stage.source.latest() is None, "no sample")


def test_a_connection_that_broke_comes_back_and_counts_as_recentred(stage, visit):
    page = visit()
    begin(page)
    page.evaluate("quest.controllers.right.updateButtonValue('squeeze', 1)")
    sample(stage, page, lambda s: "RG" in s.right.buttons and not s.recentred, "the held grip")
    stage.source.stop()
    title(page, "No connection")
    assert stage.source.latest() is None
    stage.again()
    title(page, "Ready")
    again = sample(stage, page, lambda s: s.right is not None, "frames again")
    assert again.recentred  # so that the held grip engages nothing
    assert "RG" in again.right.buttons


def test_from_the_pressed_grip_to_the_arms_target_and_not_after_a_broken_connection(stage, visit):
    # The emulator always says that it guesses positions; how old a frame may be is not what is tested here.
    bridge = Bridge(BridgeConfig(gates=GateConfig(refuse_emulated=False, stale_s=10.0)))
    arm = ArmSeen(Pose(np.array([0.4, 0.0, 0.5]), Rotation.from_euler("x", 180, degrees=True)))
    page = visit()

    def until(true, what):
        def seen():
            page.wait_for_timeout(10)
            decision = bridge.tick(time.monotonic(), stage.source.latest(), arm)
            if decision.pulse is not None:
                stage.source.pulse(decision.pulse.hand, decision.pulse.strength, decision.pulse.ms)
            stage.words = status_of(decision.state, decision.reason)
            decisions.append(decision)
            return true(decision)

        wait_until(seen, what)
        return decisions[-1]

    def grip(value):
        page.evaluate(f"quest.controllers.right.updateButtonValue('squeeze', {value})")

    decisions = []
    until(lambda d: d.state is State.DISCONNECTED, "nobody drives")
    title(page, "Not connected")
    begin(page)
    until(lambda d: d.state is State.READY, "ready")
    grip(1)
    start = until(lambda d: d.state is State.ENGAGED, "engaged").target
    assert start.position_m == pytest.approx(arm.measured.position_m)
    for step in (1, 2, 3):
        page.evaluate("quest.controllers.right.position.z -= 0.02")  # away from the operator
        until(lambda d, x=0.4 + 0.02 * step: d.target.position_m[0] > x - 0.002, f"step {step}")
    moved = decisions[-1].target.position_m - start.position_m
    assert moved == pytest.approx([0.06, 0.0, 0.0], abs=0.004)
    title(page, "Following")

    stage.source.stop()
    until(lambda d: d.state is State.DISCONNECTED and d.target is None, "the arm holds")
    stage.again()
    decisions.clear()
    until(lambda d: sum(each.fresh for each in decisions) > 10, "frames with the grip still held")
    assert not any(d.state is State.ENGAGED or d.target is not None for d in decisions)
    title(page, "Stopped")
    grip(0)
    until(lambda d: d.state is State.READY, "released")
    grip(1)
    assert until(lambda d: d.state is State.ENGAGED, "a fresh press").target is not None


def test_words_are_shown_on_the_desk_and_in_the_headset(stage, visit):
    page = visit()
    begin(page)
    stage.words = Status(
        "Holding",
        "bad",
        "The right controller is out of sight.",
        "Look at it, press the grip anew.",
        {"Rate": "90 Hz"},
    )
    desk = visit(quest=False)
    for each in (page, desk):
        title(each, "Holding")
        assert each.locator("#why").inner_text() == "The right controller is out of sight."
        assert each.locator("#cure").inner_text() == "Look at it, press the grip anew."
        assert "90 Hz" in each.locator("#figures").inner_text()
    page.evaluate("window.look = true")
    page.wait_for_function("window.look === false")
    assert "242,121,111" in page.evaluate("[...window.colours]")  # the bar of the tone "bad"
    assert desk.locator("#start").is_disabled()


def test_a_cure_of_many_steps_is_a_list_on_the_desk_and_a_hint_in_the_headset(stage, visit):
    page = visit()
    begin(page)
    stage.words = status_of(State.FAULT_HOLD, robot_fault(4, ["cartesian_reflex"]))
    title(page, "Stopped")
    steps = page.locator("#cure li").all_inner_texts()
    assert len(steps) == len(RECOVERY)
    assert (
        "error_recovery" in steps[0] and steps[-1] == "Release the right grip and press it again."
    )
    drawn = page.evaluate("window.drawn")
    assert "4 steps: read them on the desktop page." in drawn
    assert not any("error_recovery" in line for line in drawn)


def test_a_pulse_shakes_the_controller(stage, visit):
    page = visit()
    begin(page)
    sample(stage, page, lambda s: s.right, "the controller")
    page.evaluate(
        """() => {
          for (const source of quest.activeInputs.map((input) => input.inputSource))
            source.gamepad.hapticActuators[0].pulse = async (...how) => pulses.push([source.handedness, ...how]);
        }"""
    )
    stage.source.pulse("right", 0.5, 80.0)
    page.wait_for_function("window.pulses.length > 0")
    assert page.evaluate("window.pulses") == [["right", 0.5, 80]]


def test_a_headset_pairs_with_the_code_and_stays_paired(stage, visit):
    page = visit(stage.source.server.url)
    title(page, "Not paired")
    page.locator("#code").fill("00000000")
    page.locator("#pairing button").click()
    page.locator("#note").get_by_text("wrong or used up").wait_for()
    page.locator("#pairing").wait_for(state="visible")
    page.locator("#code").fill(stage.source.server.open_pairing())
    page.locator("#pairing button").click()
    title(page, "Ready")
    page.reload()
    title(page, "Ready")


def test_an_old_token_leads_back_to_pairing(stage, visit):
    page = visit(stage.source.server.url + "#token=" + "old" * 10)
    title(page, "Not paired")
    assert "token is wrong" in page.locator("#why").inner_text()


def test_a_page_too_many_keeps_its_token_and_comes_in_when_another_goes(browser, emulator, visit):
    stage = Stage(max_known=1)
    other = RawPage(stage.source.server.port).prove()
    try:
        page = visit(stage.source.server.url_with_token)
        page.locator("#note").get_by_text("too many pages are open").wait_for()
        assert page.evaluate("localStorage.getItem('token')") == TOKEN
        other.close()
        title(page, "Ready")
    finally:
        other.close()
        stage.source.stop()


def test_a_second_headset_is_told_who_drives(stage, visit):
    first = RawPage(stage.source.server.port).prove()
    assert first.claim()
    page = visit()
    page.locator("#start:enabled").click()
    page.locator("#note").get_by_text("end it there first").wait_for()
    page.locator("#start").get_by_text("Start", exact=True).wait_for()
    first.close()


def test_a_browser_without_a_headset_says_why_it_cannot_start(visit):
    page = visit(quest=False)
    title(page, "Ready")
    assert page.locator("#start").is_disabled()
    assert "headset's browser" in page.locator("#note").inner_text()


def test_over_tls_it_works_the_same(browser, emulator, tmp_path):
    stage = Stage(host="0.0.0.0", certificate=tmp_path / "teleop.pem")
    context = browser.new_context(ignore_https_errors=True)
    try:
        context.add_init_script(emulator + INSTALL)
        page = context.new_page()
        page.goto(stage.source.server.url_with_token)
        begin(page)
        sample(stage, page, lambda s: s.right and s.right.tracked, "the controller")
    finally:
        context.close()
        stage.source.stop()


def test_nothing_is_asked_of_the_internet(stage, visit, browser):
    page = visit()
    asked = page.evaluate("performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert asked and all(url.startswith(stage.source.server.url) for url in asked)
