# SPDX-License-Identifier: Apache-2.0
"""The node in its own process: messages become the page's data, buttons become calls of the replay."""

from __future__ import annotations

import http.client
import json
import queue
import re
import signal
import stat
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("dexndm_msgs")

from dexndm_msgs.msg import (
    EpisodeRecorded,
    HandHealth,
    HandState,
    RecorderStatus,
    ReplayStatus,
    ReplayStep,
)
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rcl_interfaces.msg import Log
from std_srvs.srv import Trigger

from dexndm_ros.nodes._qos import control_publisher
from support.browser import browser_or_skip
from support.ros import PATIENCE_S, ROSOUT, Graph, NodeProcess, node_spec

pytestmark = pytest.mark.ros


class Campaign:
    """A replay, a hand and a recorder of the test's: what they say is published ten times a second."""

    def __init__(self, graph):
        self.graph = graph
        self.status = ReplayStatus(
            campaign="night", state=ReplayStatus.STATE_RUNNING, done=5, total=9, directory="/data"
        )
        self.health = HandHealth(temperature=[41.0] * 16, responding=[True] * 16, bus_hz=100.0)
        self.state = HandState(mode=HandState.MODE_ACTIVE, current=[0.1] * 16, position=[0.5] * 16)
        self.recorder = RecorderStatus(ready=True, free_bytes=1e12, lost=3)
        self.diagnostics = DiagnosticArray()
        self.asked = queue.SimpleQueue()
        self.step = ReplayStep(trajectory=7, target=[0.25] * 16)
        self._topics = [
            (graph.publisher(ReplayStatus, "replay/status"), lambda: self.status),
            (graph.publisher(HandHealth, "hand/health"), lambda: self.health),
            (
                graph.publisher(HandState, "hand/state", control_publisher(100.0)),
                lambda: self.state,
            ),
            (graph.publisher(RecorderStatus, "recorder/status"), lambda: self.recorder),
            (graph.publisher(DiagnosticArray, "/diagnostics"), lambda: self.diagnostics),
            (graph.publisher(ReplayStep, "replay/step"), self._next_step),
        ]
        self.finished = graph.publisher(EpisodeRecorded, "recorder/finished")
        for name in ("start", "pause", "resume", "stop"):
            graph.node.create_service(
                Trigger, f"replay/{name}",
                lambda request, response, name=name: self._answer(name, response),
            )  # fmt: skip
        graph.node.create_timer(0.1, self._tell)

    def _next_step(self):
        self.step.step += 4
        if self.step.step >= 400:
            self.step.step, self.step.trajectory = 0, self.step.trajectory + 1
        return self.step

    def _tell(self):
        for publisher, message in self._topics:
            publisher.publish(message())

    def _answer(self, name, response):
        self.asked.put(name)
        response.success = name != "resume"
        response.message = f"{name} it is" if response.success else "nothing is paused"
        if name == "pause":
            self.status.state = ReplayStatus.STATE_PAUSED
            self.status.reason = "asked to pause; press resume"
        return response


@pytest.fixture
def graph():
    with Graph() as graph:
        yield graph


@pytest.fixture
def campaign(graph):
    return Campaign(graph)


@pytest.fixture
def start(tmp_path, graph):
    """Start the node; returns it with the address that it has written."""
    started = []

    def start(wait=True, **parameters):
        folder = tmp_path / "campaign"
        values = {"port": 0, "directory": str(folder), **parameters}
        node = NodeProcess(node_spec("dashboard", **values), tmp_path / "logs")
        started.append(node)
        node.__enter__()
        if wait:
            file = folder / "dashboard.url"
            graph.until(lambda: file.is_file() or node.ended(), "dashboard.url")
            assert file.is_file(), node.log
            node.url = file.read_text().strip()
            node.folder = folder
        return node

    yield start
    for node in started:
        node.__exit__(None, None, None)


def test_the_token_is_in_a_file_of_ones_own_and_in_no_log(graph, start, tmp_path, monkeypatch):
    monkeypatch.setenv("ROS_LOG_DIR", str(tmp_path / "ros"))
    told = graph.listen(Log, "/rosout", ROSOUT)
    node = start()
    graph.until(lambda: any("dashboard: http" in each.msg for each in told.messages), "the log")
    _, token = node.url.split("#token=")
    assert (node.folder / "dashboard.url").stat().st_mode & 0o077 == 0
    assert node.stop(signal.SIGINT) == 0
    assert token not in node.log
    assert not any(token in each.msg for each in told.messages)
    files = [file for file in (tmp_path / "ros").rglob("*") if file.is_file()]
    assert files, "the node writes a log file, which is what is looked at here"
    assert not any(token in file.read_text(errors="replace") for file in files)


def test_without_a_folder_the_token_is_on_the_terminal_only(graph, start, tmp_path, monkeypatch):
    monkeypatch.setenv("ROS_LOG_DIR", str(tmp_path / "ros"))
    told = graph.listen(Log, "/rosout", ROSOUT)
    node = start(wait=False, directory="")
    address = re.compile(r"http://127.0.0.1:\d+/#token=(\S+)")
    token = graph.until(lambda: address.search(node.log), "the address")[1]
    graph.until(lambda: any("dashboard: http" in each.msg for each in told.messages), "the log")
    assert node.stop(signal.SIGINT) == 0
    assert not any(token in each.msg for each in told.messages)
    for file in (tmp_path / "ros").rglob("*"):
        assert file.is_dir() or token not in file.read_text(errors="replace")


def ask(url, method, path, token=""):
    """One request to the node."""
    host = url.split("/")[2]
    connection = http.client.HTTPConnection(host, timeout=PATIENCE_S)
    connection.request(method, path, headers={"Authorization": f"Bearer {token}"})
    response = connection.getresponse()
    content = json.loads(response.read())
    connection.close()
    return response.status, content


def status(node):
    return ask(node.url, "GET", "/api/status")[1]


def press(graph, node, name):
    """Ask for an action, again while the node has not found the service yet."""
    token = node.url.partition("#token=")[2]
    answers = []

    def answered():
        answers.append(ask(node.url, "POST", f"/api/replay/{name}", token))
        return "nobody answers" not in answers[-1][1]["message"]

    graph.until(answered, f"replay/{name} to be found")
    return answers[-1]


def test_what_the_nodes_say_is_what_the_page_gets(graph, campaign, start):
    node = start()
    fault = "motor 3 has shut down: overload; free it, then call hand/recover"
    campaign.health.fault = fault
    campaign.diagnostics.status = [
        DiagnosticStatus(
            name="bus", level=DiagnosticStatus.WARN, message="80 Hz: free the processor"
        )
    ]
    now = graph.until(
        lambda: (
            (now := status(node)["now"])["campaign"]
            and now["hand"]
            and now["hand"]["mode"] == "following"
            and now["hand"]["temperature_c"][0]
            and now["recorder"]
            and now["faults"]
            and now["warnings"]
            and now
        ),
        "everything to arrive",
    )
    assert now["campaign"]["name"] == "night"
    assert (now["campaign"]["done"], now["campaign"]["total"]) == (5, 9)
    assert now["campaign"]["eta_s"] is None or now["campaign"]["eta_s"] >= 0
    assert now["hand"]["temperature_c"] == [41.0] * 16
    assert now["hand"]["current_a"] == pytest.approx([0.1] * 16)
    assert now["recorder"]["lost"] == 3
    assert now["faults"][0]["cure"] == "free it, then call hand/recover"
    assert now["warnings"][0]["cure"] == "free the processor"
    plot = graph.until(lambda: status(node)["trajectory"], "the first trajectory to end")
    assert plot["trajectory"] == 7
    assert set(plot["target"][0]) == {0.25}
    assert plot["position"][15][-1] == 0.5


def test_an_episode_that_is_not_whole_is_an_event(graph, campaign, start):
    node = start()
    graph.until(campaign.finished.get_subscription_count, "the node to hear recorder/finished")
    campaign.finished.publish(EpisodeRecorded(episode="e000003_a1", reason="2 messages lost"))
    graph.until(
        lambda: any("e000003_a1" in event["text"] for event in status(node)["now"]["events"]),
        "the event",
    )


def test_the_address_with_the_token_is_for_the_owner_and_survives_a_new_start(
    graph, campaign, start
):
    node = start()
    token = node.url.partition("#token=")[2]
    assert len(token) >= 40
    graph.until(
        lambda: f"with its token: {node.folder}" in node.log, "the way to the address in the log"
    )
    for name in ("dashboard.url", "dashboard.token"):
        assert stat.S_IMODE((node.folder / name).stat().st_mode) == 0o600
    assert ask(node.url, "POST", "/api/replay/stop", "wrong")[0] == 401
    assert ask(node.url, "POST", "/api/replay/stop")[0] == 401
    assert node.stop() == 0
    assert not (node.folder / "dashboard.url").exists()
    again = start()
    assert again.url.partition("#token=")[2] == token
    assert again.stop(signal.SIGTERM) == 0


def test_actions_reach_the_services_and_their_answers_come_back(graph, campaign, start):
    node = start()
    assert press(graph, node, "pause") == (200, {"ok": True, "message": "pause it is"})
    assert press(graph, node, "resume") == (409, {"ok": False, "message": "nothing is paused"})
    assert [campaign.asked.get(timeout=PATIENCE_S) for _ in range(2)] == ["pause", "resume"]


def test_without_a_replay_a_button_says_so(graph, start):
    node = start()
    code, answer = ask(node.url, "POST", "/api/replay/start", node.url.partition("#token=")[2])
    assert code == 409
    assert "start chaos_box_replay" in answer["message"]
    assert status(node)["now"]["state"]["name"] == "none"


def test_a_button_in_a_browser_pauses_the_replay(graph, campaign, start):
    with browser_or_skip() as browser:
        node = start()
        press(graph, node, "resume")  # the services are found
        assert campaign.asked.get(timeout=PATIENCE_S) == "resume"
        page = browser.new_page()
        page.goto(node.url)
        title = page.locator("#state-title")
        title.get_by_text("Collecting").wait_for()
        assert "token" not in page.url
        page.locator("#pause:enabled").click()
        assert campaign.asked.get(timeout=PATIENCE_S) == "pause"
        page.get_by_text("pause it is").wait_for()
        title.get_by_text("Paused").wait_for()
        page.locator("#state-cure").get_by_text("press resume").wait_for()
        page.locator("#resume:enabled").wait_for()


def test_a_busy_port_and_a_host_that_others_reach_end_the_node_with_one_sentence(graph, start):
    port = int(start().url.split(":")[2].split("/")[0])
    busy = start(wait=False, port=port)
    assert busy.wait() == 1
    assert "taken by another program" in busy.log
    assert "Traceback" not in busy.log
    far = start(wait=False, host="0.0.0.0")
    assert far.wait() == 1
    assert "ssh -L" in far.log
    wrong = start(wait=False, webhook="ftp://somewhere")
    assert wrong.wait() == 1
    assert "give an http:// or https:// URL" in wrong.log


def test_the_end_of_a_campaign_is_posted_once_also_across_a_new_start(graph, campaign, start):
    got = queue.Queue()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self):
            got.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *unused):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        webhook = f"http://127.0.0.1:{server.server_address[1]}/"
        node = start(webhook=webhook)
        campaign.status.state = ReplayStatus.STATE_DONE
        campaign.status.done = 9
        body = got.get(timeout=PATIENCE_S)
        assert (body["campaign"], body["state"], body["done"], body["total"]) == (
            "night",
            "done",
            9,
            9,
        )
        graph.until((node.folder / "dashboard.told").is_file, "what was told to be kept")
        assert node.stop() == 0
        again = start(webhook=webhook)
        graph.until(
            lambda: status(again)["now"]["state"]["name"] == "done", "the state to be heard"
        )
        # The next thing worth telling comes next: nothing was sent in between.
        campaign.status.campaign = "another"
        assert got.get(timeout=PATIENCE_S)["campaign"] == "another"
        server.shutdown()
