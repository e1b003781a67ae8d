# SPDX-License-Identifier: Apache-2.0
"""The recorder, for ``quest_bridge``: orders leave the loop and are never waited for; what comes back is stored."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Mapping

from dexndm_msgs.msg import EpisodeRecorded, RecorderStatus
from dexndm_msgs.srv import RecordEpisode
from rclpy.node import Node
from rclpy.task import Future

from dexndm_ros.teleop.demonstration import (
    PREFIX,
    Answer,
    Demonstration,
    DemonstrationConfig,
    Finished,
    Heard,
    Order,
    Phase,
)
from dexndm_ros.teleop.sample import Sample, Source

__all__ = ["Demonstrations"]

_ACTIONS = {
    "begin": RecordEpisode.Request.BEGIN,
    "end": RecordEpisode.Request.END,
    "discard": RecordEpisode.Request.DISCARD,
}
_SHOWN_S = 6.0


class Demonstrations:
    """Asks ``recorder/record`` for what the operator's buttons say.

    Args:
        node: owns the client and the subscriptions.
        config: times.
        about: what is to stand in each bag, names and values.
    """

    def __init__(self, node: Node, config: DemonstrationConfig, about: Mapping[str, str]) -> None:
        self._about = dict(about)
        self._numbers = itertools.count(1)
        self._machine = Demonstration(config, self._name)
        self._events: deque[Answer | Finished | Heard] = deque(maxlen=1000)
        self._asked: Future | None = None
        self._client = node.create_client(RecordEpisode, "recorder/record")
        node.create_subscription(RecorderStatus, "recorder/status", self._on_status, 10)
        node.create_subscription(EpisodeRecorded, "recorder/finished", self._on_finished, 10)

    # --- the loop's thread ----------------------------------------------------------------------

    def tick(self, now_s: float, sample: Sample | None, connected: bool, source: Source) -> str:
        """Look at the buttons and at what the recorder said.

        Args:
            now_s: our monotonic time.
            sample: one that was not looked at before; None = none.
            connected: the operator's samples come.
            source: of the samples; is shaken.

        Returns:
            What happened, for the log; '' = nothing.
        """
        before = self._machine.words
        events = [self._events.popleft() for _ in range(len(self._events))]
        move = self._machine.tick(now_s, sample, connected, events)
        if move.order is not None:
            self._send(move.order)
        if move.pulse is not None:
            source.pulse(move.pulse.hand, move.pulse.strength, move.pulse.ms)
        return self._machine.words if self._machine.words != before else ""

    def _send(self, order: Order) -> None:
        if not self._client.service_is_ready():
            self._events.append(Answer(order, False, "nobody offers recorder/record"))
            return
        request = RecordEpisode.Request(
            action=_ACTIONS[order.action], episode=order.episode, reason=order.reason
        )
        if order.action == "begin":
            request.keys, request.values = list(self._about), list(self._about.values())
        if self._asked is not None and not self._asked.done():  # it was given up
            self._client.remove_pending_request(self._asked)
        self._asked = self._client.call_async(request)
        self._asked.add_done_callback(lambda future: self._on_answer(order, future))

    def _name(self) -> str:
        return f"{PREFIX}{time.strftime('%Y%m%d_%H%M%S')}_{next(self._numbers)}"

    # --- any thread -------------------------------------------------------------------------------

    def shown(self) -> tuple[str, str]:
        """For the page: how it stands, two or three words ('' = nothing is recorded), and what just happened."""
        machine, now_s = self._machine, time.monotonic()
        title = ""
        if machine.phase is Phase.RECORDING:
            minutes, seconds = divmod(int(max(0.0, now_s - machine.since_s)), 60)
            title = f"recording {minutes}:{seconds:02d}"
        recent = machine.told_s > 0.0 and now_s - machine.told_s < _SHOWN_S
        return title, machine.words if recent else ""

    @property
    def words(self) -> str:
        """What happened last."""
        return self._machine.words

    # --- the executor's thread: it only stores ----------------------------------------------------

    def _on_answer(self, order: Order, future: Future) -> None:
        if future.cancelled():
            return
        response = future.result()
        self._events.append(Answer(order, bool(response.success), str(response.message)))

    def _on_status(self, message: RecorderStatus) -> None:
        self._events.append(Heard(message.episode))

    def _on_finished(self, message: EpisodeRecorded) -> None:
        self._events.append(Finished(message.episode, message.complete, message.reason))
