# SPDX-License-Identifier: Apache-2.0
"""``dashboard``: a web page on this machine that shows a Chaos Box campaign, and its buttons.

The node only listens and asks: messages go into a ``StatusModel``, buttons become calls of the replay's
services. It never moves a joint, and a campaign does not need it.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from dexndm_msgs.msg import (
    EpisodeRecorded,
    HandHealth,
    HandState,
    RecorderStatus,
    ReplayStatus,
    ReplayStep,
)
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from std_srvs.srv import Trigger

from dexndm_ros.dashboard.access import DashboardError, keep_token, write_private
from dexndm_ros.dashboard.inputs import Input, StatusSeen
from dexndm_ros.dashboard.model import StatusModel
from dexndm_ros.dashboard.server import ACTIONS, ActionResult, DashboardServer, ServerConfig
from dexndm_ros.dashboard.webhook import CampaignWatch, WebhookError, WebhookSender
from dexndm_ros.nodes._dashboard_inputs import (
    diagnostics_seen,
    episode_seen,
    hand_seen,
    health_seen,
    recorder_seen,
    status_seen,
    step_seen,
)
from dexndm_ros.nodes._polled import NewestOf
from dexndm_ros.nodes._run import NodeFailedError, run_node

__all__ = ["PARAMETERS", "DashboardNode", "main"]

TOKEN_FILE = "dashboard.token"
URL_FILE = "dashboard.url"
TOLD_FILE = "dashboard.told"
_HAND_PERIOD_S = 0.2
_STEP_PERIOD_S = 0.02
"""Steps that come faster (simulated time) are looked at no oftener than this."""
_WATCH_PERIOD_S = 1.0

PARAMETERS: tuple[tuple[str, Any, str], ...] = (
    ("host", "127.0.0.1", "loopback address of the page; from another machine use ssh -L"),
    ("port", 8765, "port of the page; 0 = any that is free"),
    ("directory", "", "campaign folder, for dashboard.url and dashboard.token; empty = no files"),
    ("token_file", "", "file that keeps the token; empty = dashboard.token in directory"),
    ("webhook", "", "URL that gets a POST when a campaign ends, stops or is stuck; empty = none"),
    ("stuck_s", 120.0, "a replay silent or at a standstill for this long is stuck (webhook), s"),
)
_SHALLOW = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
_TOLD = QoSProfile(depth=20)
"""For what is told once: reliable."""


class DashboardNode(Node):
    """Wires a ``StatusModel`` and a ``DashboardServer`` to the graph."""

    def __init__(self) -> None:
        super().__init__("dashboard")
        for name, default, text in PARAMETERS:
            self.declare_parameter(name, default, ParameterDescriptor(description=text))
        self._model = StatusModel(time.monotonic())
        self._lock = threading.Lock()  # the model is fed by the executor and read by the server
        self._server: DashboardServer | None = None
        self._watch: CampaignWatch | None = None
        self._sender: WebhookSender | None = None
        self._directory: Path | None = None
        self._step_due_s = 0.0
        self._shown: HandState | None = None

    # --- what run_node asks of a node -----------------------------------------------------------

    def begin(self) -> None:
        """Serve the page and join the graph."""
        value = {name: self.get_parameter(name).value for name, _, _ in PARAMETERS}
        try:
            self._directory = _folder(value["directory"])
            self._server = self._serve(value)
            self._begin_webhook(value["webhook"], value["stuck_s"])
        except (DashboardError, WebhookError) as error:
            raise NodeFailedError(str(error)) from error
        self._join_graph()
        self._tell_address(self._server)

    def _tell_address(self, server: DashboardServer) -> None:
        """To the owner, with the token; the log goes to every participant of the domain and to files of others."""
        if self._directory is None:
            self.get_logger().info(f"dashboard: {server.url} (its token is on the terminal)")
            print(f"dashboard: {server.url_with_token}", file=sys.stderr, flush=True)
            return
        kept = self._directory / URL_FILE
        write_private(kept, server.url_with_token + "\n")
        self.get_logger().info(f"dashboard: {server.url} (with its token: {kept})")

    def failure(self) -> str:
        """Why the process must end; empty while it need not."""
        if self._server is not None and not self._server.running:
            return "the dashboard's server ended; start the dashboard again"
        return ""

    def close(self) -> None:
        """Tell what is still to be told, end the streams, free the port."""
        server, self._server = self._server, None
        if server is not None:
            if self._directory is not None:
                (self._directory / URL_FILE).unlink(missing_ok=True)
            server.stop()
        sender, self._sender = self._sender, None
        if sender is not None and self._watch is not None:
            now_s = time.monotonic()
            status, _ = self._model.newest.of(StatusSeen, now_s)
            if notice := self._watch.at_the_end(status, now_s):
                sender.offer(notice)
                self._remember_told()
            sender.close()

    # --- begin ----------------------------------------------------------------------------------

    def _serve(self, value: dict[str, Any]) -> DashboardServer:
        kept = Path(value["token_file"]).expanduser() if value["token_file"] else None
        if kept is None and self._directory is not None:
            kept = self._directory / TOKEN_FILE
        config = ServerConfig(token=keep_token(kept), host=value["host"], port=value["port"])
        server = DashboardServer(config, self._snapshot, self._act)
        server.start()
        return server

    def _begin_webhook(self, url: str, stuck_s: float) -> None:
        if not url:
            return
        self._sender = WebhookSender(url, lambda text: self.get_logger().warning(text))
        if not stuck_s > 0.0:
            raise WebhookError(f"parameter stuck_s is {stuck_s:g}; give a time above 0 s")
        told = ""
        if self._directory is not None:
            with contextlib.suppress(OSError):
                told = (self._directory / TOLD_FILE).read_text(encoding="utf-8").strip()
        self._watch = CampaignWatch(stuck_s, told=told)
        self.create_timer(_WATCH_PERIOD_S, self._on_watch)

    def _join_graph(self) -> None:
        self._states = NewestOf(self, HandState, "hand/state")
        self.create_subscription(ReplayStep, "replay/step", self._on_step, _SHALLOW, raw=True)
        for kind, topic, seen, qos in (
            (ReplayStatus, "replay/status", status_seen, _SHALLOW),
            (HandHealth, "hand/health", health_seen, _SHALLOW),
            (RecorderStatus, "recorder/status", recorder_seen, _SHALLOW),
            (EpisodeRecorded, "recorder/finished", episode_seen, _TOLD),
        ):
            self.create_subscription(
                kind, topic, lambda message, seen=seen: self._feed(seen(message)), qos
            )
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, _SHALLOW)
        self.create_timer(_HAND_PERIOD_S, self._on_hand)
        self._clients_of = {
            action: self.create_client(Trigger, f"replay/{action}") for action in ACTIONS
        }

    # --- messages -------------------------------------------------------------------------------

    def _feed(self, seen: Input) -> None:
        with self._lock:
            self._model.feed(seen, time.monotonic())

    def _on_hand(self) -> None:
        self._states.fetch()
        if self._states.message is not self._shown:  # else the driver has fallen silent
            self._shown = self._states.message
            self._feed(hand_seen(self._shown))

    def _on_step(self, packed: bytes) -> None:
        now_s = time.monotonic()
        if now_s < self._step_due_s:
            return
        self._step_due_s = now_s + _STEP_PERIOD_S
        self._states.fetch()
        step = deserialize_message(packed, ReplayStep)
        self._feed(step_seen(step, self._states.message))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for seen in diagnostics_seen(message):
            self._feed(seen)

    def _on_watch(self) -> None:
        now_s = time.monotonic()
        status, silent_s = self._model.newest.of(StatusSeen, now_s)
        if self._watch is None or self._sender is None:
            return
        before = self._watch.told
        if status is None:
            silent_s = now_s - self._model.start_s
        if notice := self._watch.see(status, silent_s, now_s):
            self._sender.offer(notice)
        if self._watch.told != before:
            self._remember_told()

    def _remember_told(self) -> None:
        """So that a dashboard that is started again does not say it twice."""
        if self._directory is not None and self._watch is not None:
            with contextlib.suppress(DashboardError):
                write_private(self._directory / TOLD_FILE, self._watch.told + "\n")

    # --- the server's thread --------------------------------------------------------------------

    def _snapshot(self) -> dict[str, Any]:
        with self._lock:
            return self._model.snapshot(time.monotonic())

    def _act(self, action: str) -> Future[ActionResult]:
        """Call a service of the replay; the answer comes in the executor's thread."""
        answer: Future[ActionResult] = Future()
        client = self._clients_of[action]
        if not client.service_is_ready():
            answer.set_result(
                ActionResult(False, f"nobody answers replay/{action}; start chaos_box_replay")
            )
            return answer
        asked = client.call_async(Trigger.Request())

        def tell(done: Any) -> None:
            if answer.set_running_or_notify_cancel():
                result = done.result()
                answer.set_result(ActionResult(result.success, result.message))

        asked.add_done_callback(tell)
        # Nobody waits any more: the request must not stay in the client's books.
        answer.add_done_callback(
            lambda given: client.remove_pending_request(asked) if given.cancelled() else None
        )
        return answer


def _folder(text: str) -> Path | None:
    """The campaign folder; made when it is missing, for the dashboard may be there first."""
    if not text:
        return None
    folder = Path(text).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DashboardError(
            f"directory {folder} cannot be made ({error.strerror}); give a folder with rights"
        ) from error
    return folder


def main(arguments: list[str] | None = None) -> int:
    """Run the node until a signal."""
    return run_node(DashboardNode, arguments)


if __name__ == "__main__":
    raise SystemExit(main())
