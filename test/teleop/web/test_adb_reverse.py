# SPDX-License-Identifier: Apache-2.0
"""The way through USB, with a program in adb's place that keeps its rules as the real one does."""

from __future__ import annotations

import threading

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexndm_ros.teleop.oculus_reader import AdbConfig
from dexndm_ros.teleop.web.adb_reverse import AdbReverse, devices_of
from support.adb import QUEST, Adb
from support.webxr import wait_until


@pytest.fixture
def adb(tmp_path):
    return Adb(tmp_path)


def reverse(adb, serial="", **how):
    return AdbReverse(8766, AdbConfig(adb=str(adb.path), serial=serial), **how)


def test_the_rule_is_set_once_and_again_when_it_is_gone(adb):
    way = reverse(adb)
    assert [way.tend(), way.tend(), way.tend()] == ["", "", ""]
    assert adb.rules() == ["tcp:8766 tcp:8766"]
    adb.forget()
    assert way.tend() == ""
    assert adb.rules() == ["tcp:8766 tcp:8766"]
    assert way.set_count == 2


def test_a_rule_of_another_port_is_no_rule_of_ours(adb):
    (adb.folder / "rules").write_text("tcp:8766 tcp:9999\ntcp:18766 tcp:8766\n")
    reverse(adb).tend()
    assert adb.rules()[-1] == "tcp:8766 tcp:8766"


@pytest.mark.parametrize(
    ("devices", "words"),
    [
        ([], "no headset on USB: plug it in"),
        ([f"{QUEST}\tunauthorized"], "put it on and allow it"),
        ([f"{QUEST}\toffline"], "plug the cable in again"),
        (
            [f"{QUEST}\tno permissions (user in plugdev group); see [url]"],
            "may not use the USB device",
        ),
        ([f"{QUEST}\trecovery"], "in the state 'recovery'"),
        (
            [f"{QUEST}\tdevice", "emulator-5554\tdevice"],
            f"several devices on USB ({QUEST}, emulator-5554)",
        ),
    ],
)
def test_what_is_in_the_way_is_told_with_its_cure(adb, devices, words):
    adb.plug(*devices)
    way = reverse(adb)
    assert words in way.tend()
    assert words in way.words
    assert adb.rules() == []


def test_the_serial_picks_one_of_several(adb):
    adb.plug("emulator-5554\tdevice", f"{QUEST}\tdevice")
    assert reverse(adb, serial=QUEST).tend() == ""
    assert f"-s {QUEST} reverse tcp:8766 tcp:8766" in (adb.folder / "calls").read_text()
    assert "no other on USB" in reverse(adb, serial="other").tend()


def test_a_rule_that_cannot_be_set_is_told(adb):
    (adb.folder / "stuck").write_text("")
    assert "adb cannot lead tcp:8766 here (error: closed)" in reverse(adb).tend()


def test_without_adb_the_message_says_how_to_get_it(tmp_path):
    way = AdbReverse(8766, AdbConfig(adb=str(tmp_path / "none")))
    assert "sudo apt install adb" in way.tend()


def test_a_headset_that_comes_later_and_sleeps_is_served_by_itself(adb):
    adb.plug()
    way = reverse(adb, period_s=0.01)
    way.start()
    wait_until(lambda: "plug it in" in way.words, "no headset")
    adb.plug(f"{QUEST}\tdevice")
    wait_until(adb.rules, "the rule")
    adb.forget()
    wait_until(adb.rules, "the rule again")
    way.stop()
    assert adb.rules() == []  # nothing stays behind
    way.stop()


def test_the_page_is_opened_without_its_token_on_a_command_line(adb):
    url = "http://localhost:8766/#token=s3cret'; reboot"
    assert reverse(adb).open_page(url) == ""
    typed = (adb.folder / "typed").read_text()
    assert typed.startswith(
        "am start -a android.intent.action.VIEW -d 'http://localhost:8766/#token=s3cret"
    )
    assert "'\"'\"'; reboot'" in typed  # quoted: a part of the address, not a command
    assert "s3cret" not in (adb.folder / "calls").read_text()


URL = "http://localhost:8766/#token=s3cret"


def opened(adb):
    typed = adb.folder / "typed"
    return typed.read_text().count("VIEW") if typed.exists() else 0


def test_the_page_opens_by_itself_once_for_each_headset(adb):
    way = reverse(adb, page=lambda: URL)
    way.tend()
    assert opened(adb) == 0  # a page that is open already has the time of a look to connect again
    assert [way.tend(), way.tend()] == ["", ""]
    assert opened(adb) == 1
    adb.forget()  # it slept: its page is still there
    way.tend()
    way.tend()
    assert opened(adb) == 1
    adb.plug("another\tdevice")
    way.tend()
    way.tend()
    assert opened(adb) == 2


def test_a_headset_that_drives_is_not_taken_out_of_its_session(adb):
    driven = [True]
    way = reverse(adb, page=lambda: "" if driven[0] else URL)
    way.tend()
    way.tend()
    driven[0] = False  # nor when it has ended
    way.tend()
    assert opened(adb) == 0


def test_a_page_that_did_not_open_is_told_and_tried_again(adb):
    way = reverse(adb, page=lambda: URL)
    (adb.folder / "closed").write_text("")
    way.tend()
    assert way.tend() == "the headset did not open the page (error: closed): open it by hand"
    (adb.folder / "closed").unlink()
    assert way.tend() == ""
    assert opened(adb) == 1


def test_an_adb_that_hangs_does_not_outlast_the_end(adb):
    """The end is waited for in the test's own time-out; what hung is gone."""
    way = reverse(adb, period_s=0.01)
    way.start()
    wait_until(adb.rules, "the rule")
    (adb.folder / "hanging").write_text("")
    hangs = adb.folder / "hangs"
    wait_until(lambda: hangs.exists() and hangs.read_text().strip(), "adb to hang")
    hung = psutil.Process(int(hangs.read_text()))
    ended = threading.Thread(target=way.stop, daemon=True)
    ended.start()
    wait_until(lambda: not ended.is_alive(), "the end")
    wait_until(lambda: not hung.is_running() or hung.status() == psutil.STATUS_ZOMBIE, "its end")


@given(st.text())
def test_anything_that_adb_prints_is_read(text):
    for serial, state in devices_of(text).items():
        assert serial and isinstance(state, str)


def test_the_words_of_its_own_server_are_no_devices():
    text = "* daemon not running; starting now at tcp:5037\n* daemon started\nList of devices attached\nabc\tdevice\n"
    assert devices_of(text) == {"abc": "device"}
