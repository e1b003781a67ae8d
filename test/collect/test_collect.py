# SPDX-License-Identifier: Apache-2.0
"""``dexndm collect`` from end to end: real processes, a virtual hand, and what is on the disk afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from dexndm_ros.recording.check import check_bag
from dexndm_ros.replay.ledger import Attempt, Ledger

pytestmark = [pytest.mark.ros, pytest.mark.slow]

PATIENCE_S = 300.0
NODES = {"virtual_leap_hand", "leap_hand_driver", "episode_recorder", "chaos_box_replay"}


class Collect:
    """A collect process and what it printed."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.output = folder / f"output_{time.monotonic_ns()}"
        command = [sys.executable, "-m", "dexndm_ros.cli", "collect", "--headless", *words]
        environment = os.environ | {"XDG_RUNTIME_DIR": str(folder), "TMPDIR": str(folder)}
        with self.output.open("wb") as file:
            self.process = subprocess.Popen(
                command, stdout=file, stderr=subprocess.STDOUT, env=environment, process_group=0
            )

    @property
    def said(self) -> str:
        return self.output.read_text(errors="replace")

    def nodes(self) -> dict[str, int]:
        """Its node processes by name."""
        found = {}
        for path in Path("/proc").iterdir():
            if not path.name.isdigit():
                continue
            with suppress(OSError):
                words = (path / "cmdline").read_bytes().split(b"\0")
                name = next((w.decode() for w in words if w.startswith(b"dexndm_ros.nodes.")), "")
                if name and stat(int(path.name))[1] == str(self.process.pid):
                    found[name.rpartition(".")[2]] = int(path.name)
        return found

    def until(self, condition: Callable[[], object], what: str) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while not condition():
            assert self.process.poll() is None, f"ended before {what}:\n{self.said}"
            assert time.monotonic() < deadline_s, f"waited for {what}:\n{self.said}"
            time.sleep(0.05)

    def wait(self) -> int:
        try:
            return self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"did not end:\n{self.said}") from None


def stat(pid: int) -> list[str]:
    """State, parent and what follows them in /proc/PID/stat."""
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()


def alive(pid: int) -> bool:
    try:
        return stat(pid)[0] not in "ZX"
    except OSError:
        return False


def wait_gone(nodes: dict[str, int]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while left := [name for name, pid in nodes.items() if alive(pid)]:
        assert time.monotonic() < deadline_s, f"still running: {left}"
        time.sleep(0.05)


@contextmanager
def collect(folder: Path, *words: str) -> Iterator[Collect]:
    running = Collect(folder, *words)
    try:
        yield running
    finally:
        left = running.nodes()
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait()
        wait_gone(left)


def attempts(out: Path) -> list[Attempt]:
    with Ledger.read_only(out / "campaign.sqlite") as ledger:
        return ledger.attempts()


def under_way(out: Path) -> bool:
    """A trajectory is being recorded."""
    return any(path.name.endswith(".part") for path in (out / "bags").glob("e*"))


def check_agreement(out: Path, done: int) -> None:
    """Each done row has its one whole bag, and there is no other."""
    finished = [a for a in attempts(out) if a.state == "done"]
    assert len(finished) == done
    assert sorted(a.claim.entry for a in finished) == list(range(done))
    bags = {p.name for p in (out / "bags").iterdir() if not p.name.endswith(".partial")}
    assert bags == {a.bag for a in finished}
    for bag in bags:
        check = check_bag(out / "bags" / bag)
        assert check.complete, check.reason
        assert check.lost == 0
        assert check.counts["replay/step"] == 400


def test_one_trajectory_unattended(campaign: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ("--campaign", str(campaign), "--out", str(out), "--trajectories", "1", "--speed", "2")
    with collect(tmp_path, *words) as running:
        running.until(lambda: set(running.nodes()) == NODES, "all nodes")
        nodes = running.nodes()
        assert running.wait() == 0, running.said
        assert not any(alive(pid) for pid in nodes.values())
    check_agreement(out, done=1)
    assert "1 of 1 trajectories done, 0 rejected, 0 messages lost" in running.said
    assert "Traceback" not in running.said
    assert (out / "report.html").is_file()


def test_whatever_is_killed_the_campaign_ends_whole(campaign: Path, tmp_path: Path) -> None:
    """A replay killed in a trajectory, then Ctrl-C, then the whole system killed, then to the end."""
    out = tmp_path / "out"
    words = ("--campaign", str(campaign), "--out", str(out), "--trajectories", "2", "--speed", "2")
    with collect(tmp_path, *words) as running:
        running.until(lambda: under_way(out), "a recording")
        killed = running.nodes()["chaos_box_replay"]
        os.kill(killed, signal.SIGKILL)
        running.until(
            lambda: running.nodes().get("chaos_box_replay", killed) != killed, "another replay"
        )
        running.until(lambda: len(attempts(out)) > 1 and under_way(out), "another attempt")
        nodes = running.nodes()
        running.process.send_signal(signal.SIGINT)
        assert running.wait() == 130, running.said
        assert not any(alive(pid) for pid in nodes.values())
    assert "ended by SIGKILL; it is started again" in running.said
    assert f"to go on: dexndm collect --out {out}" in running.said
    with collect(tmp_path, "--out", str(out), "--speed", "2") as running:
        running.until(lambda: under_way(out), "a recording")
        nodes = running.nodes()
        running.process.kill()
        assert running.wait() == -signal.SIGKILL
        wait_gone(nodes)
    with collect(tmp_path, "--out", str(out), "--speed", "2") as running:
        assert running.wait() == 0, running.said
    check_agreement(out, done=2)
    ends = [a.state for a in attempts(out)]
    assert ends.count("interrupted") >= 3 and "claimed" not in ends
