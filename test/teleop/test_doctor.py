# SPDX-License-Identifier: Apache-2.0
"""What the doctor finds about adb, the page and the arm's profile, where all is well and where it is not."""

from __future__ import annotations

import datetime
import socket
import subprocess
import sys

import pytest

pytest.importorskip("cryptography")

from dexndm_ros.dashboard.access import keep_token
from dexndm_ros.hand.doctor import Level
from dexndm_ros.teleop.doctor import (
    PageSettings,
    check_adb,
    check_page_port,
    check_profiles,
    check_secrets,
)
from dexndm_ros.teleop.web import CERTIFICATE_FILE, TOKEN_FILE
from dexndm_ros.teleop.web.certificate import keep_certificate
from support.adb import QUEST, Adb

NAMES = frozenset({"localhost", "10.1.2.3"})


@pytest.fixture
def server(monkeypatch):
    """Something listens where adb's server would."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(listening.getsockname()[1]))
        yield


@pytest.fixture
def adb(tmp_path, server):
    return Adb(tmp_path)


def page_of(adb, **changes):
    return PageSettings(adb=str(adb.path), **changes)


def only(findings, what):
    (found,) = [finding for finding in findings if finding.what == what]
    return found


# --- adb --------------------------------------------------------------------------------------------


def test_without_adb_a_line_says_how_to_get_it(server):
    (found,) = check_adb(PageSettings(adb="/no/adb"))
    assert (found.level, "apt install adb" in found.cure) == (Level.NOTE, True)


def test_a_server_that_does_not_run_is_told_and_not_started(adb, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as gone:
        monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(gone.getsockname()[1]))
    (found,) = check_adb(page_of(adb))
    assert "server does not run" in found.found
    assert not (adb.folder / "calls").exists()


def test_a_headset_with_its_rule_is_well(adb):
    (adb.folder / "rules").write_text("tcp:8766 tcp:8766\n")
    findings = check_adb(page_of(adb, running=True))
    assert {finding.level for finding in findings} == {Level.OK}
    assert only(findings, "headset on USB").found == QUEST


def test_a_rule_that_is_missing_is_told_and_not_set(adb):
    (adb.folder / "rules").write_text("tcp:1 tcp:1\n")
    for running, level in ((False, Level.NOTE), (True, Level.WARNING)):
        found = only(check_adb(page_of(adb, running=running)), "adb reverse")
        assert (found.level, "reverse tcp:8766 tcp:8766" in found.cure) == (level, True)
    assert adb.rules() == ["tcp:1 tcp:1"]


@pytest.mark.parametrize(
    ("devices", "cure"),
    [
        ([], "developer mode"),
        ([f"{QUEST}\tunauthorized"], "put it on and allow it"),
        ([f"{QUEST}\toffline"], "plug the cable in again"),
        ([f"{QUEST}\tdevice", "emulator-5554\tdevice"], "name one by serial"),
    ],
)
def test_a_headset_that_cannot_be_used_is_told_with_the_cure(adb, devices, cure):
    adb.plug(*devices)
    found = only(check_adb(page_of(adb, running=True)), "headset on USB")
    assert (found.level, cure in found.cure) == (Level.WARNING, True)


# --- token and certificate --------------------------------------------------------------------------


def secrets(folder, now=None, names=NAMES):
    keep_token(folder / TOKEN_FILE)
    return keep_certificate(folder / CERTIFICATE_FILE, names, now)


def test_secrets_in_order_are_told_with_the_fingerprint_to_compare(tmp_path):
    kept = secrets(tmp_path)
    findings = check_secrets(PageSettings(directory=str(tmp_path), tls=True), NAMES)
    assert {finding.level for finding in findings} == {Level.OK}
    assert kept.fingerprint in [finding.found for finding in findings]
    assert "10.1.2.3" in only(findings, "certificate").found


def test_before_the_first_start_nothing_is_made(tmp_path):
    findings = check_secrets(PageSettings(directory=str(tmp_path), tls=True), NAMES)
    assert {finding.level for finding in findings} == {Level.NOTE}
    assert list(tmp_path.iterdir()) == []


def test_what_others_can_read_is_an_error(tmp_path):
    secrets(tmp_path)
    for name in (TOKEN_FILE, CERTIFICATE_FILE):
        (tmp_path / name).chmod(0o644)
    findings = check_secrets(PageSettings(directory=str(tmp_path)), NAMES)
    assert [finding.level for finding in findings] == [Level.ERROR, Level.ERROR]
    assert all(finding.cure for finding in findings)


@pytest.mark.parametrize(
    ("age_days", "named", "words"),
    [(398, NAMES, "it ends on"), (0, frozenset({"localhost"}), "did not name 10.1.2.3")],
)
def test_a_certificate_that_fits_no_more_is_told(tmp_path, age_days, named, words):
    now = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=age_days)
    before = secrets(tmp_path, now, named).fingerprint
    for tls, level in ((False, Level.NOTE), (True, Level.WARNING)):
        page = PageSettings(directory=str(tmp_path), tls=tls)
        found = only(check_secrets(page, NAMES), "certificate")
        assert (found.level, words in found.found) == (level, True)
    assert keep_certificate(tmp_path / CERTIFICATE_FILE, named, now).fingerprint == before


def test_a_file_that_holds_no_certificate_is_told(tmp_path):
    secrets(tmp_path)
    (tmp_path / CERTIFICATE_FILE).write_text("nothing")
    found = only(
        check_secrets(PageSettings(directory=str(tmp_path), tls=True), NAMES), "certificate"
    )
    assert "held none" in found.found


# --- the page's port --------------------------------------------------------------------------------

LISTEN = """
import socket, sys
listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
sys.stdin.read()
"""


@pytest.fixture
def listener():
    """A program of that name which has a port."""
    started = []

    def listener(name):
        program = subprocess.Popen(
            [sys.executable, "-c", LISTEN, name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(program)
        return program.pid, int(program.stdout.readline())

    yield listener
    for program in started:
        program.communicate()


def test_a_free_port_is_well():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    found = check_page_port(PageSettings(port=port))
    assert (found.level, found.found) == (Level.OK, "free")


def test_who_has_the_port_is_told(listener):
    pid, port = listener("some-other-server")
    found = check_page_port(PageSettings(port=port))
    assert found.level is Level.WARNING
    assert f"(pid {pid})" in found.found and f"kill {pid}" in found.cure


def test_our_own_page_has_its_port_by_right(listener):
    pid, port = listener("dexndm_ros.nodes.quest_bridge")
    found = check_page_port(PageSettings(port=port))
    assert (found.level, str(pid) in found.found) == (Level.OK, True)


def test_an_address_that_is_not_ours_is_told():
    found = check_page_port(PageSettings(host="192.0.2.1"))
    assert (found.level, "cannot be had" in found.found) == (Level.WARNING, True)


# --- profiles ---------------------------------------------------------------------------------------


def test_the_shipped_profiles_are_in_order():
    (found,) = check_profiles()
    assert (found.level, "crisp, fzi, jtc, servo" in found.found) == (Level.OK, True)


def test_a_named_profile_says_what_it_does():
    (found,) = check_profiles("crisp")
    assert "PoseStamped on target_pose, 100 Hz" in found.found


def test_a_profile_that_cannot_be_used_is_an_error(tmp_path):
    file = tmp_path / "own.yaml"
    file.write_text("command: pose\ncommand_topic: here\nspeed: 3\n")
    (found,) = check_profiles(str(file))
    assert (found.level, "unknown key 'speed'" in found.found) == (Level.ERROR, True)
