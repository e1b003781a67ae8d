# SPDX-License-Identifier: Apache-2.0
"""The report says what the ledger says, needs no other file, and a browser shows all of it."""

from __future__ import annotations

import json
import math
import re

import pytest

from dexndm_ros.dashboard.report import ReportError, write_report
from dexndm_ros.hand.joints import JOINT_COUNT, JOINT_NAMES
from dexndm_ros.policy.clock import Histogram
from dexndm_ros.replay.campaign import Campaign
from dexndm_ros.replay.ledger import Ledger, Result
from dexndm_ros.replay.library import open_source
from dexndm_ros.replay.pace import Pace
from dexndm_ros.replay.plan import make_plan
from support.browser import browser_or_skip

NASTY = "<script>document.title = 'owned'</script> & \"quotes\""


def result(claim, **changes):
    values = {
        "bag": claim.episode, "messages": 1000, "lost": 0, "dropped": 0, "bytes": 2_000_000,
        "started_ns": 1, "duration_s": 20.0, "temperature_max_c": 40.0 + claim.entry,
        "current_mean_a": tuple(0.01 * k for k in range(JOINT_COUNT)), "current_spread_a": 0.08,
        "tracking_rms_rad": 0.1, "period_error_ms_p99": 0.3, "missed_ticks": 1, **changes,
    }  # fmt: skip
    return Result(**values)


@pytest.fixture
def make(tmp_path):
    """A campaign's folder with a ledger of so many rows."""

    def make(count=12, attempts=2, library="cylinder_z"):
        campaign = Campaign(
            name="night",
            orientation="palm_down",
            library="cylinder_z",
            count=count,
            attempts=attempts,
        )
        source = open_source(campaign.library, check=False)
        plan = make_plan(campaign, source)
        sha = source.sha256 if library == "cylinder_z" else "0" * 64
        Ledger.create(tmp_path / "campaign.sqlite", campaign, plan, sha).close()
        return Ledger.open(tmp_path / "campaign.sqlite")

    return make


def read(folder):
    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    return json.loads((folder / "report.json").read_text(), parse_constant=refuse)


@pytest.fixture
def night(make, tmp_path):
    """Ten done, one rejected for good, one interrupted and to do; two lives of the replay."""
    with make() as ledger:
        for _ in range(10):
            claim = ledger.claim()
            ledger.finish(claim, result(claim))
        ledger.reject(ledger.claim(), NASTY, bag="e000010_a1.partial")
        other, again = ledger.claim(), ledger.claim()  # what was rejected waits for the others
        ledger.reject(again, "the thumb is stuck")
        ledger.release(other, "the recorder died")
        ledger.event("warning", NASTY)
        ledger.event("info", "goes on")
        for life, errors_ms in ((1, [0.1] * 99), (2, [2.0])):
            histogram = Histogram()
            for error_ms in errors_ms:
                histogram.record(int(error_ms * 1e6))
            ledger.set_statistic(f"period_error/{life}", histogram.to_dict())
        ledger.set_statistic("pace", Pace(0.05, 202.0, 200.0, 10).to_dict())
        ledger.set_statistic("faults", 3)
    return tmp_path


def test_the_numbers_are_the_ledgers(night):
    write_report(night)
    numbers = read(night)
    assert numbers["counts"] == {
        "total": 12, "done": 10, "rejected": 1, "to_do": 1,
        "attempts": 13, "attempts_rejected": 2, "attempts_interrupted": 1,
    }  # fmt: skip
    assert numbers["losses"] == {"messages": 10_000, "lost": 0, "dropped": 0, "missed_ticks": 10}
    assert numbers["time"]["duty_cycle"] == pytest.approx(200 / 202, abs=1e-6)
    assert numbers["faults"] == 3
    assert numbers["period_error"]["ticks"] == 100
    assert numbers["period_error"]["p99_ms"] == pytest.approx(0.11)
    assert numbers["period_error"]["max_ms"] == pytest.approx(2.0)
    assert sum(numbers["period_error"]["count"]) == 100
    assert numbers["trajectories"]["entry"] == list(range(10))
    assert numbers["trajectories"]["temperature_max_c"] == [40.0 + k for k in range(10)]
    assert numbers["current_a"][0][15] == pytest.approx(0.15)
    assert numbers["identity"]["campaign"] == "night"
    assert re.fullmatch("[0-9a-f]{64}", numbers["identity"]["library_sha256"])
    [row] = numbers["rejected"]
    assert (row["entry"], row["state"]) == (10, "rejected for good")
    assert row["reasons"] == [f"attempt 1: {NASTY}", "attempt 2: the thumb is stuck"]
    assert row["bag"] == "e000010_a1.partial"
    assert [event["kind"] for event in numbers["events"]] == ["warning", "info"]


def test_the_coverage_is_that_of_the_done_trajectories(night):
    write_report(night)
    numbers = read(night)
    found = numbers["coverage"]
    assert found["trajectories"] == 10
    source = open_source("cylinder_z", check=False)
    targets = [source.trajectory(k).targets_rad for k in numbers["trajectories"]["trajectory"]]
    assert found["low_rad"] == pytest.approx(
        [min(t[:, k].min() for t in targets) for k in range(16)], abs=1e-5
    )
    assert found["high_rad"] == pytest.approx(
        [max(t[:, k].max() for t in targets) for k in range(16)], abs=1e-5
    )
    assert all(sum(row) == pytest.approx(1.0, abs=1e-3) for row in found["histogram"])


def test_the_page_is_one_file_that_says_it_in_words(night):
    page = write_report(night)
    assert page == night / "report.html"
    text = page.read_text()
    assert "10 of 12 trajectories are done, 1 rejected for good; 1 are still to do." in text
    assert "99.01 % of the time meant for it" in text
    assert "99 % kept the 50 ms period within 0.11 ms" in text
    assert "&lt;script&gt;" in text
    assert "<script" not in text
    assert not re.search(r"(src|href)=\"(?!data:)", text)
    assert "http://" not in text
    assert "https://" not in text
    assert sorted(path.name for path in night.iterdir() if "report" in path.name) == [
        "report.html",
        "report.json",
    ]


def test_a_browser_shows_every_plot_and_runs_nothing(night):
    page_file = write_report(night)
    with browser_or_skip() as browser:
        page = browser.new_page(viewport={"width": 390, "height": 844})
        page.goto(page_file.as_uri())
        widths = page.locator("img").evaluate_all(
            "all => all.map(i => i.complete && i.naturalWidth)"
        )
        assert len(widths) == 10
        assert all(widths)
        assert "owned" not in page.title()
        assert page.get_by_text("attempt 2: the thumb is stuck").count() == 1
        inner, whole = page.evaluate("[innerWidth, document.documentElement.scrollWidth]")
        assert whole <= inner
        labels = page.locator("img").evaluate_all("all => all.map(i => i.alt)")
        assert "Mean current of each joint" in labels


def test_a_campaign_that_has_not_begun_has_a_report(make, tmp_path):
    make().close()
    text = write_report(tmp_path).read_text()
    assert "0 of 12 trajectories are done; 12 are still to do." in text
    assert "No attempt was rejected." in text
    assert read(tmp_path)["coverage"] == {"missing": "no trajectory is done"}


def test_what_nobody_measured_is_null_and_draws_nothing(make, tmp_path):
    with make(count=1) as ledger:
        claim = ledger.claim()
        nothing = {
            name: math.nan
            for name in ("temperature_max_c", "current_spread_a", "tracking_rms_rad", "period_error_ms_p99")
        }  # fmt: skip
        ledger.finish(claim, result(claim, current_mean_a=(), **nothing))
    text = write_report(tmp_path).read_text()
    numbers = read(tmp_path)
    assert numbers["current_a"] == [[None] * 16]
    assert numbers["trajectories"]["temperature_max_c"] == [None]
    assert "Hottest motor" not in text
    assert "Time a trajectory took" in text


def test_another_library_is_told_and_costs_only_the_coverage(make, tmp_path):
    with make(count=1, library="another") as ledger:
        claim = ledger.claim()
        ledger.finish(claim, result(claim))
    text = write_report(tmp_path).read_text()
    assert "No picture of the coverage: cylinder_z holds other trajectories now." in text
    assert len(read(tmp_path)["joints"]) == len(JOINT_NAMES)


def test_a_report_is_written_while_the_campaign_runs_and_again(make, tmp_path):
    with make(count=2) as ledger:
        claim = ledger.claim()
        write_report(tmp_path)
        assert read(tmp_path)["counts"]["done"] == 0
        ledger.finish(claim, result(claim))
        write_report(tmp_path)
        assert read(tmp_path)["counts"]["done"] == 1


def test_no_ledger_is_told_with_the_cure(tmp_path):
    with pytest.raises(ReportError, match="is this the folder of a campaign"):
        write_report(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_told(night):
    (night / "report.json.new").mkdir()
    with pytest.raises(ReportError, match="cannot be written"):
        write_report(night)
