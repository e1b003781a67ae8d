# SPDX-License-Identifier: Apache-2.0
"""``dexndm collect`` from end to end: real processes, a virtual hand, and what is on the disk afterwards."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from dexndm_ros.replay.ledger import Attempt, Ledger
from dexndm_ros.replay.verify import verify
from support.collecting import alive, collect, wait_gone

pytestmark = [pytest.mark.ros, pytest.mark.slow]

NODES = {"virtual_leap_hand", "leap_hand_driver", "episode_recorder", "chaos_box_replay"}


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
    assert "chaos_box_replay ended by SIGKILL" in running.said
    assert "; it is started again in" in running.said
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
