# SPDX-License-Identifier: Apache-2.0
"""The server against pages that behave and pages that do not: real sockets, nothing slept for."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import stat
import threading
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from dexndm_ros.teleop.web.access import WebError, proof_of
from dexndm_ros.teleop.web.config import WebConfig
from dexndm_ros.teleop.web.intake import Limits
from dexndm_ros.teleop.web.server import TeleopServer
from dexndm_ros.teleop.web.source import WebXrSource
from dexndm_ros.teleop.web.status import Status
from support.webxr import TOKEN, RawPage, controller, frame, wait_until


@pytest.fixture
def serve():
    sources = []

    def serve(status=None, codes=None, **changes):
        values = {"token": TOKEN, "port": 0, "period_s": 0.02, **changes}
        status = status or (lambda: Status("Ready", "good"))
        source = WebXrSource(WebConfig(**values), status, codes)
        source.start()
        sources.append(source)
        return source

    yield serve
    for source in sources:
        source.stop()


@pytest.fixture
def source(serve):
    return serve()


@pytest.fixture
def visit():
    pages = []

    def visit(source, **how):
        pages.append(RawPage(source.server.port, **how))
        return pages[-1]

    yield visit
    for page in pages:
        page.close()


@pytest.fixture
def drive(visit):
    def drive(source):
        page = visit(source).prove()
        assert page.claim()
        return page

    return drive


def test_a_frame_is_counted_once_it_can_be_had() -> None:
    """Who waits for the count may then ask for the sample."""
    counted: list[int] = []

    def take(message, arrived_s) -> None:
        counted.append(server.counts().get("accepted", 0))

    config = WebConfig(token=TOKEN, port=0, period_s=0.02)
    server = TeleopServer(config, take, lambda: None, lambda: Status("Ready", "good"))
    server.start()
    try:
        page = RawPage(server.port).prove()
        assert page.claim()
        for seq in (1, 2):
            page.say(**frame(seq))
            wait_until(lambda want=seq: server.counts().get("accepted", 0) == want, "the frame")
        page.close()
    finally:
        server.stop()
    assert counted == [0, 1]


def counted(source, **expected):
    expected = {name.replace("_", " "): count for name, count in expected.items()}
    wait_until(
        lambda: {**source.counts(), **expected} == source.counts(),
        f"{expected} in {source.counts()}",
    )


# --- pages that behave ------------------------------------------------------------------------------


def test_an_operators_frames_come_out_as_samples(source, drive):
    assert source.latest() is None
    page = drive(source)
    page.say(**frame(1))
    wait_until(source.latest, "a sample")
    first = source.latest()
    assert (first.seq, first.source, first.visible) == (1, "webxr", True)
    assert first.right.position_m == (0.3, -0.1, 1.2)
    assert source.latest() is first
    page.say(**frame(2, r=None))
    wait_until(lambda: source.latest().seq == 2, "the second")
    assert source.latest().right is None
    counted(source, accepted=2)


def test_the_first_sample_and_each_new_floor_space_count_as_recentred_once(source, drive):
    page = drive(source)
    seen = []
    for seq, origin in [(1, 1), (2, 1), (3, 2), (4, 2)]:
        page.say(**frame(seq, origin=origin))
        wait_until(lambda seq=seq: source.latest() and source.latest().seq == seq, f"frame {seq}")
        seen.append(source.latest().recentred)
    assert seen == [True, False, True, False]


def test_a_recentring_between_two_looks_is_not_missed(source, drive):
    page = drive(source)
    page.say(**frame(1, origin=1))
    wait_until(source.latest, "a sample")
    for seq, origin in [(2, 1), (3, 2), (4, 2), (5, 2)]:
        page.say(**frame(seq, origin=origin))
    counted(source, accepted=5)
    assert source.latest().recentred


def test_who_drives_again_is_recentred_though_its_frames_go_on(source, drive):
    page = drive(source)
    page.say(**frame(1))
    wait_until(source.latest, "a sample")
    assert source.latest().recentred
    page.close()
    wait_until(lambda: source.latest() is None, "the sample is forgotten")
    drive(source).say(**frame(2))
    wait_until(source.latest, "a sample of the second connection")
    assert source.latest().recentred


def test_who_releases_drives_no_more(source, drive):
    page = drive(source)
    page.say(**frame(1))
    wait_until(source.latest, "a sample")
    page.say(release=1)
    assert page.hear("driving") is False
    assert source.latest() is None
    page.say(**frame(2))
    counted(source, not_the_operator=1)
    assert source.latest() is None


def test_words_reach_everybody_who_is_known(serve, visit, drive):
    said = {"now": Status("Ready", "good")}
    source = serve(lambda: said["now"])
    pages = [drive(source), visit(source).prove()]
    said["now"] = Status(
        "Holding", "warn", "The right controller is out of sight.", "Look at it.", {"Rate": "90 Hz"}
    )
    for page in pages:
        while (status := page.hear("status"))["title"] != "Holding":
            pass
        assert status["why"] == "The right controller is out of sight."
        assert status["figures"] == {"Rate": "90 Hz"}


def test_a_pulse_reaches_the_operator_alone_within_bounds(source, drive):
    page = drive(source)
    source.pulse("right", 7.0, 99999.0)
    assert page.hear("pulse") == ["right", 1.0, 1000.0]


def test_the_pages_clock_is_known_from_pings(source, drive):
    page = drive(source)
    wait_until(
        lambda: (page.hear("ping") is not None) and source.server.delay_s >= 0.0, "an offset"
    )
    assert (
        abs(source.server.offset_s) <= source.server.delay_s + 1e-3
    )  # the page here has our clock


def test_a_code_gives_the_token_once(source, visit):
    code = source.server.open_pairing()
    page = visit(source)
    page.say(pair=code)
    assert page.hear("token") == TOKEN
    page.hear("welcome")
    again = visit(source)
    again.say(pair=code)
    assert again.ended() == (
        4006,
        "the code is wrong or used up; type the newest one of the terminal",
    )
    counted(source, wrong_code=1)


def test_a_code_is_told_at_the_start_and_anew_when_somebody_needs_another(serve, visit):
    codes = []
    source = serve(codes=codes.append)
    (first,) = codes

    def pair(code):
        page = visit(source)
        page.say(pair=code)
        return page

    assert pair(first).hear("token") == TOKEN
    assert pair(first).ended()[0] == 4006  # whoever comes later finds a new one
    assert len(codes) == 2
    for _ in range(6):
        assert pair("00000000").ended()[0] == 4006
    assert len(codes) == 2  # codes do not follow guesses as fast as these come
    counted(source, wrong_code=7)


def test_a_page_too_many_is_not_told_that_its_token_is_wrong(serve, visit):
    source = serve(max_known=1)
    visit(source).prove()
    page = visit(source)
    page.say(answer=proof_of(TOKEN, page.challenge))
    assert page.ended() == (4004, "too many pages are open; close one")


# --- pages that do not ------------------------------------------------------------------------------


def test_a_wrong_token_is_refused_and_counted(source, visit):
    page = visit(source)
    page.say(answer=proof_of("another-token", page.challenge))
    code, why = page.ended()
    assert code == 4001 and "token is wrong" in why
    counted(source, wrong_token=1)


def test_an_answer_that_was_heard_before_is_worth_nothing(source, visit):
    page = visit(source)
    heard = proof_of(TOKEN, page.challenge)
    page.say(answer=heard)
    page.hear("welcome")
    thief = visit(source)
    thief.say(answer=heard)
    assert thief.ended()[0] == 4001
    page.say(answer=heard)  # nor on its own connection a second time
    assert page.ended()[0] == 4001
    counted(source, wrong_token=2)


@pytest.mark.parametrize(
    "message", [{"claim": ""}, {"release": 1}, frame(1)], ids=["claim", "release", "frame"]
)
def test_without_the_token_nothing_is_heard(source, visit, message):
    page = visit(source)
    page.say(**message)
    assert page.ended() == (4006, "the page must tell the token first")
    counted(source, not_paired=1)
    assert source.latest() is None


def test_without_the_token_no_words_are_told(serve, visit):
    source = serve(proof_s=0.3)
    page = visit(source)
    told = set()
    with pytest.raises(ConnectionClosed):
        while True:
            message = json.loads(page.socket.recv(20))
            told |= set(message)
            if "ping" in message:
                page.say(pong=message["ping"], t=0)
    assert told <= {"ping"}  # the challenge was heard before


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", ""], ids=["foreign", "null", "none"]
)
def test_a_page_of_another_origin_gets_no_socket(source, visit, origin):
    with pytest.raises(InvalidStatus) as refused:
        visit(source, headers={"Origin": origin})
    assert refused.value.response.status_code == 403
    counted(source, foreign=1)


def test_a_second_operator_is_refused_and_the_first_goes_on(source, drive, visit):
    page = drive(source)
    other = visit(source).prove()
    assert other.claim() is False
    other.say(**frame(50, r=controller(p=[5, 5, 5])))
    counted(source, second_operator=1, not_the_operator=1)
    page.say(**frame(1))
    wait_until(source.latest, "a frame of the first")
    assert source.latest().right.position_m == (0.3, -0.1, 1.2)
    page.close()
    wait_until(lambda: not source.server.driven, "the first is gone")
    assert other.claim()


def test_a_page_that_connects_again_takes_over_from_its_own_dead_connection(source, visit):
    dead = visit(source).prove()
    assert dead.claim("page one")
    dead.say(**frame(1))
    wait_until(source.latest, "a sample")
    assert source.latest().recentred
    page = visit(source).prove()
    assert page.claim("page one")
    assert source.latest() is None
    with contextlib.suppress(ConnectionClosed):  # it may have been told already
        dead.say(**frame(2, r=controller(p=[5, 5, 5])))
    page.say(**frame(3))
    wait_until(source.latest, "a frame of the new connection")
    assert source.latest().recentred
    assert source.latest().right.position_m == (0.3, -0.1, 1.2)
    assert dead.ended()[0] == 4005
    other = visit(source).prove()
    assert other.claim("page two") is False


def test_pages_without_a_name_are_not_the_same_page(source, visit):
    assert visit(source).prove().claim("")
    assert not visit(source).prove().claim("")


def test_an_oversized_message_ends_the_connection_and_the_sample(source, drive):
    page = drive(source)
    page.say(**frame(1))
    wait_until(source.latest, "a sample")
    page.socket.send("x" * 5000)
    assert page.ended()[0] == 1009
    counted(source, oversized=1, accepted=1)
    wait_until(lambda: source.latest() is None, "the sample is forgotten")


def test_a_message_in_endless_pieces_is_oversized_too(source, drive):
    page = drive(source)
    with pytest.raises(ConnectionClosed):
        page.socket.send("x" for _ in range(100_000))
    counted(source, oversized=1)


def test_malformed_messages_are_counted_and_good_ones_still_taken(source, drive):
    page = drive(source)
    for text in ("", "{", "[]", "{}", "null", json.dumps(frame(1, r=7)), b"\x00\xff"):
        page.socket.send(text)
    page.say(**frame(2))
    counted(source, malformed=7, accepted=1)


def test_bytes_that_are_no_text_end_the_connection(source, drive):
    page = drive(source)
    page.socket.send(b"\xff\xfe", text=True)
    assert page.ended()[0] == 1007
    counted(source, malformed=1)


def test_frames_out_of_order_are_counted_and_never_given(source, drive):
    page = drive(source)
    for seq in (10, 9, 10, 11, 3):
        page.say(**frame(seq))
    counted(source, accepted=2, out_of_order=3)
    assert source.latest().seq == 11


def test_a_flood_is_cut_off_and_another_page_drives_on(serve, visit, drive):
    source = serve(limits=Limits(rate_hz=100.0, burst=20, refused_in_a_row=50))
    page = drive(source)
    with pytest.raises(ConnectionClosed):
        for seq in range(100_000):
            page.say(**frame(seq))
    counts = source.counts()
    assert counts["too many"] >= 50
    assert counts["accepted"] < 10_000
    wait_until(lambda: source.latest() is None, "the sample is forgotten")
    drive(source).say(**frame(1))
    wait_until(source.latest, "a frame of the next")


def test_a_flood_of_one_who_watches_does_not_touch_the_operator(serve, visit, drive):
    source = serve(limits=Limits(rate_hz=100.0, burst=20, refused_in_a_row=50))
    page, other = drive(source), visit(source).prove()

    def flood():
        with pytest.raises(ConnectionClosed):
            for _ in range(100_000):
                other.socket.send("x")

    thread = threading.Thread(target=flood)
    thread.start()
    page.say(**frame(1))
    wait_until(source.latest, "a sample")
    thread.join()
    page.say(**frame(2))
    wait_until(lambda: source.latest().seq == 2, "a sample after the flood")


def test_a_page_that_is_silent_is_gone_and_another_may_drive(serve, visit, drive):
    source = serve(silence_s=0.3)
    page = drive(source)
    page.say(**frame(1))
    wait_until(source.latest, "a sample")
    wait_until(lambda: source.latest() is None, "the silent one is gone")
    counted(source, silent=1)
    drive(source)


@contextlib.contextmanager
def pinging(page):
    """Pings of the protocol's own, which no page can send, for as long as the connection lasts."""
    ending = threading.Event()

    def ping():
        with contextlib.suppress(ConnectionClosed):
            while not ending.wait(0.02):
                page.socket.ping()

    thread = threading.Thread(target=ping)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()


def test_pings_are_answered(source, visit):
    assert visit(source).socket.ping(b"there?").wait(20)


def test_a_dead_page_behind_something_that_pings_drives_no_more(serve, drive):
    source = serve(silence_s=0.5)
    page = drive(source)
    page.say(**frame(1))
    wait_until(source.latest, "a sample")
    with pinging(page):
        wait_until(lambda: source.latest() is None, "the silent one is gone")
    counted(source, silent=1)


def test_pings_do_not_hold_a_connection_that_never_proves_itself(serve, visit):
    page = visit(serve(silence_s=5.0, proof_s=0.5))
    with pinging(page):
        assert page.ended() == (4006, "the page did not tell the token")


def test_a_flood_of_pings_is_cut_off(serve, visit):
    source = serve(limits=Limits(rate_hz=100.0, burst=20, refused_in_a_row=50))
    page = visit(source)
    with pytest.raises(ConnectionClosed):
        for _ in range(100_000):
            page.socket.ping()
    assert page.ended()[0] == 4003
    counted(source, too_many=50)


def test_connections_that_only_wait_make_room_for_the_next(serve, visit, drive):
    source = serve(max_unknown=3)
    waiting = [visit(source) for _ in range(3)]
    drive(source)
    assert waiting[0].ended()[0] == 4004
    counted(source, crowded=1)


def test_a_page_that_reads_nothing_holds_up_nobody(source, visit, drive):
    deaf = socket.create_connection(("localhost", source.server.port))
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    deaf.sendall(
        f"GET /socket HTTP/1.1\r\nHost: localhost:{source.server.port}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n"
        f"Origin: http://localhost:{source.server.port}\r\n\r\n".encode()
    )
    page = drive(source)
    page.say(**frame(1))
    wait_until(source.latest, "a sample")
    deaf.close()


def test_a_ping_that_was_never_sent_moves_no_clock(source, drive):
    page = drive(source)
    page.say(pong=10**6, t=1e12)
    page.say(**frame(1))
    wait_until(source.latest, "a sample, which a false clock would have made late")


# --- HTTP -------------------------------------------------------------------------------------------


def get(source, path, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", source.server.port, timeout=30)
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    return response, response.read()


def test_the_page_is_whole_and_needs_nothing_from_elsewhere(source):
    response, content = get(source, "/")
    assert response.status == 200
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    assert TOKEN.encode() not in content
    for name in (
        "app.js",
        "link.js",
        "session.js",
        "frames.js",
        "panel.js",
        "words.js",
        "style.css",
        "icon.svg",
    ):
        response, content = get(source, f"/static/{name}")
        assert response.status == 200
        assert b"https://" not in content and b"//cdn" not in content


@pytest.mark.parametrize(
    "path", ["/static/..%2fserver.py", "/static/server.py", "/etc/passwd", "/static/"]
)
def test_no_other_file_is_given(source, path):
    assert get(source, path)[0].status == 404


def test_a_name_that_only_points_here_is_refused(source):
    response, content = get(source, "/", Host="evil.example")
    assert response.status == 403 and b"evil.example" in content
    counted(source, foreign=1)


# --- starting and ending ----------------------------------------------------------------------------


def test_on_the_network_the_page_speaks_tls_and_nothing_else(serve, tmp_path):
    path = tmp_path / "teleop.pem"
    source = serve(host="0.0.0.0", certificate=path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    told = source.server.urls
    assert all(not urlsplit(url).hostname.startswith("127.") for url in told)
    assert f"https://{socket.gethostname().partition('.')[0]}.local:{source.server.port}/" in told
    names = source.server.certificate.names
    assert {urlsplit(url).hostname for url in told} <= names  # else the browser would warn twice
    secure = http.client.HTTPSConnection(
        "localhost", source.server.port, timeout=30, context=ssl.create_default_context(cafile=path)
    )
    secure.request("GET", "/")
    assert secure.getresponse().status == 200
    secure.close()
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        get(source, "/")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"token": ""}, "token is too short"),
        ({"host": "0.0.0.0"}, "TLS is off"),
        ({"port": 70000}, "port is 70000"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes, why):
    with pytest.raises(WebError, match=why):
        WebXrSource(WebConfig(**{"token": TOKEN, **changes}), lambda: Status("Ready"))


def test_a_port_that_is_taken_is_told(source, serve):
    with pytest.raises(WebError, match="is taken by another program"):
        serve(port=source.server.port)


def test_the_end_tells_the_pages_and_may_come_twice(source, drive):
    page = drive(source)
    source.stop()
    assert page.ended()[0] == 1001
    assert source.latest() is None
    source.stop()
