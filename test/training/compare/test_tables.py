# SPDX-License-Identifier: Apache-2.0
"""What is told of numbers: gaps, notes, winners, summaries, studies."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest

from dexndm_ros.paths import world_path
from dexndm_ros.sim.worlds import World
from dexndm_ros.training.compare.ablations import Studies
from dexndm_ros.training.compare.choice import choice_rollouts
from dexndm_ros.training.compare.cli import main
from dexndm_ros.training.compare.config import BUDGETS, CompareConfig
from dexndm_ros.training.compare.errors import CompareError
from dexndm_ros.training.compare.evaluation import Outcomes
from dexndm_ros.training.compare.figures import plot_curve
from dexndm_ros.training.compare.gap import describe_gap
from dexndm_ros.training.compare.job import Comparison
from dexndm_ros.training.compare.report import report_folder, write_report
from dexndm_ros.training.compare.results import BOTH, NOMINAL, Measured, rows_of
from dexndm_ros.training.compare.runner import Runner
from dexndm_ros.training.compare.stages import Stage
from dexndm_ros.training.compare.statistics import Ratio
from dexndm_ros.training.compare.tables import cells, error_rows, interval, notes_of, winners
from dexndm_ros.training.residual import select
from dexndm_ros.training.residual.config import ResidualConfig


def measured(name, factor, pipelines=(0, 1, 2), seed=7):
    """A method that turns ``factor`` times as far as the same noise without it, in every episode."""
    found = Measured(name, "words")
    for pipeline in pipelines:
        rng = np.random.default_rng([seed, pipeline])
        found.episodes[pipeline] = [
            Outcomes(
                factor * rng.uniform(5, 15, 30), rng.uniform(10, 20, 30), rng.uniform(0, 1, 30)
            )
            for _ in range(2)
        ]
        found.notes[pipeline] = ""
    return found


def rows(*methods):
    return rows_of({each.name: each for each in methods}, ("palm_up", "palm_down"))


def test_rows_of_every_wrist_and_of_all():
    found = rows(measured("direct", 1.0), measured("joint", 1.5))
    assert [(row.wrist, row.method) for row in found] == [
        (wrist, name) for wrist in ("palm_up", "palm_down", BOTH) for name in ("direct", "joint")
    ]
    assert all(row.rotation.value == pytest.approx(1.5) for row in found if row.method == "joint")
    assert all(row.held.value == 1.0 for row in found)


def test_a_method_that_lacks_a_pipeline_is_compared_in_those_it_has():
    direct, joint = measured("direct", 1.0), measured("joint", 1.5, pipelines=(1,))
    row = next(row for row in rows(direct, joint) if row.method == "joint")
    assert row.pipelines == (1,)
    assert row.rotation.value == pytest.approx(1.5)
    assert math.isnan(row.metrics["rotation_rad"].std)
    assert "±" not in cells([row], {"joint": joint})[0][1]


def test_a_method_that_failed_stands_in_the_table():
    direct, joint, uan = measured("direct", 1.0), measured("joint", 1.5), Measured("uan", "")
    joint.notes = {0: "loss paired", 1: "loss paired", 2: "refused: weak"}
    uan.notes = dict.fromkeys(range(3), "failed: out of memory")
    methods = {each.name: each for each in (direct, joint, uan)}
    table = {
        row[0]: row[1:] for row in cells(rows_of(methods, ("palm_up", "palm_down"))[:2], methods)
    }
    assert table["uan"] == (*["-"] * 6, "failed 3 of 3")
    assert table["joint"][-1] == "loss paired 2 of 3, refused 1 of 3"
    assert table["direct"][4:] == ("1.00 (1.00 to 1.00)", "1.00 (1.00 to 1.00)", "")


def words(*methods, wrist=BOTH):
    return winners({each.name: each for each in methods}, ("palm_up", "palm_down"))[wrist].words


def test_the_nominal_hand_takes_no_part():
    methods = (measured(NOMINAL, 9.0), measured("direct", 1.0), measured("joint", 1.5))
    assert rows(*methods)[0].rotation is None
    assert words(*methods).startswith("joint turns furthest: 1.50 (1.50 to 1.50)")


def test_who_wins_is_told_also_when_it_is_not_ours():
    told = words(measured("direct", 1.0), measured("joint", 1.2), measured("sysid_retrain", 1.5))
    assert told.startswith("sysid_retrain turns furthest: 1.50")
    assert "Joint-wise dynamics: 1.20" in told
    assert "sysid_retrain turns 1.25 (1.25 to 1.25) times as far" in told


def test_a_doubtful_or_missing_win_is_told():
    direct, noisy = measured("direct", 1.0), measured("joint", 1.08, seed=8)
    assert rows(direct, noisy)[1].rotation.value > 1.0
    assert "not sure to be better" in words(direct, noisy, wrist="palm_up")
    assert "No method turns further" in words(direct, measured("joint", 0.9))
    assert winners({}, ("palm_up",)) == {}


def test_a_method_that_failed_where_it_is_hard_wins_nothing_by_it():
    """Joint-wise doubles in pipeline 0 and does nothing in the others; UAN, 1.5 times, has pipeline 0 only."""
    joint, uan = measured("joint", 1.0), measured("uan", 1.5, pipelines=(0,))
    joint.episodes[0] = measured("joint", 2.0).episodes[0]
    direct = measured("direct", 1.0)
    of_all = {row.method: row.rotation.value for row in rows(direct, joint, uan)[-3:]}
    assert of_all["uan"] > of_all["joint"]
    told = words(direct, joint, uan)
    assert told.startswith("joint turns furthest: 2.00")
    assert told.endswith("Ranked by the 1 of 3 pipelines that no method lacks.")
    apart = (measured("direct", 1.0), measured("joint", 1.5, (1,)), measured("uan", 1.5, (0,)))
    assert words(*apart).startswith("Nothing can be compared yet.")


def comparison(out, **changes):
    grown = {"pipelines": 3, "ablations": ("waves",)} | changes
    config = CompareConfig("twin", out, ("direct", "joint"), **grown)
    methods = {name: measured(name, factor) for name, factor in (("direct", 1.0), ("joint", 1.5))}
    return Comparison(config, World.load("twin"), methods)


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    """Where reports of worlds lie, with one in it."""
    out = tmp_path_factory.mktemp("reported")
    write_report(comparison(out))
    return out


@pytest.mark.parametrize("part", ["methods", "ablations", "studies"])
def test_a_failure_of_any_part_is_one(tmp_path, part):
    found = comparison(tmp_path)
    assert not found.failed
    if part == "studies":
        found.studies.failed["curve/joint/10"] = "out of memory"
    else:
        broken = Measured("broken", "", notes={0: "loss paired", 1: "failed: out of memory"})
        getattr(found, part)["broken"] = broken
    assert found.failed


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"episodes": 64}, "episodes"),
        ({"budget": dataclasses.replace(BUDGETS["small"], epochs=3)}, "budget"),
        ({"wrists": ("palm_down", "palm_up")}, "wrists"),
        ({"pipelines": 2}, "pipelines"),
        ({"methods": ("direct",)}, "methods"),
        ({"ablations": ()}, "ablations"),
    ],
)
def test_a_report_is_not_overwritten_by_another_comparison(reported, tmp_path, changes, named):
    config = dataclasses.replace(comparison(reported).config, **changes)
    before = (reported / "twin-160" / "report.json").read_bytes()
    other = dataclasses.replace(comparison(reported), config=config)
    with pytest.raises(CompareError, match=f"other {named}"):
        write_report(other)
    with pytest.raises(CompareError, match=rf"other {named}; give another --report"):
        report_folder(config)
    assert (reported / "twin-160" / "report.json").read_bytes() == before
    assert report_folder(config, tmp_path / "elsewhere") == tmp_path / "elsewhere"


def test_a_report_grows_and_other_data_or_another_file_has_its_own(reported, tmp_path):
    first = reported / "twin-160"
    more = comparison(reported, jobs=3, threads=5, ablations=("waves", "curve")).config
    assert report_folder(dataclasses.replace(more, methods=("direct", "uan", "joint"))) == first
    full = dataclasses.replace(more, budget=BUDGETS["full"])
    assert report_folder(full).name == "twin-2000"
    copy = tmp_path / "copy.yaml"
    copy.write_text(world_path("twin").read_text())
    assert report_folder(dataclasses.replace(more, world=str(copy))).name == "copy-160"
    (tmp_path / "changed").mkdir()
    changed = tmp_path / "changed" / "twin.yaml"
    changed.write_text(world_path("twin").read_text() + "\n# another hand\n")
    with pytest.raises(CompareError, match="other world_sha256"):
        report_folder(dataclasses.replace(more, world=str(changed)))


def test_the_choice_of_a_residual_is_counted_and_told(reported):
    """As ``select`` goes: a first round of all candidates and the base, then of the best three and the base."""
    candidates = len(ResidualConfig().losses) * len(ResidualConfig().select.strengths)
    count = (candidates + 1) * 12 + (select._FINALISTS + 1) * 48
    assert choice_rollouts(48) == count
    assert f"up to {count} rollouts" in (reported / "twin-160" / "report.html").read_text()
    docs = Path(__file__).parents[3] / "docs" / "comparing.md"
    assert f"up to {count} rollouts" in " ".join(docs.read_text(encoding="utf-8").split())


def test_survival_needs_the_whole_time():
    tested = Outcomes(np.ones(3), np.array([20.0, 19.95, 3.0]), np.ones(3))
    assert tested.survived.tolist() == [1.0, 0.0, 0.0]


def test_notes_are_told_once_or_by_pipeline():
    each = Measured("joint", "", {0: "loss paired", 1: "loss paired"})
    assert notes_of(each) == "loss paired"
    each.notes[2] = "refused: weak"
    assert (
        notes_of(each)
        == "pipeline 0: loss paired; pipeline 1: loss paired; pipeline 2: refused: weak"
    )
    assert notes_of(Measured("x", "", {0: ""})) == ""


def test_errors_are_told_once_a_model():
    one, two = Measured("joint", ""), Measured("hand", "")
    for seed, error in enumerate((6.0, 8.0)):
        one.errors[seed] = {
            "validation": {"ARX": 7.0, "joint-wise": error},
            "task": {"ARX": 6.0, "joint-wise": 5.0},
        }
        two.errors[seed] = {
            "validation": {"ARX": 7.0, "whole-hand": 9.0},
            "task": {"ARX": 6.0, "whole-hand": 9.5},
        }
    told = {row[0]: row[1:] for row in error_rows({"joint": one, "hand": two})}
    assert told["joint-wise"] == ("7.00 ± 1.41", "5.00 ± 0.00")
    assert told["whole-hand"] == ("9.00 ± 0.00", "9.50 ± 0.00")
    assert told["ARX"][0].startswith("7.00")


def test_gaps_in_words():
    assert describe_gap(World()) == []
    told = dict(describe_gap(World.load("delay_50ms")))
    assert told == {"delay of the commands": "50 ms"}
    unmodelled = dict(describe_gap(World.load("unmodelled")))
    assert "position gains, of nominal" not in unmodelled
    assert unmodelled["play"].endswith("mrad")
    least, most = map(float, describe_gap(World.load("gains"))[0][1].replace("x", "").split(" to "))
    assert (least, most) == (0.53, 1.68)


@pytest.mark.parametrize("world", ["gains", "gains_wide", "twin", "mild_1", "mild_2", "mild_3"])
def test_every_shipped_gap_is_told(world):
    assert describe_gap(World.load(world))


def run_folder(runner, name, losses, task=None):
    stage = Stage("dynamics", name, (name,), "metrics.json")
    folder = runner.folder(stage)
    folder.out.mkdir(parents=True)
    history = [{"phase": "main", "epoch": k, "val_loss": loss} for k, loss in enumerate(losses)]
    errors = {"validation": {"joint-wise": 1.0}} | ({"task folder": task} if task else {})
    (folder.out / "metrics.json").write_text(json.dumps({"history": history, "rms_mrad": errors}))
    return stage


def test_studies_compare_losses_and_draw_the_curve(tmp_path):
    runner = Runner(tmp_path / "stages", 1, 1, print)
    stages = {
        "transfer/with linear path/from nothing": run_folder(runner, "a", [8.0, 4.0, 2.0]),
        "transfer/with linear path/from the next joint": run_folder(runner, "b", [4.0, 1.5, 1.0]),
        "transfer/with linear path/from the next finger": run_folder(runner, "c", [16.0, 9.0, 3.0]),
        "curve/joint/10": run_folder(
            runner, "d", [1.0], {"persistence": 20.0, "ARX": 8.0, "joint-wise": 7.0}
        ),
        "curve/hand/10": run_folder(
            runner, "e", [1.0], {"persistence": 20.0, "ARX": 8.0, "whole-hand": 9.0}
        ),
    }
    studies = Studies()
    studies.read(None, stages, runner)
    assert studies.transfer["with linear path, from nothing"] == [(1.0, 2.0)]
    assert studies.transfer["with linear path, from the next joint"] == [(0.5, 1.0)]
    assert studies.transfer["with linear path, from the next finger"] == [(2.0, math.inf)]
    assert studies.curve == {
        ("persistence", 10): [20.0], ("ARX", 10): [8.0], ("joint-wise", 10): [7.0], ("whole-hand", 10): [9.0],
    }  # fmt: skip
    plot_curve(studies, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").stat().st_size > 1000


def test_a_summary_needs_a_report(tmp_path, capsys):
    assert main(["--compare", "--summary", "--out", str(tmp_path)]) == 2
    assert "no report" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--methods", "magic"], "'magic' is none of"),
        (["--world", "no_such_world"], "no world 'no_such_world'"),
        (["--episodes", "0"], "episodes must be at least 1"),
        (["--policy", "no_such_policy"], "no policy 'no_such_policy'"),
    ],
)
def test_wrong_settings_end_with_2_and_a_sentence(tmp_path, capsys, words, told):
    assert main(["--compare", "--out", str(tmp_path), *words]) == 2
    assert told in capsys.readouterr().err


def test_a_ratio_that_is_none_is_a_dash():
    nan = float("nan")
    assert interval(None) == interval(Ratio(nan, nan, nan)) == "-"
    assert interval(Ratio(1.0, 0.5, math.inf)) == "1.00 (0.50 to inf)"
