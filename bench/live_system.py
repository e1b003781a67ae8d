# SPDX-License-Identifier: Apache-2.0
"""Real processes of a system with the demo's observer beside them, and what they cost."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from dexndm_ros.bringup import system
from dexndm_ros.nodes._demo_events import (
    CommandSeen,
    DemoSink,
    HealthSeen,
    ObjectSeen,
    ProgressSeen,
    StateSeen,
    StepSeen,
)
from dexndm_ros.nodes.demo_observer import DemoObserver
from dexndm_ros.processes import Processes, node_environment

__all__ = ["Listener", "LiveSystem", "cpu_s", "running"]

_LOOK_S = 0.05


class Listener:
    """A sink that listens to nothing; subclasses override what they want to hear."""

    def on_state(self, state: StateSeen) -> None:
        """A hand/state arrived."""

    def on_command(self, command: CommandSeen) -> None:
        """A hand/command arrived."""

    def on_step(self, step: StepSeen) -> None:
        """A policy/step arrived."""

    def on_progress(self, progress: ProgressSeen) -> None:
        """A rotation/progress arrived."""

    def on_object(self, pose: ObjectSeen) -> None:
        """A sim/object arrived."""

    def on_health(self, health: HealthSeen) -> None:
        """A hand/health arrived."""

    def on_complaint(self, source: str, text: str) -> None:
        """A node complains."""


@dataclass(frozen=True)
class LiveSystem:
    """A running system.

    Attributes:
        processes: its processes.
        observer: the node that listens.
    """

    processes: Processes
    observer: DemoObserver

    def until(self, condition: Callable[[], bool], what: str, limit_s: float = 180.0) -> None:
        """Wait for something.

        Raises:
            RuntimeError: a process died, or it takes too long.
        """
        deadline = time.monotonic() + limit_s
        while not condition():
            for ended in self.processes.poll():
                raise RuntimeError(ended.reason)
            if time.monotonic() > deadline:
                raise RuntimeError(f"waited {limit_s:.0f} s for {what}")
            time.sleep(_LOOK_S)

    def trigger(self, service: str) -> None:
        """Call a Trigger service.

        Raises:
            RuntimeError: it refused.
        """
        problem = self.observer.trigger(service)
        if problem:
            raise RuntimeError(problem)

    def cpu_s(self) -> dict[str, float]:
        """CPU time of each process so far, s."""
        return {name: cpu_s(pid) for name, pid in self.processes.pids.items()}


@contextlib.contextmanager
def running(name: str, arguments: Mapping[str, object], sink: DemoSink) -> Iterator[LiveSystem]:
    """Start a system of ``bringup`` and end it again."""
    os.environ.update({k: v for k, v in node_environment().items() if k.startswith("ROS_")})
    specs = system(name, arguments)
    with (
        tempfile.TemporaryDirectory(prefix="dexndm-bench-") as logs,
        Processes(specs, Path(logs)) as processes,
        DemoObserver(sink, "bench_observer") as observer,
    ):
        yield LiveSystem(processes, observer)


def cpu_s(pid: int) -> float:
    """User and system time of a process with all its threads, s."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
