# SPDX-License-Identifier: Apache-2.0
"""The numbers that are told in the end are those of the ledger."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from dexndm_ros.collect.summary import Summary
from dexndm_ros.policy.clock import Histogram
from dexndm_ros.replay.ledger import Ledger, Result
from dexndm_ros.replay.pace import Pace
from dexndm_ros.replay.prepare import prepare


@pytest.fixture
def ledger_path(campaign: Path, tmp_path: Path) -> Path:
    return prepare(campaign, tmp_path / "out", hold=False).ledger_path


def finish_one(ledger: Ledger, **numbers: int) -> None:
    claim = ledger.claim()
    assert claim is not None
    fields = {"messages": 5000, "lost": 0, "dropped": 0, "bytes": 1_000_000} | numbers
    ledger.finish(claim, Result(bag=claim.episode, started_ns=1, duration_s=20.0, **fields))


def test_a_campaign_that_has_not_begun(ledger_path: Path) -> None:
    summary = Summary.read(ledger_path)
    assert summary.left == 3 and summary.lost == 0
    assert math.isnan(summary.duty_cycle)
    lines = summary.lines(Path("/data/x"))
    assert lines[0].startswith("0 of 3 trajectories done, 0 rejected, 3 to do")
    assert len(lines) == 2 and "/data/x/bags" in lines[1]


def test_what_was_lost_rejected_and_measured(ledger_path: Path) -> None:
    with Ledger.open(ledger_path) as ledger:
        finish_one(ledger, lost=2)
        finish_one(ledger, dropped=1, bytes=500_000)
        for retry in (True, False):
            claim = ledger.claim()
            assert claim is not None
            ledger.reject(claim, "a finger is stuck", retry=retry)
        pace = Pace(0.05, elapsed_s=41.0, replayed_s=40.0, finished=2)
        ledger.set_statistic("pace", pace.to_dict())
        # Two lives of the replay: 990 ticks within 0.1 ms, then ten between 3 and 7 ms.
        for life, values_ns in (("a", [95_000] * 990), ("b", [3_005_000] * 9 + [6_995_000])):
            histogram = Histogram()
            for value_ns in values_ns:
                histogram.record(value_ns)
            ledger.set_statistic(f"period_error/{life}", histogram.to_dict())
    summary = Summary.read(ledger_path)
    assert (summary.left, summary.lost, summary.bytes) == (0, 3, 1_500_000)
    assert summary.duty_cycle == pytest.approx(40.0 / 41.0)
    assert summary.period_error_ms == pytest.approx((0.1, 6.995))
    assert summary.lines(Path("x")) == [
        "2 of 3 trajectories done, 1 rejected, 3 messages lost, 2 attempts cut short",
        "duty cycle 97.6 %, period error p99 0.10 ms (worst 7.00 ms)",
        "bags: x/bags (1.5 MB)",
        "make a dataset of them: dexndm convert x --out x_dataset",
    ]
