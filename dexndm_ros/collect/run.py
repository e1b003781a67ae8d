# SPDX-License-Identifier: Apache-2.0
"""One run of a campaign: starts the processes, watches them, tells what happens, ends them."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from pathlib import Path

from dexndm_ros.collect.heartbeats import Heartbeats
from dexndm_ros.collect.job import CollectJob
from dexndm_ros.collect.progress import Progress
from dexndm_ros.collect.watch import CampaignWatch, Verdict
from dexndm_ros.dashboard.inputs import StatusSeen
from dexndm_ros.processes import Processes, StopTimes

__all__ = ["run_campaign"]

_LOOK_S = 0.1
_PAGE_FILE = "dashboard.url"
_STOP = StopTimes(interrupt_s=10.0)
"""A node takes up to 8 s to leave everything in order."""


def run_campaign(job: CollectJob, progress: Progress) -> Verdict:
    """Run a campaign until it is done, or cannot go on.

    Raises:
        KeyboardInterrupt: Ctrl-C; everything has ended in order.
    """
    page = job.out / _PAGE_FILE
    page.unlink(missing_ok=True)  # of a dashboard that was killed

    def on_error(name: str, text: str) -> None:
        progress.say(f"{name}: {text}")

    logs = job.out / "logs"
    with Processes(job.processes, logs, on_error=on_error, stop_times=_STOP) as processes:
        # ROS only now: these children have not inherited the locks of its threads.
        from dexndm_ros.nodes.campaign_observer import (
            DRIVER,
            RECORDER,
            REPLAY,
            VIRTUAL_HAND,
            CampaignObserver,
        )

        hand = (VIRTUAL_HAND, DRIVER)
        beats = Heartbeats((*hand, RECORDER, REPLAY), patient=hand)
        run = _Run(processes, beats, page, progress)
        with CampaignObserver(run.inbox.append, run.heard):
            try:
                while (verdict := run.look()) is None:
                    time.sleep(_LOOK_S)
                return verdict
            finally:
                progress.close()
                progress.say("stopping; the driver switches the torque off")


class _Run:
    """What is looked at again and again."""

    def __init__(
        self, processes: Processes, beats: Heartbeats, page: Path, progress: Progress
    ) -> None:
        self._processes = processes
        self._beats = beats
        self._page = page
        self._url = ""
        self._progress = progress
        self._watch = CampaignWatch(time.monotonic())
        self.inbox: deque[StatusSeen] = deque(maxlen=100)

    def heard(self, name: str) -> None:
        self._beats.heard(name, time.monotonic())

    def look(self) -> Verdict | None:
        """Tell what is new; whether it is over."""
        now_s, watch = time.monotonic(), self._watch
        if reason := self._look_at_processes(now_s):
            return Verdict(reason, reason)
        self._look_at_page()
        while self.inbox:
            for line in watch.see(self.inbox.popleft(), now_s):
                self._progress.say(line)
        status = watch.status
        done, total = (status.done + status.rejected, status.total) if status else (0, 0)
        self._progress.show(watch.line(), done, total, now_s)
        return watch.verdict(now_s)

    def _look_at_processes(self, now_s: float) -> str:
        """Why the system cannot go on; empty = it can."""
        for ended in self._processes.poll():
            if ended.critical:
                return ended.reason
            after = "the campaign goes on without it"
            if ended.respawn_in_s is not None:
                after = f"it is started again in {ended.respawn_in_s:g} s"
            self._progress.say(f"{ended.reason}; {after}")
        for name in self._beats.frozen(self._processes.pids, now_s):
            self._progress.say(f"{name} lives and says nothing: it is ended, to be started again")
            self._processes.kill(name)
        return ""

    def _look_at_page(self) -> None:
        """The dashboard writes down its address when it can be opened."""
        with contextlib.suppress(OSError):
            url = self._page.read_text(encoding="utf-8").strip()
            if url and url != self._url:
                self._url = url
                self._progress.say(f"dashboard: {url}")
