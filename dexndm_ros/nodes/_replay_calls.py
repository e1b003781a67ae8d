# SPDX-License-Identifier: Apache-2.0
"""Calls to recorder and driver from a loop that must not wait: sent at once, answered later or given up."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from dexndm_msgs.srv import RecordEpisode
from rclpy.client import Client
from rclpy.node import Node
from std_srvs.srv import Trigger

from dexndm_ros.replay.jobs import Job, JobKind

__all__ = ["Calls"]

_RECORDER_S = 5.0
_HAND_S = 30.0

Answer = Callable[[bool, str], None]
_GONE: Any = (0.0, None, lambda ok, text: None)


class Calls:
    """The service clients of the replay.

    Answers come in the executor's thread, or in the one that calls ``look``.

    Args:
        node: owns the clients.
    """

    def __init__(self, node: Node) -> None:
        self._record = node.create_client(RecordEpisode, "recorder/record")
        self._hand = {
            name: node.create_client(Trigger, f"hand/{name}")
            for name in ("enable", "relax", "recover")
        }
        self._open: dict[Any, tuple[float, Client, Answer]] = {}

    def hand(self, name: str, answer: Answer) -> None:
        """Call ``hand/enable``, ``hand/relax`` or ``hand/recover``."""
        self._call(self._hand[name], Trigger.Request(), _HAND_S, answer)

    def record(self, job: Job, data: Mapping[str, str], answer: Answer) -> None:
        """Begin, end or discard the recording of a trajectory.

        Args:
            job: BEGIN, END (with all its steps in the bag) or DISCARD.
            data: what is to stand in the bag.
            answer: called with the recorder's answer.
        """
        assert job.loaded is not None
        request = RecordEpisode.Request(episode=job.loaded.episode)
        if job.kind is JobKind.BEGIN:
            request.action = RecordEpisode.Request.BEGIN
            request.keys, request.values = list(data), list(data.values())
        elif job.kind is JobKind.END:
            request.action = RecordEpisode.Request.END
            request.topics, request.counts = ["replay/step"], [job.loaded.steps]
        else:
            request.action, request.reason = RecordEpisode.Request.DISCARD, job.reason
        self._call(self._record, request, _RECORDER_S, answer)

    def discard_all(self, answer: Answer) -> None:
        """Put aside whatever is being recorded."""
        request = RecordEpisode.Request(
            action=RecordEpisode.Request.DISCARD, reason="the replay was started anew"
        )
        self._call(self._record, request, _RECORDER_S, answer)

    def look(self) -> None:
        """Give up on answers that are overdue."""
        now_s = time.monotonic()
        for future, (deadline_s, client, answer) in list(self._open.items()):
            if now_s > deadline_s and self._open.pop(future, _GONE) is not _GONE:
                client.remove_pending_request(future)
                answer(False, f"no answer from {client.srv_name}")

    def _call(self, client: Client, request: Any, patience_s: float, answer: Answer) -> None:
        if not client.service_is_ready():
            answer(False, f"nobody offers {client.srv_name}")
            return
        future = client.call_async(request)
        self._open[future] = (time.monotonic() + patience_s, client, answer)
        future.add_done_callback(self._done)

    def _done(self, future: Any) -> None:
        _, _, answer = self._open.pop(future, _GONE)
        response = None if future.cancelled() else future.result()
        if response is not None:
            answer(response.success, response.message)
