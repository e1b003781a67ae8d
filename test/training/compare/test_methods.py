# SPDX-License-Identifier: Apache-2.0
"""What each method is made of: equal data, nothing that a method must not know, and what it shares."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import tyro

from dexndm_ros.paths import world_path
from dexndm_ros.training.compare.ablations import (
    ABLATIONS,
    ablated_methods,
    parse_ablations,
    study_stages,
)
from dexndm_ros.training.compare.config import BUDGETS, CompareConfig, Recipe
from dexndm_ros.training.compare.errors import CompareError
from dexndm_ros.training.compare.methods import METHODS, parse_methods
from dexndm_ros.training.compare.pipeline import Pipeline
from dexndm_ros.training.compare.stages import Folder, in_order


def config(**changes):
    return CompareConfig("twin", Path("unused"), parse_methods(""), **changes)


def stages(name, pipeline):
    return in_order(METHODS[name].deploy(pipeline).stages)


def number_behind(stage, option):
    return int(stage.words[stage.words.index(option) + 1])


@pytest.mark.parametrize("name", METHODS)
def test_no_method_gets_more_of_the_target_world_than_the_budget(name):
    settings = config()
    target = world_path("twin")
    replayed = 0
    for stage in stages(name, Pipeline(settings, 0)):
        if target not in stage.words:
            continue
        assert stage.kind in ("replays", "task", "sysid", "residual")
        if stage.kind == "replays":
            replayed += number_behind(stage, "--episodes")
        if stage.kind == "sysid":
            assert number_behind(stage, "--probes") <= settings.budget.trajectories * len(
                settings.wrists
            )
        if stage.kind == "residual":  # its loss is chosen there, on grasps that no test uses
            assert stage.words[stage.words.index(target) - 1] == "--select.world"
    assert replayed in (0, settings.budget.trajectories)


@pytest.mark.parametrize("name", ["sysid", "sysid_retrain"])
def test_an_identification_is_not_told_the_truth(name):
    """The twin is named to the fit, which plays its motion; nothing else of these methods reads the target's file."""
    named = [
        stage.kind
        for stage in stages(name, Pipeline(config(), 0))
        if world_path("twin") in stage.words
    ]
    assert named == ["sysid"]


@pytest.mark.parametrize("name", ["joint", "hand", "finger", "arx"])
def test_nothing_is_chosen_by_the_task(name):
    """Task rollouts are read by the test of a dynamics model, and by nothing else."""
    for stage in stages(name, Pipeline(config(), 0)):
        readers = [
            word
            for word in stage.words
            if getattr(getattr(word, "stage", None), "kind", "") == "task"
        ]
        for word in readers:
            assert stage.words[stage.words.index(word) - 1] == "--test"


def test_methods_share_their_data_and_pipelines_share_nothing():
    one, other = Pipeline(config(), 0), Pipeline(config(), 1)
    names = ("joint", "hand", "finger", "arx")
    replays = {
        name: {s.fingerprint for s in stages(name, one) if s.kind == "replays"} for name in names
    }
    assert len(set(map(frozenset, replays.values()))) == 1
    first, second = ({s.fingerprint for s in stages("joint", each)} for each in (one, other))
    assert not first & second


def test_worlds_share_what_is_nominal():
    gains = dataclasses.replace(config(), world="gains")
    first, second = (
        {s.fingerprint: s.kind for s in stages("joint", Pipeline(each, 0))}
        for each in (config(), gains)
    )
    shared = sorted(first[key] for key in set(first) & set(second))
    assert shared == ["dynamics", "replays", "replays", "rollouts"]


@pytest.mark.parametrize(
    ("changes", "redone"),
    [
        ({"residual_epochs": 9}, {"residual"}),
        ({"epochs": 9}, {"dynamics", "residual"}),
        ({"trajectories": 9}, {"replays", "dynamics", "residual"}),
        ({"rollouts": 9}, {"rollouts", "residual"}),
        ({"retrain_steps": 9}, set()),
    ],
)
def test_a_changed_setting_redoes_what_depends_on_it(changes, redone):
    budget = dataclasses.replace(BUDGETS["small"], **changes)
    before = {s.fingerprint for s in stages("joint", Pipeline(config(), 0))}
    after = stages("joint", Pipeline(config(budget=budget), 0))
    assert {s.kind for s in after if s.fingerprint not in before} == redone


def test_another_number_of_cores_or_episodes_trains_nothing_anew():
    before = {s.fingerprint for s in stages("joint", Pipeline(config(), 0))}
    after = {
        s.fingerprint for s in stages("joint", Pipeline(config(episodes=7, jobs=3, threads=5), 0))
    }
    assert before == after


def test_ablations_change_data_or_model_and_keep_the_rollouts():
    pipeline = Pipeline(config(), 0)
    joint = {s.fingerprint: s.kind for s in stages("joint", pipeline)}
    made = {row.words: in_order(row.method.deploy(pipeline).stages) for row in ABLATIONS}
    assert {s.fingerprint for s in made["as in the comparison"]} == set(joint)
    for words, found in made.items():
        kept = {joint[s.fingerprint] for s in found if s.fingerprint in joint}
        assert {"rollouts", "task"} <= kept, words
    assert len({found[-1].fingerprint for found in made.values()}) == len(ABLATIONS)


def test_studies_ask_for_every_size_and_start():
    names = set(study_stages(Pipeline(config(ablations=("curve", "transfer")), 0)))
    assert {f"curve/joint/{n}" for n in BUDGETS["small"].curve} <= names
    assert "transfer/without linear path/from the next joint" in names


@pytest.mark.parametrize(
    ("text", "kinds"), [("", set()), ("curve,waves", {"curve"}), ("transfer", {"transfer"})]
)
def test_only_the_ablations_that_are_asked_for_are_done(text, kinds):
    settings = config(ablations=parse_ablations(text))
    assert {name.split("/")[0] for name in study_stages(Pipeline(settings, 0))} == kinds
    rows = {row.words for row in ABLATIONS if row.name in text.split(",")}
    assert set(ablated_methods(settings)) == rows
    assert len(rows) == text.count("waves")


def test_an_unknown_ablation_is_refused_with_the_known_ones():
    assert len(ablated_methods(config(ablations=parse_ablations("all")))) == len(ABLATIONS)
    with pytest.raises(CompareError, match=r"'wave' is none of same, .*waves.*, curve, transfer"):
        parse_ablations("wave,curve")


@pytest.mark.parametrize("count", [1, 2, 7, 160])
@pytest.mark.parametrize(
    ("recipe", "share"), [(Recipe(), 0.5), (Recipe(load=0.0), 1.0), (Recipe(free_share=0.0), 0.0)]
)
def test_some_trajectories_are_replayed_without_load_and_none_is_lost(count, recipe, share):
    pipeline = Pipeline(config(), 0)
    replays = pipeline.replays(pipeline.target, dataclasses.replace(recipe, trajectories=count))
    of_load = {
        float(stage.words[stage.words.index("--load.scale") + 1]): number_behind(
            stage, "--episodes"
        )
        for stage in replays
    }
    assert sum(of_load.values()) == count
    assert abs(of_load.get(0.0, 0) - share * count) <= 0.5
    assert min(of_load.values()) >= 1
    assert len({number_behind(stage, "--seed") for stage in replays}) == len(replays)


def test_the_nominal_side_of_a_pair_has_the_same_shares_of_load():
    for row in ABLATIONS:
        made = in_order(row.method.deploy(Pipeline(config(), 0)).stages)
        shares = {
            world: sorted(
                (stage.words[stage.words.index("--load.scale") + 1], number_behind(stage, "--episodes"))
                for stage in made
                if stage.kind == "replays" and world_path(world) in stage.words
            )
            for world in ("nominal", "twin")
        }  # fmt: skip
        assert shares["nominal"] == shares["twin"], row.words


@pytest.mark.parametrize("name", ["sysid_retrain", "uan", "asap"])
def test_another_policy_file_is_retrained_anew(name, tmp_path):
    file = tmp_path / "policy.onnx"
    file.write_bytes(b"one")
    last = [
        METHODS[name].deploy(Pipeline(config(policy=str(file)), 0)).stages[-1].fingerprint
        for text in (b"one", b"one", b"two")
        if file.write_bytes(text)
    ]
    assert last[0] == last[1] != last[2]


@pytest.mark.slow
def test_every_job_understands_its_words():
    """Each stage's words are settings of the job that they name, checked by that job."""
    from dexndm_ros.training.cli import JOBS
    from dexndm_ros.training.simulate.cli import read_config
    from dexndm_ros.training.sysid.cli import _config, _parser

    pipeline = Pipeline(config(ablations=parse_ablations("all")), 0)
    ablated = [row.method.deploy(pipeline).stages for row in ABLATIONS]
    wanted = [stage for name in METHODS for stage in METHODS[name].deploy(pipeline).stages]
    wanted += [stage for found in ablated for stage in found]
    wanted += list(study_stages(pipeline).values())
    seen = set()
    for stage in in_order(wanted):
        module, command, job, *rest = Folder(stage, Path("unused")).command(1)
        assert module == "dexndm_ros.cli"
        seen.add((command, job))
        if command == "train":
            kind, _ = JOBS[job].load()
            made = tyro.cli(kind, args=rest)
            assert made.seed == 0
            assert str(Folder(stage, Path("unused")).out) == made.out
        elif command == "rollouts":
            assert read_config(job, rest).out == Folder(stage, Path("unused")).out
        else:
            arguments = _parser().parse_args([job, *rest])
            assert job == "inverse" or _config(arguments).twin == str(world_path("twin"))
    trained = {("train", job) for job in ("dynamics", "residual", "uan", "asap", "retrain")}
    assert seen == trained | {
        ("rollouts", "policy"),
        ("rollouts", "replay"),
        ("sysid", "fit"),
        ("sysid", "inverse"),
    }


def test_direct_transfer_is_always_among_the_methods():
    assert parse_methods("joint") == ("direct", "joint")
    assert parse_methods("") == tuple(METHODS)
    with pytest.raises(CompareError, match="'magic' is none of direct"):
        parse_methods("magic")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"episodes": 0}, "episodes must be at least 1"),
        ({"wrists": ("palm_sideways",)}, "is none of"),
        ({"axis": "0,0,0"}, "turns nothing"),
        ({"axis": "up"}, "axis 'up'"),
        ({"budget": dataclasses.replace(BUDGETS["small"], epochs=0)}, "epochs must be at least 1"),
    ],
)
def test_settings_that_compare_nothing_are_refused(changes, words):
    with pytest.raises(CompareError, match=words):
        config(**changes)


def test_a_world_without_an_object_is_refused():
    with pytest.raises(CompareError, match="no object to turn"):
        dataclasses.replace(config(), world="free_hand").load_world()
