# SPDX-License-Identifier: Apache-2.0
"""Who gets what from the server: real sockets, real HTTP, several viewers."""

from __future__ import annotations

import http.client
import json
import socket
import stat
import threading
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexndm_ros.dashboard.access import (
    DashboardError,
    bearer_fits,
    check_host,
    keep_token,
    refusal,
    write_private,
)
from dexndm_ros.dashboard.model import StatusModel
from dexndm_ros.dashboard.server import ActionResult, DashboardServer, ServerConfig
from support.dashboard import running

TOKEN = "a-token-of-the-test-that-is-long-enough"
GOOD = {"Authorization": f"Bearer {TOKEN}"}


class Replay:
    """What the server asks of the replay, and the answers."""

    def __init__(self):
        self.asked = []
        self.answer = ActionResult(True, "as asked")

    def act(self, name):
        self.asked.append(name)
        future = Future()
        if self.answer is not None:
            future.set_result(self.answer)
        return future


@pytest.fixture
def replay():
    return Replay()


@pytest.fixture
def serve(replay):
    servers = []

    def serve(snapshot=None, **changes):
        model = StatusModel(0.0)
        model.feed(running(), 0.0)
        values = {"token": TOKEN, "port": 0, "period_s": 0.02, "action_s": 0.3, **changes}
        server = DashboardServer(
            ServerConfig(**values), snapshot or (lambda: model.snapshot(1.0)), replay.act
        )
        server.start()
        servers.append(server)
        return server

    yield serve
    for server in servers:
        server.stop()


def port_of(server):
    return int(server.url.rsplit(":", 1)[1].strip("/"))


def ask(server, method, path, headers=None, body=None):
    """One request; a given Host replaces the true one."""
    connection = http.client.HTTPConnection("127.0.0.1", port_of(server), timeout=30)
    headers = dict(headers or {})
    connection.putrequest(method, path, skip_host="Host" in headers)
    if body is not None:
        headers["Content-Length"] = str(len(body))
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders(body)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response, content


class Viewer:
    """A stream of events, read as a browser does."""

    def __init__(self, server):
        self._connection = http.client.HTTPConnection("127.0.0.1", port_of(server), timeout=30)
        self._connection.request("GET", "/api/stream")
        self.response = self._connection.getresponse()

    def event(self):
        """The next event; None at the end of the stream."""
        while line := self.response.readline():
            if line.startswith(b"data: "):
                return json.loads(line[6:])
        return None

    def close(self):
        self.response.close()
        self._connection.close()


# --- reading ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html"),
        ("/static/app.js", "text/javascript"),
        ("/static/style.css", "text/css"),
        ("/static/icon.svg", "image/svg+xml"),
        ("/api/status", "application/json"),
    ],
)
def test_everybody_here_may_read_and_nothing_may_be_framed_or_sniffed(serve, path, kind):
    response, content = ask(serve(), "GET", path)
    assert response.status == 200
    assert response.headers["Content-Type"].startswith(kind)
    assert content
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in response.headers["Content-Security-Policy"]
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "Access-Control-Allow-Origin" not in response.headers


def test_the_page_asks_no_other_site_for_anything(serve):
    server = serve()
    for path in (
        "/",
        "/static/app.js",
        "/static/hand.js",
        "/static/charts.js",
        "/static/style.css",
    ):
        _, content = ask(server, "GET", path)
        text = content.decode().replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text
        assert "https://" not in text


def test_status_is_the_snapshot(serve):
    _, content = ask(serve(), "GET", "/api/status")
    assert json.loads(content)["now"]["campaign"]["done"] == 812


def test_a_stream_sends_all_at_first_and_then_what_has_changed(serve):
    model = StatusModel(0.0)
    clock = iter(range(1, 1_000_000))

    def snapshot():
        now_s = float(next(clock))
        model.feed(running(done=int(now_s)), now_s)
        return model.snapshot(now_s)

    viewer = Viewer(serve(snapshot))
    first, second = viewer.event(), viewer.event()
    assert viewer.response.headers["Content-Type"] == "text/event-stream"
    assert viewer.response.headers["X-Content-Type-Options"] == "nosniff"
    assert set(first) == {"now", "history", "trajectory", "scale"}
    assert "now" in second
    assert "scale" not in second
    assert second["now"]["campaign"]["done"] > first["now"]["campaign"]["done"]
    viewer.close()


def test_many_viewers_and_one_that_never_reads(serve):
    model = StatusModel(0.0)
    turn = iter(range(1_000_000))
    big = "x" * 300_000  # more than the sockets hold, so that the lazy viewer does block its stream

    def snapshot():
        return {**model.snapshot(1.0), "turn": next(turn), "big": f"{next(turn)}{big}"}

    server = serve(snapshot, patience_s=3.0)
    lazy = socket.create_connection(("127.0.0.1", port_of(server)))
    lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    lazy.sendall(f"GET /api/stream HTTP/1.1\r\nHost: 127.0.0.1:{port_of(server)}\r\n\r\n".encode())
    viewers = [Viewer(server) for _ in range(3)]

    def read_until_the_lazy_one_is_dropped(viewer):
        turns = [viewer.event()["turn"] for _ in range(10)]
        while server.viewers > 3:
            turns.append(viewer.event()["turn"])
        return turns

    while server.viewers < 4:
        viewers[0].event()
    with ThreadPoolExecutor(3) as pool:
        for turns in pool.map(read_until_the_lazy_one_is_dropped, viewers):
            assert turns == sorted(set(turns))
    for viewer in viewers:
        viewer.close()
    lazy.close()


def test_one_stream_too_many_is_told_so(serve):
    server = serve(max_viewers=2)
    viewers = [Viewer(server), Viewer(server)]
    assert all(viewer.event() for viewer in viewers)
    response, content = ask(server, "GET", "/api/stream")
    assert response.status == 503
    assert "close one" in json.loads(content)["message"]


def test_stop_ends_the_streams_frees_the_port_and_works_twice(serve):
    server = serve()
    viewer = Viewer(server)
    assert viewer.event()
    port = port_of(server)
    server.stop()
    while viewer.event() is not None:
        pass
    server.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    again = serve(port=port)  # at once: a node that is started again finds its port free
    assert port_of(again) == port
    assert not [
        t for t in threading.enumerate() if t.name == "dashboard server" and t is not again._thread
    ]


# --- moving -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["start", "pause", "resume", "stop"])
def test_with_the_token_an_action_reaches_the_replay(serve, replay, action):
    response, content = ask(serve(), "POST", f"/api/replay/{action}", GOOD)
    assert (response.status, json.loads(content)) == (200, {"ok": True, "message": "as asked"})
    assert replay.asked == [action]


def test_the_pages_own_origin_is_welcome_also_through_a_tunnel(serve, replay):
    server = serve()
    for host in (f"127.0.0.1:{port_of(server)}", "localhost:9999", "[::1]:1234"):
        headers = {
            **GOOD,
            "Host": host,
            "Origin": f"http://{host}",
            "Sec-Fetch-Site": "same-origin",
        }
        assert ask(server, "POST", "/api/replay/pause", headers)[0].status == 200
    assert replay.asked == ["pause"] * 3


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": TOKEN},
        {"Cookie": f"token={TOKEN}"},
    ],
)
def test_without_the_token_nothing_moves(serve, replay, headers):
    response, content = ask(serve(), "POST", "/api/replay/start", headers)
    assert response.status == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert "token" in json.loads(content)["message"]
    assert replay.asked == []


def test_a_token_in_the_query_is_no_token(serve, replay):
    response, _ = ask(serve(), "POST", f"/api/replay/start?token={TOKEN}")
    assert response.status == 401
    assert replay.asked == []


def test_without_a_token_set_nobody_may(serve, replay):
    server = serve(token="")
    for header in ("", "Bearer", "Bearer "):
        assert ask(server, "POST", "/api/replay/start", {"Authorization": header})[0].status == 401
    assert replay.asked == []
    assert "#" not in server.url_with_token


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:8765"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "localhost@evil.example"},
        {"Host": "192.168.1.7:8765"},
        {"Host": ""},
        {"Host": "[::1"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
        {"Origin": "https://127.0.0.1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
    ],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/api/replay/start"), ("GET", "/api/status"), ("GET", "/api/stream")],
)
def test_other_sites_and_names_are_refused_even_with_the_token(
    serve, replay, headers, method, path
):
    response, content = ask(serve(), method, path, {**GOOD, **headers})
    assert response.status == 403
    assert not json.loads(content)["ok"]
    assert replay.asked == []


def test_a_link_in_a_mail_may_lead_to_the_page(serve):
    headers = {
        "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document",
    }  # fmt: skip
    assert ask(serve(), "GET", "/", headers)[0].status == 200


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS"])
def test_only_post_acts(serve, replay, method):
    assert ask(serve(), method, "/api/replay/start", GOOD)[0].status == 405
    assert replay.asked == []


@pytest.mark.parametrize("action", ["enable", "START", "stop/now", "", "..%2fstart"])
def test_unknown_actions_are_not_found(serve, replay, action):
    assert ask(serve(), "POST", f"/api/replay/{action}", GOOD)[0].status == 404
    assert replay.asked == []


def test_an_oversized_body_is_refused(serve, replay):
    response, content = ask(serve(), "POST", "/api/replay/start", GOOD, b"x" * 2000)
    assert response.status == 413
    assert not json.loads(content)["ok"]
    assert replay.asked == []


def test_an_oversized_header_is_refused_and_the_server_goes_on(serve):
    server = serve()
    assert ask(server, "GET", "/", {"X-Long": "x" * 100_000})[0].status == 400
    assert ask(server, "GET", "/")[0].status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/static/../server.py",
        "/static/..%2fserver.py",
        "/static/%2e%2e/server.py",
        "/static/....//server.py",
        "/static//etc/passwd",
        "/static/%2fetc%2fpasswd",
        "/static/..\\server.py",
        "/static/",
        "/static/index.html%00.png",
        "/../../etc/passwd",
    ],
)
def test_no_path_leads_out_of_the_page(serve, path):
    response, content = ask(serve(), "GET", path)
    assert response.status in (400, 404)
    assert b"import" not in content
    assert b"root:" not in content


def test_a_refusal_of_the_replay_is_told_with_its_words(serve, replay):
    replay.answer = ActionResult(False, "nothing is paused")
    response, content = ask(serve(), "POST", "/api/replay/resume", GOOD)
    assert response.status == 409
    assert json.loads(content) == {"ok": False, "message": "nothing is paused"}


def test_a_replay_that_does_not_answer_is_told(serve, replay):
    replay.answer = None
    response, content = ask(serve(), "POST", "/api/replay/pause", GOOD)
    assert response.status == 504
    assert "did not answer in 0.3 s" in json.loads(content)["message"]


# --- start --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "192.168.1.7", "robot.local", "", "127.0.0.1:80"]
)
def test_addresses_that_others_reach_are_refused_with_the_cure(host, replay):
    with pytest.raises(DashboardError, match=r"ssh -L 8765:127\.0\.0\.1:8765"):
        DashboardServer(ServerConfig(host=host), dict, replay.act)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_loopback_addresses_are_served(host):
    assert check_host(host)


def test_a_busy_port_is_told_with_the_cure(serve):
    with pytest.raises(DashboardError, match="taken by another program"):
        serve(port=port_of(serve()))


# --- the token ----------------------------------------------------------------------------------------


def test_a_token_is_kept_where_only_its_owner_reads_it(tmp_path):
    path = tmp_path / "dashboard.token"
    token = keep_token(path)
    assert len(token) >= 40
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert keep_token(path) == token
    assert keep_token(None) != keep_token(None)
    assert sorted(tmp_path.iterdir()) == [path]


def test_a_token_that_others_read_a_link_and_nonsense_are_refused(tmp_path):
    path = tmp_path / "dashboard.token"
    keep_token(path)
    path.chmod(0o644)
    with pytest.raises(DashboardError, match="mode 644, others can read it; remove it"):
        keep_token(path)
    link = tmp_path / "link"
    link.symlink_to(path)
    with pytest.raises(DashboardError, match="cannot be read"):
        keep_token(link)
    write_private(path, "short\n")
    with pytest.raises(DashboardError, match="holds no token"):
        keep_token(path)
    with pytest.raises(DashboardError, match="cannot write"):
        keep_token(tmp_path / "nowhere" / "dashboard.token")


@given(st.text(max_size=60))
def test_no_header_but_the_right_one_fits(header):
    assert not bearer_fits(header, TOKEN)
    assert not bearer_fits(header, "")
    assert bearer_fits(f"Bearer {TOKEN}", TOKEN)


@given(st.dictionaries(st.sampled_from(["Host", "Origin", "Sec-Fetch-Site"]), st.text(max_size=40)))
def test_any_headers_are_judged_and_strange_hosts_refused(headers):
    reason = refusal(headers)
    if "localhost" not in headers.get("Host", "") and "127.0.0.1" not in headers.get("Host", ""):
        assert reason or "::1" in headers["Host"]
