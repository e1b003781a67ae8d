# SPDX-License-Identifier: Apache-2.0
"""A real ``dexndm collect``, watched from outside: by its ledger, and by what the machine says of its processes."""

from __future__ import annotations

import contextlib
import math
import re
import shutil
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml

from dexndm_ros.dashboard.report_numbers import campaign_numbers
from dexndm_ros.process_spec import ProcessSpec
from dexndm_ros.processes import Processes, StopTimes
from dexndm_ros.replay.ledger import Counts, Ledger, LedgerError
from dexndm_ros.replay.prepare import LEDGER_FILE
from dexndm_ros.replay.verify import verify

__all__ = [
    "BYTES_A_TRAJECTORY",
    "TRAJECTORY_S",
    "Collection",
    "Sums",
    "Usage",
    "Where",
    "collecting",
]

TRAJECTORY_S = 20.0
BYTES_A_TRAJECTORY = 1.0e6
"""More than a bag takes, ``bench campaign`` tells how much it is."""
_CAMPAIGN = {
    "name": "bench",
    "orientation": "palm_down",
    "library": "cylinder_z",
    # On a busy machine much is done twice; that is what is measured here, and no reason to give up.
    "attempts": 100,
    "recovery": {"in_a_row": 10_000, "budget": 100_000},
    "disk": {"pause_gb": 0.2, "resume_gb": 0.3},
}
_STOP = StopTimes(interrupt_s=60.0, terminate_s=10.0)
_MODULE = "dexndm_ros.nodes."
_NUMBERS = re.compile(r"\d[\d.]*")
_LOST = re.compile(r"(\d+) messages were lost")


@dataclass(frozen=True)
class Usage:
    """What a process has of the machine.

    Attributes:
        pid: another one than before = it was started again.
        rss_b: resident memory, shared pages too.
        uss_b: memory that would be free if it ended.
        handles: open files, sockets and the like.
        threads: of it.
        cpu_s: user and system time since its start.
    """

    pid: int
    rss_b: int
    uss_b: int
    handles: int
    threads: int
    cpu_s: float


@dataclass(frozen=True)
class Where:
    """Where a campaign stands.

    Attributes:
        counts: rows of the plan by state.
        elapsed_s: simulated time meant for replaying, up to the last finished trajectory.
        replayed_s: of it, spent replaying.
    """

    counts: Counts
    elapsed_s: float
    replayed_s: float


@dataclass(frozen=True)
class Sums:
    """What a campaign's attempts came to.

    Attributes:
        done: trajectories.
        again: attempts that were cut short or rejected.
        lost: messages that were published and are in no bag, those of rejected attempts too.
        messages: in the bags.
        bytes: of the bags.
        obtained: simulated seconds in a second: first steps of the first and the last done trajectory, over the
            wall's time between their ends; NaN = fewer than two are done.
        reasons: why attempts came to nothing, and how often; numbers in them are #.
    """

    done: int
    again: int
    lost: int
    messages: int
    bytes: int
    obtained: float
    reasons: dict[str, int]


class Collection:
    """A campaign under way.

    Args:
        processes: the one process, which starts the others.
        out: the campaign's folder.
    """

    def __init__(self, processes: Processes, out: Path) -> None:
        self._processes = processes
        self._known: dict[int, psutil.Process] = {}
        self._ending = ""
        self.out = out

    @property
    def ended(self) -> str:
        """What ``dexndm collect`` said at its end; empty = it goes on."""
        for ended in self._processes.poll():
            said = [line for line in ended.log.read_text(errors="replace").splitlines() if line]
            complaints = [line for line in said if line.startswith("dexndm collect:")]
            self._ending = (complaints or said or [ended.reason])[-1]
        return self._ending

    def where(self) -> Where | None:
        """Where it stands; None = there is no ledger yet."""
        try:
            with Ledger.read_only(self.out / LEDGER_FILE) as ledger:
                pace = ledger.statistic("pace", {"elapsed_s": 0.0, "replayed_s": 0.0})
                return Where(ledger.counts(), pace["elapsed_s"], pace["replayed_s"])
        except LedgerError:
            return None

    def until_done(self, count: int, limit_s: float) -> Where:
        """Wait until so many trajectories are done.

        Raises:
            RuntimeError: it ended before, or it takes too long.
        """
        deadline_s = time.monotonic() + limit_s
        while True:
            where = self.where()
            if where is not None and where.counts.done >= count:
                return where
            if self.ended:
                raise RuntimeError(f"it ended before {count} were done: {self.ended}")
            if time.monotonic() > deadline_s:
                raise RuntimeError(f"{count} trajectories were not done in {limit_s:.0f} s")
            time.sleep(0.5)

    def stop(self) -> None:
        """End it before its time; the hand is switched off, what was collected stays."""
        self._ending = self._ending or "stopped"
        self._processes.stop()

    def sums(self) -> Sums:
        """What its attempts came to."""
        with Ledger.read_only(self.out / LEDGER_FILE) as ledger:
            attempts, done = ledger.attempts(), ledger.results()
        results = [attempt.result for attempt in done if attempt.result is not None]
        obtained = math.nan
        if len(done) > 1 and done[0].ended_ns and done[-1].ended_ns:
            simulated_ns = results[-1].started_ns - results[0].started_ns
            obtained = simulated_ns / (done[-1].ended_ns - done[0].ended_ns)
        return Sums(
            done=len(done),
            again=sum(a.state in ("rejected", "interrupted") for a in attempts),
            lost=sum(r.lost + r.dropped for r in results)
            + sum(int(m[1]) for a in attempts if (m := _LOST.search(a.reason))),
            messages=sum(r.messages for r in results),
            bytes=sum(r.bytes for r in results),
            obtained=obtained,
            reasons=dict(Counter(_NUMBERS.sub("#", a.reason) for a in attempts if a.reason)),
        )

    def numbers(self) -> dict[str, Any]:
        """The numbers of its report, so far."""
        with Ledger.read_only(self.out / LEDGER_FILE) as ledger:
            return campaign_numbers(ledger, self.out)

    def problems(self) -> tuple[str, ...]:
        """Where ledger and bags disagree, by reading all of them."""
        return verify(self.out).problems

    # --- processes ----------------------------------------------------------------------------------

    def usage(self) -> dict[str, Usage]:
        """Of ``collect`` and each node by name; one that ends at this moment is left out."""
        found = {}
        for name, process in self._all().items():
            with contextlib.suppress(psutil.Error), process.oneshot():
                memory, times = process.memory_full_info(), process.cpu_times()
                found[name] = Usage(
                    pid=process.pid, rss_b=memory.rss, uss_b=memory.uss, handles=process.num_fds(),
                    threads=process.num_threads(), cpu_s=times.user + times.system,
                )  # fmt: skip
        return found

    def _all(self) -> dict[str, psutil.Process]:
        found = {}
        with contextlib.suppress(psutil.Error):
            for pid in self._processes.pids.values():
                parent = self._known.setdefault(pid, psutil.Process(pid))
                found["collect"] = parent
                for child in parent.children():
                    words = child.cmdline()
                    name = next((word for word in words if word.startswith(_MODULE)), "")
                    if name:
                        found[name.removeprefix(_MODULE)] = child
        return found

    def cpu_percent(self, before: Mapping[str, Usage], span_s: float) -> dict[str, float]:
        """Of each process that lived all the time since ``before``, in % of a core."""
        return {
            name: 100.0 * (now.cpu_s - before[name].cpu_s) / span_s
            for name, now in self.usage().items()
            if name in before and now.pid == before[name].pid
        }

    # --- a person who looks -------------------------------------------------------------------------

    def look_at_page(self) -> None:
        """Open the dashboard and leave it open, in a thread that ends with this process."""
        threading.Thread(target=self._look, name="viewer", daemon=True).start()

    def _look(self) -> None:
        while not self._ending:
            with contextlib.suppress(OSError, ValueError):
                url = (self.out / "dashboard.url").read_text(encoding="utf-8").strip()
                stream = url.partition("#")[0].partition("?")[0].rstrip("/") + "/api/stream"
                with urllib.request.urlopen(stream, timeout=60.0) as page:
                    for _ in page:
                        pass
            time.sleep(1.0)


@contextlib.contextmanager
def collecting(trajectories: int, load: str, *words: str) -> Iterator[Collection]:
    """Start a campaign in a temporary folder; in the end it is stopped and the folder removed.

    Args:
        trajectories: how many.
        load: ``hand_load`` of the campaign, which chooses the world.
        words: for ``dexndm collect``.

    Raises:
        RuntimeError: the disk has no room for so many.
    """
    folder = Path(tempfile.mkdtemp(prefix="dexndm-bench-"))
    try:
        need_b, free_b = trajectories * BYTES_A_TRAJECTORY + 1e9, shutil.disk_usage(folder).free
        if need_b > free_b:
            raise RuntimeError(
                f"{folder.parent} has {free_b / 1e9:.1f} GB free, {trajectories} trajectories want "
                f"{need_b / 1e9:.1f} GB: set TMPDIR to a folder with more room"
            )
        campaign = folder / "bench.yaml"
        campaign.write_text(yaml.safe_dump(_CAMPAIGN | {"count": trajectories, "hand_load": load}))
        out = folder / "out"
        command = [
            sys.executable, "-m", "dexndm_ros.cli", "collect", "--campaign", str(campaign), "--out", str(out), *words,
        ]  # fmt: skip
        spec = ProcessSpec("collect", "dexndm_ros.cli", "dexndm")
        with Processes([spec], folder, command=lambda _: command, stop_times=_STOP) as processes:
            yield Collection(processes, out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
