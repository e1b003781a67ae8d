# SPDX-License-Identifier: Apache-2.0
"""One message for each thing worth telling; a receiver that fails, is away, or never answers."""

from __future__ import annotations

import json
import queue
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexndm_ros.dashboard.inputs import ReplayState, StatusSeen
from dexndm_ros.dashboard.webhook import (
    CampaignWatch,
    Notice,
    WebhookError,
    WebhookSender,
    check_url,
)
from support.dashboard import running

PATIENCE_S = 60.0


class Receiver(ThreadingHTTPServer):
    """A real HTTP server that answers what the test says, in order; 200 when nothing is said."""

    daemon_threads = True

    def __init__(self):
        self.answers = queue.SimpleQueue()
        self.got = queue.Queue()
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server_address[1]}/hook?secret=1"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = 200 if self.server.answers.empty() else self.server.answers.get()
        if status == "hang up":
            self.close_connection = True
        else:
            self.send_response(status)
            if status == 302:
                self.send_header("Location", "/elsewhere")
            self.end_headers()
        self.server.got.put((self.headers["Content-Type"], json.loads(body)))

    def log_message(self, *unused):
        pass


@pytest.fixture
def receiver():
    with Receiver() as server:
        yield server
        server.shutdown()


@pytest.fixture
def send():
    senders, log = [], queue.Queue()

    def send(url, *notices):
        sender = WebhookSender(url, log.put, retries_s=(0.01, 0.02, 0.03))
        senders.append(sender)
        for notice in notices:
            sender.offer(notice)
        return log

    yield send
    for sender in senders:
        sender.close()


# --- what is told -------------------------------------------------------------------------------------


def test_a_night_that_goes_well_is_told_once_when_it_is_done():
    watch = CampaignWatch(PATIENCE_S)
    told = [watch.see(running(step=k), 0.5, float(k)) for k in range(300)]
    told += [watch.see(StatusSeen(state=ReplayState.DONE), k, 300.0 + k) for k in range(3000)]
    assert [notice.state for notice in told if notice] == ["done"]


def test_a_fault_is_told_when_it_lasts_and_again_after_it_went_on():
    watch = CampaignWatch(PATIENCE_S, settle_s=10.0)
    fault = StatusSeen(state=ReplayState.FAULT, reason="the cable is out; plug it in")
    assert all(watch.see(fault, 0.0, t) is None for t in (0.0, 5.0))
    assert watch.see(running(step=1), 0.0, 6.0) is None  # mended in time
    told = [watch.see(fault, 0.0, t) for t in (20.0, 25.0, 31.0, 40.0, 1000.0)]
    assert [bool(notice) for notice in told] == [False, False, True, False, False]
    assert told[2].reason == "the cable is out; plug it in"
    watch.see(running(step=2), 0.0, 1001.0)
    assert [bool(watch.see(fault, 0.0, t)) for t in (1002.0, 1013.0)] == [False, True]


def test_silence_and_standstill_are_stuck_and_pauses_are_not():
    watch = CampaignWatch(PATIENCE_S)
    assert watch.see(running(step=7), 0.0, 0.0) is None
    assert watch.see(running(step=7), 0.0, 59.0) is None
    assert watch.see(running(step=7), 0.0, 61.0).state == "stuck"
    assert watch.see(running(step=8), 0.0, 62.0) is None
    for t in range(63, 1000):
        assert watch.see(StatusSeen(state=ReplayState.COOLING), 0.0, float(t)) is None
    notice = watch.see(StatusSeen(state=ReplayState.COOLING), 61.0, 1061.0)
    assert notice.state == "stuck"
    assert "said nothing for 61 s" in notice.reason
    assert watch.see(StatusSeen(state=ReplayState.COOLING), 90.0, 1090.0) is None


def test_a_replay_that_never_came_is_told_once():
    watch = CampaignWatch(PATIENCE_S)
    told = [watch.see(None, float(t), float(t)) for t in range(200)]
    assert [notice.state for notice in told if notice] == ["stuck"]


def test_a_process_started_again_does_not_repeat_what_was_told():
    done = StatusSeen(campaign="a", state=ReplayState.DONE)
    first = CampaignWatch(PATIENCE_S)
    assert first.see(done, 0.0, 0.0)
    second = CampaignWatch(PATIENCE_S, told=first.told)
    assert second.see(None, 0.0, 0.0) is None
    assert second.see(done, 0.0, 1.0) is None
    assert second.see(StatusSeen(campaign="b", state=ReplayState.DONE), 0.0, 2.0)


def test_at_the_end_a_young_fault_is_told_and_a_told_one_is_not():
    fault = StatusSeen(state=ReplayState.FAULT)
    watch = CampaignWatch(PATIENCE_S)
    assert watch.see(fault, 0.0, 0.0) is None
    assert watch.at_the_end(fault, 1.0).state == "fault"
    assert watch.at_the_end(fault, 2.0) is None
    assert CampaignWatch(PATIENCE_S).at_the_end(running(), 1.0) is None
    assert CampaignWatch(PATIENCE_S).at_the_end(None, 1.0) is None


@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.integers(0, 6)), st.floats(0.0, 200.0), st.floats(0.0, 100.0)
        ),
        max_size=60,
    )
)
def test_the_same_state_is_never_told_twice_in_a_row_without_having_gone_on(moments):
    watch = CampaignWatch(PATIENCE_S)
    now_s, last = 0.0, None
    for state, silent_s, wait_s in moments:
        now_s += wait_s
        status = None if state is None else StatusSeen(state=state, step=int(now_s))
        notice = watch.see(status, silent_s, now_s)
        if notice is not None:
            assert notice.state in ("done", "fault", "stuck")
            assert (notice.state, notice.status is None) != last
            json.dumps(notice.payload(), allow_nan=False)
            last = (notice.state, notice.status is None)
        elif not watch.told:
            last = None


# --- how it is sent -----------------------------------------------------------------------------------


def test_the_receiver_gets_campaign_state_reason_and_progress(receiver, send):
    send(receiver.url, Notice("fault", "the cable is out; plug it in", running(done=3, total=9)))
    kind, body = receiver.got.get(timeout=60)
    assert kind == "application/json"
    assert body == {
        "text": "Chaos Box palm_down_full: fault, 3 of 9 trajectories. the cable is out; plug it in",
        "campaign": "palm_down_full",
        "state": "fault",
        "reason": "the cable is out; plug it in",
        "done": 3,
        "rejected": 3,
        "total": 9,
        "eta_s": None,
        "duty_cycle": 0.9931,
        "directory": "/data/palm_down_full",
    }


@pytest.mark.parametrize("first", [500, 503, 429, "hang up"])
def test_a_receiver_that_fails_for_a_while_gets_it_later_and_in_order(receiver, send, first):
    receiver.answers.put(first)
    log = send(receiver.url, Notice("fault", "one", None), Notice("done", "two", None))
    reasons = [receiver.got.get(timeout=60)[1]["reason"] for _ in range(3)]
    assert reasons == ["one", "one", "two"]
    assert "again in 0.01 s" in log.get(timeout=60)


@pytest.mark.parametrize("answer", [400, 403, 404, 302])
def test_a_receiver_that_refuses_is_not_asked_again(receiver, send, answer):
    receiver.answers.put(answer)
    log = send(receiver.url, Notice("fault", "one", None), Notice("done", "two", None))
    assert [receiver.got.get(timeout=60)[1]["reason"] for _ in range(2)] == ["one", "two"]
    text = log.get(timeout=60)
    assert text == f"webhook: the receiver answered {answer}; given up"


def test_a_receiver_that_is_away_is_given_up_after_some_tries(receiver, send):
    receiver.shutdown()
    receiver.server_close()
    log = send(receiver.url, Notice("done", "", None))
    lines = [log.get(timeout=60) for _ in range(4)]
    assert all("cannot be reached" in line and "secret" not in line for line in lines)
    assert lines[-1].endswith("given up")


def test_closing_does_not_wait_for_the_next_try(receiver):
    receiver.answers.put(503)
    log = queue.Queue()
    sender = WebhookSender(receiver.url, log.put, retries_s=(3600.0,))
    sender.offer(Notice("done", "", None))
    assert "again in 3600 s" in log.get(timeout=60)
    sender.close(grace_s=60.0)
    assert not sender._thread.is_alive()


@pytest.mark.parametrize(
    "url", ["", "ftp://a/b", "file:///etc/passwd", "https://", "http:// a/b", "hook", "http://[::1"]
)
def test_what_cannot_be_posted_to_is_refused(url):
    with pytest.raises(WebhookError, match="give an http:// or https:// URL"):
        check_url(url)
