# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from dexndm_ros.cli import COMMANDS
from dexndm_ros.loop.settings import SIZES, Settings, halves
from dexndm_ros.loop.stages import CHOSEN, INVERSE, RESIDUAL, STAGES, WRISTS, Step, plan

OUT = Path("/data/loop")


def steps(**changes) -> dict[str, Step]:
    return {step.name: step for step in plan(Settings(OUT, **changes))}


def value(words: tuple[str, ...], flag: str) -> str:
    return words[words.index(flag) + 1]


@pytest.mark.parametrize("size", SIZES)
def test_every_stage_has_steps_and_they_come_in_order(size: str) -> None:
    stages = [step.stage for step in plan(Settings(OUT, size=size))]
    assert stages == sorted(stages)
    assert set(stages) == set(range(1, len(STAGES) + 1))


def test_names_are_unique_and_every_need_comes_before() -> None:
    seen: set[str] = set()
    for step in plan(Settings(OUT)):
        assert step.name not in seen
        assert set(step.needs) <= seen, step.name
        seen.add(step.name)


def test_whatever_a_step_reads_below_the_folder_was_made_by_one_of_its_needs() -> None:
    made = {step.name: step for step in plan(Settings(OUT))}
    for step in made.values():
        below = [made[need] for need in step.needs]
        folders = [value(b.commands[0], "--out") for b in below if "--out" in b.commands[0]]
        folders += [str(OUT / "chaos_box")] * step.name.startswith("convert")
        own = str(step.makes)
        for word in step.commands[0]:
            if word.startswith(f"{OUT}/") and word != own and not own.startswith(f"{word}/"):
                assert any(word.startswith(folder) for folder in folders), (step.name, word)


def test_commands_are_those_of_the_package() -> None:
    known = {command.name for command in COMMANDS}
    assert {words[0] for step in plan(Settings(OUT)) for words in step.commands} <= known


def test_a_machine_that_does_not_keep_up_collects_slower_into_the_same_campaign() -> None:
    first, *others = steps()["collect_palm_up_free"].commands
    speeds = [float(value(words, "--speed")) for words in (first, *others)]
    assert speeds == sorted(speeds, reverse=True) and min(speeds) <= 1.0
    assert {words[: words.index("--speed")] for words in others} == {
        first[: first.index("--speed")]
    }


@pytest.mark.parametrize(("half", "load"), [("loaded", "full"), ("free", "free")])
def test_the_nominal_night_is_the_campaigns_of_the_chaos_box(half: str, load: str) -> None:
    """Same wrists, count, load and seed: `dexndm rollouts replay` then plays the very same targets."""
    made = steps(seed=7)
    (night,) = made[f"nominal_night_{half}"].commands
    for wrist in WRISTS:
        collect = made[f"collect_{wrist}_{half}"].commands[0]
        assert value(collect, "--campaign") == wrist
        assert value(collect, "--trajectories") == value(night, "--episodes")
        assert value(collect, "--seed") == value(night, "--seed")
        assert value(collect, "--load") == load
    assert value(night, "--world") == "nominal"
    given = ("--box", load) if half == "loaded" else ("--load.scale", "0")
    assert night[-2:] == given and ("--box" in night) == (half == "loaded")


def test_half_of_all_that_is_replayed_is_that_of_a_free_hand() -> None:
    made = steps()
    loaded, free = (made[f"replays_{half}"].commands[0] for half in ("loaded", "free"))
    assert value(loaded, "--episodes") == value(free, "--episodes")
    assert "--load.scale" not in loaded and value(free, "--load.scale") == "0"
    night, pretrained, nominal = (
        made[name].commands[0] for name in ("convert", "pretrained", "nominal")
    )
    for half in ("loaded", "free"):
        assert all(str(OUT / "chaos_box" / f"{wrist}_{half}") in night for wrist in WRISTS)
        assert str(OUT / f"replays_{half}") in pretrained
        assert str(OUT / f"nominal_night_{half}") in nominal


def test_the_halves_play_other_trajectories_whose_targets_follow_from_the_seed() -> None:
    seeds = [half.seed for number in (1, 2) for half in halves(Settings(OUT, seed=number))]
    assert seeds[0] == 1 and len(set(seeds)) == 4


def test_the_world_is_that_of_the_hand_only() -> None:
    made = steps(world="unmodelled")
    elsewhere = ("rollouts", "replays_", "nominal_night_", "sysid", "evaluate_nominal")
    for name, step in made.items():
        words = step.commands[0]
        for flag in ("--world", "--select.world"):
            if flag in words:
                nominal = name.startswith(elsewhere)
                assert value(words, flag) == ("nominal" if nominal else "unmodelled")


def test_the_hand_is_identified_from_its_free_half_alone() -> None:
    made = steps(seed=5)
    (convert,), (fit,) = made["convert_free"].commands, made["sysid"].commands
    campaigns = [str(OUT / "chaos_box" / f"{wrist}_free") for wrist in WRISTS]
    assert list(convert[1 : convert.index("--out")]) == campaigns
    assert value(fit, "--data") == value(convert, "--out") and "--twin" not in fit
    assert value(fit, "--seed") == "5"
    assert value(made["export_inverse"].commands[0], "--run") == value(fit, "--out")


def test_nothing_but_rollouts_and_the_hand_itself_knows_the_world() -> None:
    """Identification, dynamics and inverse see the hand's data only."""
    knows = {name for name, step in steps(world="gains").items() if "gains" in step.commands[0]}
    collects = {f"collect_{wrist}_{half}" for wrist in WRISTS for half in ("loaded", "free")}
    evaluates = {f"evaluate_{kind}" for kind in ("direct", "inverse", "residual")}
    assert knows == {"task", *collects, "residual", "choose", *evaluates}


def test_the_choice_is_between_what_is_evaluated_and_where_it_is_evaluated() -> None:
    made = steps(world="gains")
    (choose,) = made["choose"].commands
    first = choose.index("--residuals") + 1
    assert choose[first : first + 2] == (str(OUT / INVERSE), str(OUT / RESIDUAL))
    (direct,) = made["evaluate_direct"].commands
    for flag in ("--world", "--wrist", "--policy"):
        assert value(choose, flag) == value(direct, flag)
    assert "--axis=+z" in choose and "--axis=+z" in direct
    assert value(choose, "--out") == str(OUT / CHOSEN)


@pytest.mark.parametrize(("kind", "file"), [("inverse", INVERSE), ("residual", RESIDUAL)])
def test_direct_and_corrected_are_measured_alike(kind: str, file: Path) -> None:
    made = steps()
    (direct,), (corrected,) = (made[f"evaluate_{each}"].commands for each in ("direct", kind))
    assert corrected[: len(direct) - 1] == direct[:-1]  # all but the report's file
    assert corrected[len(direct) :] == ("--residual", str(OUT / file))
    assert made[f"evaluate_{kind}"].needs == (f"export_{kind}",)


def test_a_refused_residual_is_the_only_thing_not_evaluated() -> None:
    assert [step.name for step in steps().values() if step.with_residual] == ["evaluate_residual"]


def test_every_policy_file_has_a_folder_for_its_card() -> None:
    assert len({file.parent for file in (INVERSE, RESIDUAL, CHOSEN)}) == 3
