# SPDX-License-Identifier: Apache-2.0
"""The page in a real browser: what a person sees, on a phone and on a desk, when all is well and when not."""

from __future__ import annotations

import dataclasses
import queue
from concurrent.futures import Future

import pytest

from dexndm_ros.dashboard.inputs import HandSeen, RecorderSeen, ReplayState, StatusSeen, StepSeen
from dexndm_ros.dashboard.model import StatusModel
from dexndm_ros.dashboard.server import ActionResult, DashboardServer, ServerConfig
from dexndm_ros.hand.joints import JOINT_NAMES
from support.browser import browser_or_skip
from support.dashboard import healthy_hand, running

TOKEN = "a-token-of-the-test-that-is-long-enough"
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 900}


class Stage:
    """A model whose time the test sets, and the server that shows it."""

    def __init__(self):
        self.model = StatusModel(0.0)
        self.now_s = 0.0
        self.asked = queue.SimpleQueue()
        self.answer = ActionResult(True, "as asked")
        self.server = None
        self.serve()

    def serve(self, port=0):
        self.server = DashboardServer(
            ServerConfig(token=TOKEN, port=port, period_s=0.1),
            lambda: self.model.snapshot(self.now_s),
            self._act,
        )
        self.server.start()

    @property
    def port(self):
        return int(self.server.url.rsplit(":", 1)[1].strip("/"))

    def feed(self, *seen):
        for one in seen:
            self.now_s += 0.01
            self.model.feed(one, self.now_s)

    def night(self):
        """Some hours of a campaign that goes well."""
        for k in range(300):
            self.now_s += 20.0
            self.feed(
                running(done=512 + k, attempt=1), healthy_hand(45.0), HandSeen(2, (0.2,) * 16)
            )
            self.feed(RecorderSeen(ready=True, free_bytes=1e12, lost=0, episode=f"e{k:06d}_a1"))
        for step in range(0, 400, 4):
            self.feed(StepSeen(7, 1, 1, step, (step / 400,) * 16, (step / 420,) * 16))
        self.feed(StepSeen(8, 2, 1, 0, (0.0,) * 16, (0.0,) * 16))

    def _act(self, name):
        self.asked.put(name)
        future = Future()
        future.set_result(self.answer)
        return future


@pytest.fixture(scope="module")
def browser():
    with browser_or_skip() as browser:
        yield browser


@pytest.fixture
def stage():
    stage = Stage()
    yield stage
    stage.server.stop()


@pytest.fixture
def visit(browser, stage):
    """Open the page; it must not complain (script errors, refused content) at any time."""
    contexts, complaints = [], []

    def visit(url=None, viewport=DESK, **options):
        context = browser.new_context(viewport=viewport, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda said: (
                complaints.append(said.text)
                if said.type in ("error", "warning") and "Failed to load resource" not in said.text
                else None
            ),
        )
        page.goto(url or stage.server.url)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert complaints == []


def says(page, selector, text):
    page.locator(selector).get_by_text(text).first.wait_for()


@pytest.mark.parametrize("viewport", [PHONE, DESK], ids=["phone", "desk"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_night_that_goes_well_fits_on_every_screen(stage, visit, viewport, scheme):
    stage.night()
    page = visit(viewport=viewport, color_scheme=scheme)
    says(page, "#state-title", "Collecting")
    says(page, "#state-detail", "811 of 1400 trajectories are safe on disk")
    says(page, "#campaign", "palm_down_full in /data/palm_down_full")
    says(page, "#progress-text", "811 of 1")
    assert page.locator("#bar").get_attribute("aria-valuenow") == "811"
    assert page.locator("#rate").inner_text() == "180"
    assert page.locator("#eta").inner_text() == "3\u202fh 16\u202fmin"
    assert page.locator("#duty").inner_text() == "99.3\u202f%"
    assert page.locator("#lost-messages").inner_text() == "0"
    assert "Collecting: 811/1400" in page.title()
    # Nothing sticks out: a phone does not scroll sideways.
    inner, whole = page.evaluate("[innerWidth, document.documentElement.scrollWidth]")
    assert whole <= inner
    assert page.locator(".plots figure").count() == 16
    assert page.locator("#history svg").count() == 4
    for box in page.locator("button").all():
        assert box.bounding_box()["height"] >= 44  # a thumb hits it


def test_every_joint_has_its_place_colour_and_words_in_both_pictures(stage, visit):
    stage.night()
    temperatures = tuple(30.0 + 2.0 * k for k in range(16))
    stage.feed(dataclasses.replace(healthy_hand(0.0), temperature_c=temperatures))
    page = visit()
    says(page, "#temperature-text", "Highest: thumb ipl, 60")
    for picture in ("#temperature", "#current"):
        tiles = page.locator(f"{picture} .tile")
        assert [tile.get_attribute("data-joint") for tile in tiles.all()] == list(JOINT_NAMES)
        places = {(t.get_attribute("x"), t.get_attribute("y")) for t in tiles.all()}
        assert len(places) == 16
        label = page.locator(f"{picture} svg").get_attribute("aria-label")
        assert label.startswith("Highest: ")
    colours = page.locator("#temperature .tile").evaluate_all(
        "tiles => tiles.map(t => t.style.fill)"
    )
    assert len(set(colours)) == 16
    assert page.locator("#temperature .value").all_text_contents() == [
        f"{celsius:.0f}" for celsius in temperatures
    ]
    assert page.locator("#current .value").all_text_contents() == ["200"] * 16
    title = page.locator("#temperature .tile title").nth(5).text_content()
    assert title == "middle mcp forward (motor 5): 40 °C"


def test_a_motor_that_does_not_answer_and_a_fault_stand_out_until_they_are_mended(stage, visit):
    stage.night()
    fault = "motor 5 has shut down: overload; let it cool and free it, then call hand/recover"
    broken = dataclasses.replace(
        healthy_hand(45.0),
        responding=tuple(k != 5 for k in range(16)),
        temperature_c=tuple(float("nan") if k == 5 else 45.0 for k in range(16)),
        fault=fault,
    )
    stage.feed(broken, running(state=ReplayState.FAULT, reason="too many recoveries; press start"))
    page = visit()
    says(page, "#state-title", "Stopped by a fault")
    assert page.locator("#state").get_attribute("data-tone") == "bad"
    says(page, "#state-cure", "press start")
    says(page, "#fault-list", "motor 5 has shut down: overload")
    says(page, "#fault-list .cure", "let it cool and free it, then call hand/recover")
    says(page, "#temperature-text", "middle mcp forward does not answer")
    assert (
        page.locator("#temperature .tile.bad").get_attribute("data-joint") == "middle_mcp_forward"
    )
    stage.feed(healthy_hand(45.0), running())
    page.locator("#faults").wait_for(state="hidden")
    says(page, "#event-list", "motor 5 has shut down")


def test_before_anything_is_heard_the_page_says_what_to_do(stage, visit):
    page = visit(viewport=PHONE)
    says(page, "#state-title", "No campaign")
    says(page, "#state-cure", "dexndm collect")
    says(page, "#recorder-text", "Not heard yet.")


def test_without_the_token_the_buttons_say_why_they_do_nothing(stage, visit):
    stage.feed(running())
    page = visit()
    says(page, "#state-title", "Collecting")
    for name in ("start", "pause", "resume", "stop"):
        assert page.locator(f"#{name}").is_disabled()
    says(page, "#control-note", "Read-only")


def test_with_the_token_a_button_asks_and_the_answer_is_shown(stage, visit):
    stage.feed(running())
    page = visit(stage.server.url_with_token)
    asked_for = []
    page.on("request", lambda request: asked_for.append(request.url))
    page.locator("#pause:enabled").click()
    assert stage.asked.get(timeout=60) == "pause"
    says(page, "#control-note", "as asked")
    stage.answer = ActionResult(False, "the hand is in FAULT; call hand/recover")
    page.locator("#stop:enabled").click()
    says(page, "#control-note", "Not done: the hand is in FAULT; call hand/recover")
    assert page.locator("#start").is_disabled()
    assert page.locator("#start").get_attribute("title").startswith("start works while")
    assert asked_for
    assert TOKEN not in "".join(asked_for) + page.url
    page.reload()  # the tab still knows it
    page.locator("#pause:enabled").wait_for()


def test_a_wrong_token_is_told_and_forgotten(stage, visit):
    stage.feed(running())
    page = visit(f"{stage.server.url}#token=wrong")
    page.locator("#pause:enabled").click()
    says(page, "#control-note", "this needs the token")
    page.locator("#stop:disabled").wait_for()
    assert stage.asked.empty()


def test_a_page_of_another_site_cannot_press_a_button(stage, browser):
    """A page that a browser on this machine has open, from elsewhere, with the token even."""
    context = browser.new_context()
    page = context.new_page()
    page.route(
        "http://evil.example/",
        lambda route: route.fulfill(body="<p>hello</p>", content_type="text/html"),
    )
    page.goto("http://evil.example/")
    ask = """async ([url, token]) => {
        const said = [];
        for (const mode of ["cors", "no-cors"]) {
            for (const headers of [{}, {Authorization: `Bearer ${token}`}]) {
                try { said.push((await fetch(url, {method: "POST", mode, headers})).type); }
                catch (error) { said.push("refused"); }
            }
        }
        return said;
    }"""
    said = page.evaluate(ask, [f"{stage.server.url}api/replay/start", TOKEN])
    assert set(said) <= {"refused", "opaque"}
    assert stage.asked.empty()
    context.close()


def test_a_dead_server_is_told_with_the_age_of_the_data_and_a_new_one_is_found(stage, visit):
    stage.feed(running())
    page = visit(stage.server.url_with_token)
    says(page, "#state-title", "Collecting")
    port = stage.port
    stage.server.stop()
    page.locator("#lost").wait_for(state="visible")
    says(page, "#lost", "Connection lost.")
    page.locator("#lost-age").get_by_text("What you see is").wait_for()
    assert page.locator("#content").evaluate("main => main.classList.contains('stale')")
    assert page.locator("#pause").is_disabled()
    stage.feed(StatusSeen(campaign="night", state=ReplayState.DONE, done=1400, total=1400))
    stage.serve(port)
    page.locator("#lost").wait_for(state="hidden")
    says(page, "#state-title", "Done")


def test_two_viewers_see_the_same_and_one_that_leaves_is_not_missed(stage, visit):
    stage.feed(running())
    one, two = visit(viewport=PHONE), visit()
    for page in (one, two):
        says(page, "#state-title", "Collecting")
    one.close()
    stage.feed(running(state=ReplayState.COOLING, reason="motor 1 is at 58 C; it goes on at 50 C"))
    says(two, "#state-title", "Cooling down")
    says(two, "#state-cure", "it goes on at 50 C")


def test_words_of_others_are_shown_as_words(stage, visit):
    nasty = "<img src=x onerror=\"document.title='owned'\"><script>1</script>; <b>cure</b>"
    stage.feed(running(campaign=nasty, state=ReplayState.PAUSED, reason=nasty, warnings=(nasty,)))
    page = visit()
    says(page, "#state-title", "Paused")
    says(page, "#warning-list", "<script>1</script>")
    assert page.locator("main img, main script, main b b").count() == 0
    assert "owned" not in page.title()


def test_a_reader_of_the_screen_hears_names_and_values(stage, visit):
    stage.night()
    page = visit()
    says(page, "#state-title", "Collecting")
    assert page.get_by_role("status").filter(has_text="Collecting").count() == 1
    assert page.get_by_role("progressbar", name="Progress").count() == 1
    assert page.get_by_role("group", name="Control of the replay").count() == 1
    for button in ("Start", "Pause", "Resume", "Stop"):
        assert page.get_by_role("button", name=button, exact=True).count() == 1
    labels = page.locator("svg[role=img]").evaluate_all(
        "all => all.map(s => s.getAttribute('aria-label'))"
    )
    assert len(labels) == 2 + 4 + 16
    assert all(labels)
    assert any(label.startswith("Hottest motor: now 47") for label in labels)
