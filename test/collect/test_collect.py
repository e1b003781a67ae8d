# SPDX-License-Identifier: Apache-2.0
"""``dexndm collect`` from end to end: real processes, a virtual hand, and what is on the disk afterwards."""

from __future__ import annotations

import os
import signal
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from dexndm_ros.replay.ledger import Attempt, Ledger
from dexndm_ros.replay.verify import verify
from support.command import Command, alive, running, wait_gone

pytestmark = [pytest.mark.ros, pytest.mark.slow]

NODES = {"virtual_leap_hand", "leap_hand_driver", "episode_recorder", "chaos_box_replay"}


def collect(folder: Path, *words: str) -> AbstractContextManager[Command]:
    return running(Command(folder, "collect", "--headless", *words))


def attempts(out: Path) -> list[Attempt]:
    with Ledger.read_only(out / "campaign.sqlite") as ledger:
        return ledger.attempts()


def under_way(out: Path) -> bool:
    """A trajectory is being recorded."""
    return any(path.name.endswith(".part") for path in (out / "bags").glob("e*"))


def check_agreement(out: Path, done: int) -> None:
    """Ledger and bags agree, and every row is done."""
    report = verify(out)
    assert report.problems == ()
    assert sorted(a.claim.entry for a in attempts(out) if a.state == "done") == list(range(done))


def test_one_trajectory_unattended(campaign: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ("--campaign", str(campaign), "--out", str(out), "--trajectories", "1", "--speed", "2")
    with collect(tmp_path, *words) as started:
        started.until(lambda: set(started.nodes()) == NODES, "all nodes")
        nodes = started.nodes()
        assert started.wait() == 0, started.said
        assert not any(alive(pid) for pid in nodes.values())
    check_agreement(out, done=1)
    assert "1 of 1 trajectories done, 0 rejected, 0 messages lost" in started.said
    assert "Traceback" not in started.said
    assert (out / "report.html").is_file()


def test_whatever_is_killed_the_campaign_ends_whole(campaign: Path, tmp_path: Path) -> None:
    """A replay killed in a trajectory, then Ctrl-C, then the whole system killed, then to the end."""
    out = tmp_path / "out"
    words = ("--campaign", str(campaign), "--out", str(out), "--trajectories", "2", "--speed", "2")
    with collect(tmp_path, *words) as started:
        started.until(lambda: under_way(out), "a recording")
        killed = started.nodes()["chaos_box_replay"]
        os.kill(killed, signal.SIGKILL)
        started.until(
            lambda: started.nodes().get("chaos_box_replay", killed) != killed, "another replay"
        )
        started.until(lambda: len(attempts(out)) > 1 and under_way(out), "another attempt")
        nodes = started.nodes()
        started.process.send_signal(signal.SIGINT)
        assert started.wait() == 130, started.said
        assert not any(alive(pid) for pid in nodes.values())
    assert "chaos_box_replay ended by SIGKILL" in started.said
    assert "; it is started again in" in started.said
    assert f"to go on: dexndm collect --out {out}" in started.said
    with collect(tmp_path, "--out", str(out), "--speed", "2") as started:
        started.until(lambda: under_way(out), "a recording")
        nodes = started.nodes()
        started.process.kill()
        assert started.wait() == -signal.SIGKILL
        wait_gone(nodes)
    with collect(tmp_path, "--out", str(out), "--speed", "2") as started:
        assert started.wait() == 0, started.said
    check_agreement(out, done=2)
    ends = [a.state for a in attempts(out)]
    assert ends.count("interrupted") >= 3 and "claimed" not in ends
