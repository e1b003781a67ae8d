# SPDX-License-Identifier: Apache-2.0
"""A campaign that is interfered with: processes are killed and frozen, cables pulled, motors heated, disks filled."""

from __future__ import annotations

import contextlib
import math
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import yaml
from dexndm_msgs.msg import HandState, ReplayStatus, ReplayStep
from dexndm_msgs.srv import InjectFault

from dexndm_ros.replay.ledger import Ledger
from dexndm_ros.replay.verify import verify
from support.command import Command
from support.ros import Graph

NODES = ("virtual_leap_hand", "leap_hand_driver", "episode_recorder", "chaos_box_replay")
TMPFS_MB = 600
QUIET_A = 1e-9
OFF_WITHIN_S = 0.1
LONG_NIGHT = 50
"""From so many faults on, each kind of them happens."""


@dataclass(frozen=True)
class NightConfig:
    """How long and how bad.

    Attributes:
        trajectories: to be collected.
        faults: at least so many happen, spread over the night.
        speed: of the virtual hand.
        seed: of the faults.
        patience_s: without a finished trajectory for so long, the night has failed.
    """

    trajectories: int
    faults: int
    speed: float
    seed: int
    patience_s: float = 240.0


class Night:
    """One campaign under faults."""

    def __init__(self, folder: Path, config: NightConfig) -> None:
        self.folder, self.config = folder, config
        self.rng = random.Random(config.seed)
        self.done = 0
        self.faults: Counter[str] = Counter()
        self.journal: list[str] = []
        self.problems: list[str] = []
        self.on_tmpfs = False
        self.disk = folder / "disk"
        self.out = self.disk / "night"
        self.collect: Command | None = None
        self.starts = 0
        self.lives: dict[str, int] = {}
        self.slowest_off_s = 0.0
        self.off_checks = 0
        self._fault_since_s: float | None = None
        self._said_s = time.monotonic()

    # --- the night --------------------------------------------------------------------------------

    def run(self) -> Night:
        with contextlib.ExitStack() as stack:
            self._mount(stack)
            stack.callback(self._end)
            graph = stack.enter_context(Graph("night"))
            self.graph = graph
            self.states = self.steps = self.step = 0
            self.status: Any = None
            graph.node.create_subscription(HandState, "hand/state", self._on_state, 50)
            graph.node.create_subscription(ReplayStep, "replay/step", self._on_step, 50)
            graph.node.create_subscription(ReplayStatus, "replay/status", self._on_status, 10)
            self._start()
            self._interfere()
            self.report = verify(self.out)
            with Ledger.read_only(self.out / "campaign.sqlite") as ledger:
                self.attempts = ledger.attempts()
                self.pace = ledger.statistic("pace", {})
        self._tell()
        return self

    def _interfere(self) -> None:
        """Faults at random moments of the campaign's progress, until all trajectories are done."""
        last = self.config.trajectories - 0.3
        moments = sorted(self.rng.uniform(0.1, last) for _ in range(self.config.faults))
        for moment, name in zip(moments, self.plan(), strict=True):
            assert self._goes_on(moment), self._story("it ended before its time")
            self._kinds()[name]()
            self.faults[name] += 1
        while self._goes_on(math.inf):
            pass

    def _goes_on(self, moment: float) -> bool:
        """Wait for so many trajectories, the present one's part included; False = the campaign has ended."""
        assert self.collect is not None
        progress_s, seen = time.monotonic(), self.steps
        while self.done + self.step / 400 < moment:
            code = self.collect.process.poll()
            if code == 0:
                return False
            assert code is None, self._story(f"ended with {code}")
            if self.steps != seen:
                progress_s, seen = time.monotonic(), self.steps
            stuck_s = time.monotonic() - progress_s
            assert stuck_s < self.config.patience_s, self._story("nothing moves any more")
            time.sleep(0.02)
        return True

    def _story(self, headline: str) -> str:
        """What happened, for whoever has to find out."""
        assert self.collect is not None
        logs = [
            f"--- {log.name}\n{log.read_text(errors='replace')[-1500:]}"
            for log in sorted((self.out / "logs").glob("*.log"))
        ]
        said = self.collect.said[-2000:]
        return "\n".join([headline, str(self.status), *self.journal[-10:], said, *logs])

    # --- faults -----------------------------------------------------------------------------------

    def plan(self) -> list[str]:
        """Names of the faults to come, in order: by weight, and in a long night each at least once."""
        weights = {
            **{f"kill {node}": 1.5 for node in NODES}, "freeze": 2, "kill all": 1, "cable": 3,
            "lost replies": 2, "hot motor": 2, "overload": 2, "silent motor": 1,
            "full disk": 2 * self.on_tmpfs,
        }  # fmt: skip
        sure = [name for name, weight in weights.items() if weight]
        if self.config.faults < LONG_NIGHT:
            sure = []
        left = self.config.faults - len(sure)
        names = sure + self.rng.choices(list(weights), list(weights.values()), k=left)
        self.rng.shuffle(names)
        return names

    def _kinds(self) -> dict[str, Callable[[], None]]:
        return {
            **{f"kill {node}": partial(self._kill_node, node) for node in NODES},
            "freeze": self._freeze_node, "kill all": self._kill_all, "cable": self._cable,
            "lost replies": self._lost_replies, "hot motor": self._hot, "overload": self._overload,
            "silent motor": self._silent, "full disk": self._full_disk,
        }  # fmt: skip

    def _note(self, text: str) -> None:
        self.journal.append(f"step {self.steps}: {text}")

    def _pid(self, name: str) -> int:
        assert self.collect is not None
        return self.collect.nodes().get(name, 0)

    def _signal(self, name: str, number: signal.Signals) -> bool:
        pid = self._pid(name)
        self._note(f"{number.name} {name} ({pid})")
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        return bool(pid)

    def _kill_node(self, name: str) -> None:
        assert self.collect is not None
        self.collect.until(lambda: self._pid(name), name)  # it may be on its way back
        self._signal(name, signal.SIGKILL)

    def _freeze_node(self) -> None:
        name, pause_s = self.rng.choice(NODES), self.rng.uniform(0.1, 2.0)
        pid = self._pid(name)
        self._signal(name, signal.SIGSTOP)
        time.sleep(pause_s)
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def _kill_all(self) -> None:
        """Somebody pulls the plug of the computer; in the morning it is started again."""
        assert self.collect is not None
        self._note("SIGKILL of everything")
        nodes = self.collect.nodes()
        for pid in [self.collect.process.pid, *nodes.values()]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.collect.process.wait()
        dying = []
        for pid in nodes.values():
            with contextlib.suppress(psutil.NoSuchProcess):
                dying.append(psutil.Process(pid))
        psutil.wait_procs(dying, timeout=60)
        self._start()

    def _inject(self, fault: str, motor: int = -1, p: float = 1.0, duration_s: float = 0.0) -> None:
        self._note(f"{fault} motor {motor} p {p:.3f} for {duration_s:.2f} s")
        request = InjectFault.Request(
            fault=fault, motor=motor, probability=p, duration_s=duration_s
        )
        answer = self.graph.call(InjectFault, "sim/inject_fault", request)
        if not answer.success:
            self.problems.append(f"{fault}: {answer.message}")

    def _cable(self) -> None:
        self._inject("unplugged", duration_s=self.rng.choice((0.05, 0.5, 2.0, 5.0)))

    def _lost_replies(self) -> None:
        self._inject("lost_reply", p=self.rng.choice((0.005, 0.05, 0.3)), duration_s=3.0)

    def _hot(self) -> None:
        self._inject("hot_motor", self.rng.randrange(16), duration_s=2.0)

    def _overload(self) -> None:
        self._inject("overload", self.rng.randrange(16), duration_s=0.5)

    def _silent(self) -> None:
        self._inject("silent_motor", self.rng.randrange(16), duration_s=1.0)

    def _full_disk(self) -> None:
        """Somebody else fills the disk, and makes room again."""
        self._note("the disk is full")
        ballast = self.disk / "ballast"
        with contextlib.suppress(OSError), ballast.open("wb") as file:
            while True:
                file.write(bytes(1 << 20))
                file.flush()
        time.sleep(self.rng.uniform(0.5, 3.0))
        ballast.unlink()

    # --- what is seen -----------------------------------------------------------------------------

    def _on_step(self, step: Any) -> None:
        self.steps += 1
        self.step = step.step

    def _on_status(self, status: Any) -> None:
        self.status = status
        if status.done != self.done:
            self.done, self.step = status.done, 0

    def _on_state(self, state: Any) -> None:
        """Torque off within 100 ms of a fault: no motor draws current from then on."""
        self.states += 1
        now_s = state.monotonic_ns / 1e9  # of the read: a busy machine brings its message late
        gap_s, self._said_s = now_s - self._said_s, now_s
        if state.mode != HandState.MODE_FAULT or gap_s > 0.05:
            self._fault_since_s = now_s if state.mode == HandState.MODE_FAULT else None
            return
        if self._fault_since_s is None:
            self._fault_since_s = now_s
        since_s = now_s - self._fault_since_s
        if max(abs(a) for a in state.current) > QUIET_A:
            self.slowest_off_s = max(self.slowest_off_s, since_s)
        self.off_checks += since_s > OFF_WITHIN_S

    # --- beginning and end ------------------------------------------------------------------------

    def _mount(self, stack: contextlib.ExitStack) -> None:
        """A small disk of the campaign's own, where we may mount one."""
        self.disk.mkdir()
        size = f"size={TMPFS_MB}m"
        mount = ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(self.disk)]
        self.on_tmpfs = os.getuid() == 0 and subprocess.run(mount, check=False).returncode == 0
        if self.on_tmpfs:
            stack.callback(subprocess.run, ["umount", "-l", str(self.disk)], check=False)

    def _start(self) -> None:
        file = self.folder / "night.yaml"
        campaign = {
            "name": "night", "orientation": "palm_down", "library": "cylinder_z",
            "count": self.config.trajectories, "hand_load": "free",
            "disk": {"pause_gb": 0.02, "resume_gb": 0.04},
            # The emulated cooling is as slow as the real one; the night is not to be spent waiting.
            "cooling": {"pause_c": 60, "resume_c": 57},
            "recovery": {"backoff_s": 0.5, "backoff_max_s": 4.0, "in_a_row": 10000, "budget": 100000},
        }  # fmt: skip
        file.write_text(yaml.safe_dump(campaign))
        words = ["--out", str(self.out), "--speed", f"{self.config.speed:g}"]
        if not (self.out / "campaign.yaml").exists():
            words += ["--campaign", str(file)]
        self.starts += 1
        self.collect = Command(self.folder, "collect", "--headless", *words)

    def _end(self) -> None:
        collect = self.collect
        if collect is None:
            return
        left = collect.nodes()
        if collect.process.poll() is None:
            collect.process.kill()
            collect.process.wait()
        for pid in left.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _tell(self) -> None:
        ends = Counter(a.state for a in self.attempts)
        elapsed_s, replayed_s = self.pace["elapsed_s"], self.pace["replayed_s"]
        duty, useful = replayed_s / elapsed_s, 20.0 * self.report.counts.done / elapsed_s
        # Processes start and cables come back in wall time, which counts as more where time runs faster.
        self.at_real_time = replayed_s / (replayed_s + (elapsed_s - replayed_s) / self.config.speed)
        print(
            f"\n{self.report.counts.done} trajectories under {sum(self.faults.values())} faults "
            f"{dict(self.faults)}; attempts {dict(ends)}; {self.starts} starts; duty cycle {duty:.3f} "
            f"({self.at_real_time:.3f} at real time), useful {useful:.3f}; "
            f"current after a fault for {1e3 * self.slowest_off_s:.0f} ms at most "
            f"({self.off_checks} checks)"
        )

    def check(self, config: NightConfig) -> None:
        """Nothing lost, nothing twice, everything explained, the torque off in time."""
        assert self.report.agrees, self.report.problems
        assert self.report.counts.done == config.trajectories, self.report.counts
        assert not self.problems, self.problems
        unexplained = [a for a in self.attempts if a.state != "done" and not a.reason]
        assert not unexplained, unexplained
        done = Counter(a.claim.entry for a in self.attempts if a.state == "done")
        assert set(done.values()) == {1} and len(done) == config.trajectories
        slowest_ms = 1e3 * self.slowest_off_s
        assert self.slowest_off_s <= OFF_WITHIN_S, f"current {slowest_ms:.0f} ms after a fault"
        if config.faults >= LONG_NIGHT:
            assert self.off_checks > 0, "no fault was seen for long enough to look at the torque"
            assert 0.0 < self.at_real_time <= 1.0, self.pace
