# SPDX-License-Identifier: Apache-2.0
"""Order after a death: whatever was cut short, nothing is lost and nothing is there twice. Real bags, real ledger."""

from __future__ import annotations

import contextlib
import itertools
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dexndm_ros.recording.partial import put_aside, reason_of
from dexndm_ros.replay import reconcile as module
from dexndm_ros.replay.campaign import Campaign
from dexndm_ros.replay.ledger import Counts, Ledger
from dexndm_ros.replay.library import open_source
from dexndm_ros.replay.prepare import prepare
from dexndm_ros.replay.reconcile import ReconcileReport, reconcile
from dexndm_ros.replay.verify import verify
from support.bags import CLOSING
from support.replays import STEP, begin_replay, write_replay

CAMPAIGN = Campaign("night-1", "palm_down", "waves:sine:5", 3, seed=7)
SOURCE = open_source(CAMPAIGN.library, seed=CAMPAIGN.seed, noise=CAMPAIGN.noise)
NOTHING = ReconcileReport((), (), (), (), ())


@pytest.fixture
def out(tmp_path):
    prepare(CAMPAIGN, tmp_path / "out", hold=False)
    return tmp_path / "out"


@pytest.fixture
def ledger(out):
    with Ledger.open(out / "campaign.sqlite") as opened:
        yield opened


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "bags").iterdir())


def test_where_nothing_happened_there_is_nothing_to_do(ledger, out):
    assert reconcile(ledger, out / "bags") == NOTHING


def test_a_whole_bag_of_a_claimed_row_is_done(ledger, out):
    claim = ledger.claim()
    known = write_replay(out / "bags", CAMPAIGN, claim, SOURCE)
    assert reconcile(ledger, out / "bags").adopted == ("e000000_a1",)
    (done,) = ledger.results()
    assert (done.claim, done.result.messages, done.result.bytes) == (
        claim,
        known.messages,
        known.bytes,
    )
    assert reconcile(ledger, out / "bags") == NOTHING
    assert [event.kind for event in ledger.events()] == ["reconcile"]


def test_a_torn_recording_is_put_aside_and_its_row_planned_again(ledger, out):
    claim = ledger.claim()
    begin_replay(out / "bags", CAMPAIGN, claim, SOURCE, steps=100).flush()
    report = reconcile(ledger, out / "bags")
    assert (report.adopted, report.interrupted) == ((), ("e000000_a1",))
    assert names(out) == ["e000000_a1.partial"]
    assert "ended while it was written" in reason_of(out / "bags" / "e000000_a1.partial")
    (attempt,) = ledger.attempts()
    assert (attempt.state, attempt.bag) == ("interrupted", "e000000_a1.partial")
    again = ledger.claim()
    assert (again.entry, again.attempt, again.seed) == (0, 2, claim.seed)


@pytest.mark.parametrize("fault", ["short", "damaged", "no metadata"])
def test_a_bag_that_is_not_whole_is_not_adopted(ledger, out, fault):
    claim = ledger.claim()
    write_replay(out / "bags", CAMPAIGN, claim, SOURCE, steps=399 if fault == "short" else 400)
    bag = out / "bags" / claim.episode
    if fault == "damaged":
        file = next(bag.glob("*.mcap"))
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    elif fault == "no metadata":
        (bag / "metadata.yaml").unlink()
    report = reconcile(ledger, out / "bags")
    assert (report.adopted, report.interrupted) == ((), ("e000000_a1",))
    assert names(out) == ["e000000_a1.partial"]
    assert reconcile(ledger, out / "bags") == NOTHING
    reason = ledger.attempts()[0].reason
    assert ("399 of 400 steps" in reason) == (fault == "short")


def test_a_bag_that_came_too_late_is_put_aside(ledger, out):
    claim = ledger.claim()
    ledger.release(claim, "the recorder did not answer")
    write_replay(out / "bags", CAMPAIGN, claim, SOURCE)
    assert reconcile(ledger, out / "bags").orphans == ("e000000_a1",)
    assert names(out) == ["e000000_a1.partial"]
    assert reconcile(ledger, out / "bags") == NOTHING


def test_a_bag_that_is_gone_is_told_each_time_and_nothing_is_undone(ledger, out):
    claim = ledger.claim()
    ledger.finish(claim, write_replay(out / "bags", CAMPAIGN, claim, SOURCE))
    shutil.rmtree(out / "bags" / claim.episode)
    for _ in range(2):
        assert reconcile(ledger, out / "bags").missing == ("e000000_a1",)
    assert ledger.counts().done == 1


def test_other_folders_are_left_alone(ledger, out):
    for name in ("notes", "e1_a1", "rosbag2_2026"):
        (out / "bags" / name).mkdir()
    assert reconcile(ledger, out / "bags") == NOTHING
    assert names(out) == ["e1_a1", "notes", "rosbag2_2026"]


# --- a death at every step of a trajectory's way, and of the way back to order ----------------------

STEPS_OF_ONE = ("claim", "begin", "write", "close", "rename", "finish")


class Killed(BaseException):
    """The process is no more."""


def live(ledger: Ledger, bags: Path, steps: int) -> None:
    """One trajectory's way, cut off after some steps; without ``rename`` its bag is whole but named .part."""
    if steps == 0 or (claim := ledger.claim()) is None:
        return
    if steps == 1:
        return
    if steps in (2, 3):
        begin_replay(bags, CAMPAIGN, claim, SOURCE, steps=1 if steps == 2 else 250).flush()
        return
    result = write_replay(bags, CAMPAIGN, claim, SOURCE)
    if steps == 4:
        (bags / claim.episode).rename(bags / f"{claim.episode}.part")
    if steps == 6:
        ledger.finish(claim, result)


def dying_after(monkeypatch: pytest.MonkeyPatch, calls: int) -> None:
    """``reconcile`` dies before one of the things that it does to the disk."""
    left = itertools.count(calls, -1)

    def mortal(real):
        def call(*arguments, **options):
            if next(left) == 0:
                raise Killed
            return real(*arguments, **options)

        return call

    monkeypatch.setattr(module, "put_aside", mortal(put_aside))
    for name in ("finish", "release", "event"):
        monkeypatch.setattr(Ledger, name, mortal(getattr(Ledger, name)))


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(
    deaths=st.lists(
        st.tuples(st.integers(0, len(STEPS_OF_ONE)), st.none() | st.integers(0, 5)), max_size=5
    )
)
def test_no_death_loses_or_repeats_anything(tmp_path_factory, deaths):
    out = tmp_path_factory.mktemp("campaign") / "out"
    prepare(CAMPAIGN, out, hold=False)
    bags, path = out / "bags", out / "campaign.sqlite"
    finished: set[int] = set()
    for steps, dies_in_reconcile in deaths:
        with Ledger.open(path) as ledger:
            live(ledger, bags, steps)
            finished |= {done.claim.entry for done in ledger.results()}
        if dies_in_reconcile is not None:
            with pytest.MonkeyPatch.context() as patch, Ledger.open(path) as ledger:
                dying_after(patch, dies_in_reconcile)
                with contextlib.suppress(Killed):
                    reconcile(ledger, bags)
        with Ledger.open(path) as ledger:
            reconcile(ledger, bags)
            before = (ledger.attempts(), names(out))
            assert reconcile(ledger, bags) == NOTHING
            assert (ledger.attempts(), names(out)) == before
            assert not ledger.claims()
            now_done = {done.claim.entry for done in ledger.results()}
            assert finished <= now_done
            finished = now_done
    with Ledger.open(path) as ledger:
        while ledger.counts().planned:
            live(ledger, bags, 6)
        assert ledger.counts() == Counts(total=3, done=3, rejected=0, claimed=0, planned=0)
    report = verify(out)
    assert report.agrees, report.problems
    assert report.bags == 3


def test_the_recorder_may_finish_while_order_is_made(ledger, out, monkeypatch):
    """It renames the bag that it was closing just before the .part is put aside: the bag counts."""
    claim = ledger.claim()
    writer = begin_replay(out / "bags", CAMPAIGN, claim, SOURCE)

    def late(folder, reason):
        if writer is not None and folder.suffix == ".part":
            assert writer.finish({STEP.name: 400}, CLOSING).complete
        return put_aside(folder, reason)

    monkeypatch.setattr(module, "put_aside", late)
    assert reconcile(ledger, out / "bags").adopted == (claim.episode,)
