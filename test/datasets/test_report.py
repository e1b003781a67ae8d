# SPDX-License-Identifier: Apache-2.0
"""The quality report tells what was put into the dataset, needs no other file, and a browser shows all of it."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest

from dexndm_ros.datasets.episode import Finding
from dexndm_ros.datasets.errors import DatasetError
from dexndm_ros.datasets.features import RowFlag, empty_columns
from dexndm_ros.datasets.quality import CHECKS
from dexndm_ros.datasets.report import write_report
from dexndm_ros.hand.joints import JOINT_COUNT, JOINT_NAMES
from support.browser import browser_or_skip
from support.dataset_growth import add_bags, bag_of
from support.quality_sets import NIGHT_NS, answering_episode

NASTY = "<script>document.title = 'owned'</script> & \"quotes\""
DAY_NS = 86_400 * 10**9


def dropped(identity: str):
    """An episode without rows, and why."""
    why = Finding("invalid_rows", 77, "dropped", f"77 of 400 rows {NASTY}")
    episode = answering_episode(identity, findings=[why], verdict="drop")
    episode.columns.clear()
    episode.columns.update(empty_columns(0))
    return episode


def read(folder):
    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    return json.loads((folder / "quality.json").read_text(), parse_constant=refuse)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Two nights of six episodes each, the second one's hand 0.1 rad off, a policy's run, one flagged, one dropped."""
    folder = tmp_path_factory.mktemp("quality") / "nights"
    first = [answering_episode(f"a/{k}", seed=k) for k in range(6)]
    gap = Finding("gap", 3, "flagged", "3 rows are followed by a gap")
    marked = answering_episode("a/6", seed=6, findings=[gap], verdict="flag")
    marked.columns["flags"][10:13] |= RowFlag.GAP
    marked.columns["valid"][10:13] = False
    second = [
        answering_episode(f"b/{k}", seed=k, offset_rad=0.1, started_ns=NIGHT_NS + DAY_NS + k * 22_000_000_000)
        for k in range(6)
    ]  # fmt: skip
    run = answering_episode("policy/0", seed=2, kind="policy", trajectory=-1, orientation="")
    lost = Finding("lost", 5, "flagged", "5 messages were published and are not in the bag")
    bags = [
        bag_of("first", [*first, marked, dropped("a/7")], [lost]),
        bag_of("second", second),
        bag_of("run", [run]),
    ]
    shares: list[float] = []
    add_bags(folder, bags, report=lambda path: write_report(path, NASTY, shares.append))
    assert shares[-1] == 1.0
    return folder


def test_json_says_what_the_dataset_holds(dataset) -> None:
    numbers = read(dataset)
    totals = numbers["totals"]
    assert (totals["episodes"], totals["kept"], totals["flagged"], totals["dropped"]) == (14, 13, 1, 1)  # fmt: skip
    assert (totals["rows"], totals["valid"], totals["bags"]) == (14 * 120, 14 * 120 - 3, 3)
    assert totals["trajectories"] == 7
    checks = {row["check"]: row for row in numbers["checks"]}
    assert list(checks) == list(CHECKS)
    assert (checks["gap"]["count"], checks["gap"]["flagged"], checks["gap"]["episodes"]) == (3, 1, 1)  # fmt: skip
    assert (checks["lost"]["count"], checks["lost"]["bags"]) == (5, 1) and numbers["loss"]["lost"] == 5  # fmt: skip
    assert (checks["invalid_rows"]["count"], checks["invalid_rows"]["dropped"]) == (77, 1)
    assert not checks["stuck"]["episodes"]
    assert [row["identity"] for row in numbers["rejected"]] == ["a/7"]
    assert numbers["rejected"][0]["bag"] == "first"
    flags = {row["flag"]: row["rows"] for row in numbers["row_flags"]}
    assert flags == {**{flag.name: 0 for flag in RowFlag}, "GAP": 3}
    groups = {(row["kind"], row["orientation"]): row for row in numbers["groups"]}
    assert groups["replay", "palm_up"]["episodes"] == 13
    assert groups["replay", "palm_up"]["most_often"] == 2
    assert groups["policy", ""]["trajectories"] == 0


def test_nights_are_put_together_without_the_day_in_between(dataset) -> None:
    numbers = read(dataset)
    assert [night["episodes"] for night in numbers["nights"]] == [8, 6]
    hours = numbers["episodes"]["hour"]
    assert min(hours) == 0.0 and max(hours) == pytest.approx(2 * 132 / 3600, abs=0.01)
    names, errors = numbers["episodes"]["identity"], numbers["episodes"]["error_rms_rad"]
    of_each = dict(zip(names, errors, strict=True))
    assert of_each["a/0"] == pytest.approx(0.0, abs=1e-6)
    assert of_each["b/0"] == pytest.approx(0.1, abs=1e-4)
    over_time = np.array(numbers["over_time"]["error_rms_rad"], dtype=float)
    assert over_time.shape == (JOINT_COUNT, 10)
    seen = np.isfinite(over_time[3])
    assert over_time[3][seen][0] < 1e-6 and over_time[3][-1] == pytest.approx(0.1, abs=1e-4)


def test_page_needs_no_other_file_and_takes_names_as_text(dataset) -> None:
    page = (dataset / "report.html").read_text()
    assert "<script" not in page and "&lt;script&gt;" in page
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    assert page.count("<figure") >= 10
    assert "14 episodes, 1,680 transitions" in page and "1 is flagged and 1 was dropped" in page
    assert "77 of 400 rows" in page and "3 rows are followed by a gap" in page
    for name in JOINT_NAMES:
        assert f"<td>{name}</td>" in page


def test_same_dataset_gives_the_same_bytes(dataset) -> None:
    before = [(dataset / name).read_bytes() for name in ("report.html", "quality.json")]
    write_report(dataset, NASTY)
    assert before == [(dataset / name).read_bytes() for name in ("report.html", "quality.json")]


@pytest.mark.parametrize("width", [1280, 390])
def test_browser_shows_it(dataset, width) -> None:
    with browser_or_skip() as browser:
        page = browser.new_page(viewport={"width": width, "height": 800})
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto((dataset / "report.html").as_uri())
        assert page.title() == f"{NASTY}: quality"
        broken = "[...document.images].filter(i => !i.complete || i.naturalWidth < 100).length"
        assert page.evaluate("document.images.length") >= 10 and page.evaluate(broken) == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert not errors


def test_bag_of_another_driver_without_currents_times_and_numbers(tmp_path) -> None:
    untold = {"campaign": "", "orientation": "", "started_ns": 0, "trajectory": -1}
    episode = answering_episode("joint_state/0", rows=7, kind="joint_state", **untold)
    for name in ("observation.current", "observation.temperature", "observation.command"):
        episode.columns[name][...] = np.nan
    for name in ("action.stamp_ns", "observation.stamp_ns"):
        episode.columns[name][...] = 0
    add_bags(tmp_path / "d", [bag_of("other", [episode])], report=write_report)
    numbers = read(tmp_path / "d")
    assert numbers["totals"]["rows"] == 7 and numbers["period"]["ticks"] == 0
    assert numbers["joints"][0]["current_mean_a"] is None
    assert numbers["joints"][0]["error_rms_rad"] is None
    assert numbers["nights"] == [] and numbers["histories"]["views"] == []
    assert "7 transitions" in (tmp_path / "d/report.html").read_text()


def test_what_is_no_dataset_is_refused_in_words(tmp_path) -> None:
    with pytest.raises(DatasetError, match="no dataset of dexndm convert"):
        write_report(tmp_path)


def test_torn_data_file_is_named(dataset, tmp_path) -> None:
    shutil.copytree(dataset, tmp_path / "d")
    file = tmp_path / "d/data/chunk-000/file-000.parquet"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(DatasetError, match=r"file-000\.parquet cannot be read"):
        write_report(tmp_path / "d")


@pytest.mark.parametrize("kind", ["policy", "none valid"])
def test_datasets_of_one_kind_or_of_no_use_get_a_report_too(tmp_path, kind) -> None:
    episodes = [answering_episode(str(k), seed=k, kind="policy", started_ns=NIGHT_NS) for k in range(2)]  # fmt: skip
    if kind == "none valid":
        for each in episodes:
            each.columns["valid"][...] = False
            each.columns["flags"][...] = RowFlag.NO_STATE
            each.columns["observation.state"][...] = np.nan
    add_bags(tmp_path / "d", [bag_of("runs", episodes)], report=write_report)
    numbers, page = read(tmp_path / "d"), (tmp_path / "d/report.html").read_text()
    views = numbers["histories"]["views"]
    if kind == "policy":
        assert len(views) == 17 and views[0]["task"] and views[0]["collected"] is None
        assert "Histories of ten ticks" in page
    else:
        assert numbers["totals"]["valid"] == 0 and not views
        assert numbers["joints"][0]["range_share"] is None and "0 % of the rows are valid" in page
