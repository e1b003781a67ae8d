# SPDX-License-Identifier: Apache-2.0
"""Tells whoever is asleep, once, that a campaign has ended, has stopped or is stuck: one POST of JSON."""

from __future__ import annotations

import json
import math
import queue
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from dexndm_ros.dashboard.inputs import ReplayState, StatusSeen
from dexndm_ros.dashboard.words import clip, duration, json_ready

__all__ = ["CampaignWatch", "Notice", "WebhookError", "WebhookSender", "check_url"]

_TIMEOUT_S = 10.0
_RETRIES_S = (2.0, 10.0, 60.0, 300.0, 900.0)
_TRY_AGAIN = (408, 425, 429, 500, 502, 503, 504)


class WebhookError(ValueError):
    """A webhook that cannot be called; the message says what is allowed."""


@dataclass(frozen=True)
class Notice:
    """What is told.

    Attributes:
        state: done, fault or stuck.
        reason: why, and what mends it.
        status: the newest ReplayStatus; None = none was heard.
    """

    state: str
    reason: str
    status: StatusSeen | None

    def payload(self) -> dict[str, Any]:
        """The JSON that is sent; ``text`` is the whole in a sentence, as chat services show it."""
        status = self.status or StatusSeen()
        reason = clip(self.reason)
        text = f"Chaos Box {clip(status.campaign)}: {self.state}, {status.done} of {status.total} trajectories"
        ready: dict[str, Any] = json_ready(
            {
                "text": text + (f". {reason}" if reason else ""),
                "campaign": clip(status.campaign),
                "state": self.state,
                "reason": reason,
                "done": status.done,
                "rejected": status.rejected,
                "total": status.total,
                "eta_s": status.eta_s,
                "duty_cycle": status.duty_cycle,
                "directory": clip(status.directory),
            }
        )
        return ready


class CampaignWatch:
    """Notices the moments worth a message, each once.

    Args:
        patience_s: silence, or running without a step, for this long means stuck.
        settle_s: a fault that lasts this long is told; one that is mended before is nobody's business.
        told: what was told last, before this process started; see :attr:`told`.
    """

    def __init__(self, patience_s: float, settle_s: float = 10.0, told: str = "") -> None:
        self._patience_s = patience_s
        self._settle_s = settle_s
        self.told = told
        """Campaign and state told last; empty = nothing, or it has gone on since."""
        self._progress: tuple[tuple[int, ...], float] | None = None
        self._fault_s = math.nan

    def see(self, status: StatusSeen | None, silent_s: float, now_s: float) -> Notice | None:
        """Look at the newest status.

        Args:
            status: None = none came.
            silent_s: its age, or the time since the start.
            now_s: monotonic time.

        Returns:
            what to tell, or None.
        """
        state, reason = self._state(status, silent_s, now_s)
        if not state:
            if status is not None and silent_s <= self._patience_s:
                self.told = ""
            return None
        key = f"{status.campaign if status is not None else ''}: {state}"
        if state == "fault":
            if math.isnan(self._fault_s):
                self._fault_s = now_s
            if now_s - self._fault_s < self._settle_s:
                return None
        if key == self.told:
            return None
        self.told = key
        return Notice(state, reason, status)

    def at_the_end(self, status: StatusSeen | None, now_s: float) -> Notice | None:
        """The last look before everything is ended: a young fault is told now."""
        self._settle_s = 0.0
        if status is None or status.state not in (ReplayState.FAULT, ReplayState.DONE):
            return None
        return self.see(status, 0.0, now_s)

    def _state(self, status: StatusSeen | None, silent_s: float, now_s: float) -> tuple[str, str]:
        if status is None:
            silent = "chaos_box_replay has not been heard; see its log"
            return ("stuck", silent) if silent_s > self._patience_s else ("", "")
        if status.state == ReplayState.DONE:
            return "done", status.reason
        if silent_s > self._patience_s:
            silent = f"chaos_box_replay said nothing for {duration(silent_s)}; see its log"
            return "stuck", silent
        if status.state == ReplayState.FAULT:
            return "fault", status.reason
        self._fault_s = math.nan
        if status.state != ReplayState.RUNNING:
            self._progress = None
            return "", ""
        progress = (status.done, status.rejected, status.entry, status.attempt, status.step)
        if self._progress is None or self._progress[0] != progress:
            self._progress = (progress, now_s)
        still_s = now_s - self._progress[1]
        if still_s > self._patience_s:
            return "stuck", status.reason or f"it runs, but made no step for {duration(still_s)}"
        return "", ""


def check_url(url: str) -> str:
    """A URL that can be posted to.

    Raises:
        WebhookError: it is not http or https, or names no host.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or any(ch.isspace() for ch in url):
        raise WebhookError(f"webhook is {url[:100]!r}; give an http:// or https:// URL, or nothing")
    return url


class WebhookSender:
    """Posts notices in a thread, one after the other, and tries again while the network is away.

    Args:
        url: checked by :func:`check_url`.
        log: gets a sentence about each failure; called in the thread. The URL itself is often a secret
            and is not in it.
        retries_s: waits before each further try.
    """

    def __init__(
        self,
        url: str,
        log: Callable[[str], None],
        retries_s: tuple[float, ...] = _RETRIES_S,
    ) -> None:
        self._url = check_url(url)
        self._log = log
        self._retries_s = retries_s
        self._queue: queue.Queue[Notice | None] = queue.Queue(maxsize=20)
        self._ending = threading.Event()
        self._opener = urllib.request.build_opener(_NoRedirect)
        self._thread = threading.Thread(target=self._run, name="webhook", daemon=True)
        self._thread.start()

    def offer(self, notice: Notice) -> None:
        """Send it soon; never blocks."""
        try:
            self._queue.put_nowait(notice)
        except queue.Full:
            self._log("webhook: too many messages wait; one was left out")

    def close(self, grace_s: float = 3.0) -> None:
        """Let what is under way end, wait for it no longer than this, and give up what is left."""
        self._ending.set()  # no more waiting before a further try
        try:
            self._queue.put_nowait(None)
        except queue.Full:
            return
        self._thread.join(grace_s)

    def _run(self) -> None:
        while (notice := self._queue.get()) is not None:
            self._deliver(notice)

    def _deliver(self, notice: Notice) -> None:
        body = json.dumps(notice.payload(), allow_nan=False).encode()
        for wait_s in (*self._retries_s, None):
            failure, again = self._post(body)
            if not failure:
                return
            last = wait_s is None or not again or self._ending.is_set()
            self._log(
                f"webhook: {failure}" + ("; given up" if last else f"; again in {wait_s:g} s")
            )
            if last:
                return
            self._ending.wait(wait_s)

    def _post(self, body: bytes) -> tuple[str, bool]:
        """Why it failed and whether to try again; empty = it did not."""
        request = urllib.request.Request(
            self._url, data=body, method="POST",
            headers={"Content-Type": "application/json", "User-Agent": "dexndm_ros"},
        )  # fmt: skip
        try:
            with self._opener.open(request, timeout=_TIMEOUT_S) as answer:
                answer.read(1)
            return "", False
        except urllib.error.HTTPError as error:
            error.close()
            return f"the receiver answered {error.code}", error.code in _TRY_AGAIN
        except (OSError, ValueError) as error:  # URLError is an OSError, a bad answer a ValueError
            reason = getattr(error, "reason", error)
            return f"the receiver cannot be reached ({clip(str(reason))})", True
        except Exception as error:  # http.client has errors of its own
            return f"the receiver's answer was not HTTP ({type(error).__name__})", True


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A POST that is sent elsewhere would arrive as a GET: the receiver's address is wrong, say so."""

    def redirect_request(self, *unused: Any, **unused_too: Any) -> None:
        """Never."""
        return None
