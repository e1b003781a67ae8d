# SPDX-License-Identifier: Apache-2.0
"""The order of work: pipeline after pipeline, first what is trained, then the tests, then the report anew."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dexndm_ros.sim.worlds import World
from dexndm_ros.training.compare.ablations import Studies, ablated_methods, study_stages
from dexndm_ros.training.compare.config import CompareConfig
from dexndm_ros.training.compare.evaluation import load_episodes
from dexndm_ros.training.compare.methods import METHODS, Deployed, Method
from dexndm_ros.training.compare.pipeline import Pipeline
from dexndm_ros.training.compare.results import NOMINAL, Measured, verdict_of
from dexndm_ros.training.compare.runner import Runner
from dexndm_ros.training.compare.stages import Stage, in_order

__all__ = ["Comparison", "compare"]


@dataclass
class Comparison:
    """All that is known so far.

    Attributes:
        config: settings.
        world: the target.
        methods: by name; ``NOMINAL`` is first and no method.
        ablations: by name.
        studies: data size curves and transfer.
        commits: of the code that the stages behind it were made by.
    """

    config: CompareConfig
    world: World
    methods: dict[str, Measured]
    ablations: dict[str, Measured] = field(default_factory=dict)
    studies: Studies = field(default_factory=Studies)
    commits: set[str] = field(default_factory=set)

    @property
    def failed(self) -> bool:
        """Whether anything that was asked for has no result."""
        measured = [*self.methods.values(), *self.ablations.values()]
        notes = [note for each in measured for note in each.notes.values()]
        return bool(self.studies.failed) or any(note.startswith("failed:") for note in notes)


def compare(
    config: CompareConfig, say: Callable[[str], None], report: Callable[[Comparison], Path]
) -> Comparison:
    """Do all that is not done yet.

    Args:
        config: settings.
        say: takes lines of text.
        report: writes the report; called after every pipeline.

    Raises:
        CompareError: settings that cannot be used. WorldError, PathError: no such world or policy.
    """
    world = config.load_world()
    runner = Runner(config.out / "stages", config.jobs, config.threads, say)
    chosen = {name: METHODS[name] for name in config.methods}
    studied = ablated_methods(config)
    found = Comparison(
        config,
        world,
        {NOMINAL: Measured(NOMINAL, "direct transfer to a hand without a gap")}
        | {name: Measured(name, method.words) for name, method in chosen.items()},
        {name: Measured(name, method.words) for name, method in studied.items()},
    )
    pipelines = [Pipeline(config, seed) for seed in range(config.pipelines)]
    every = [stage for each in pipelines for stage in _all_stages(each, chosen | studied)]
    say(runner.plan(every))

    def tell(label: str) -> None:
        marks = [runner.folder(stage).mark() for stage in in_order(every)]
        found.commits = {mark["commit"] for mark in marks if mark}
        say(f"{label}: {report(found)}")

    for pipeline in pipelines:
        label = f"{world.name}, pipeline {pipeline.seed + 1} of {config.pipelines}"
        _measure(pipeline, runner, chosen, found.methods, label)
        _measure_nominal(pipeline, runner, found.methods[NOMINAL])
        tell(label)
    if config.ablations:
        for pipeline in pipelines:
            label = f"{world.name}, ablations, pipeline {pipeline.seed + 1} of {config.pipelines}"
            _measure(pipeline, runner, studied, found.ablations, label)
            stages = study_stages(pipeline)
            runner.run(list(stages.values()), label)
            found.studies.read(pipeline, stages, runner)
            tell(label)
    return found


def _all_stages(pipeline: Pipeline, methods: Mapping[str, Method]) -> list[Stage]:
    """For the plan: as if nothing were refused."""
    stages = list(study_stages(pipeline).values())
    for method in methods.values():
        deployed = method.deploy(pipeline)
        stages += [*deployed.stages, *_tests(pipeline, deployed)]
    return stages + _nominal_tests(pipeline)


def _tests(pipeline: Pipeline, deployed: Deployed) -> list[Stage]:
    wrists = pipeline.config.wrists
    return [pipeline.evaluation(deployed.policy, deployed.residual, wrist) for wrist in wrists]


def _nominal_tests(pipeline: Pipeline) -> list[Stage]:
    return [
        pipeline.evaluation(pipeline.base, None, wrist, pipeline.nominal)
        for wrist in pipeline.config.wrists
    ]


def _measure(
    pipeline: Pipeline,
    runner: Runner,
    methods: Mapping[str, Method],
    found: Mapping[str, Measured],
    label: str,
) -> None:
    deployed = {name: method.deploy(pipeline) for name, method in methods.items()}
    trained = [stage for each in deployed.values() for stage in each.stages]
    runner.run(trained, f"{label}, training")
    verdicts = {name: verdict_of(runner, each) for name, each in deployed.items()}
    tests = {
        name: _tests(pipeline, verdict.deployed)
        for name, verdict in verdicts.items()
        if not verdict.failed
    }
    runner.run([stage for stages in tests.values() for stage in stages], f"{label}, tests")
    for name, verdict in verdicts.items():
        measured = found[name]
        measured.notes[pipeline.seed] = verdict.note
        if (model := deployed[name].model) is not None and runner.folder(model).done:
            measured.errors[pipeline.seed] = one_step_errors(runner, model)
        if name in tests:
            _read_tests(pipeline, runner, tests[name], measured)


def _measure_nominal(pipeline: Pipeline, runner: Runner, found: Measured) -> None:
    tests = _nominal_tests(pipeline)
    runner.run(tests, "direct transfer in the nominal world")
    _read_tests(pipeline, runner, tests, found)


def _read_tests(pipeline: Pipeline, runner: Runner, tests: list[Stage], found: Measured) -> None:
    reasons = [reason for stage in tests if (reason := runner.failure(stage))]
    if reasons:
        found.notes[pipeline.seed] = f"failed: {reasons[0]}"
        return
    found.episodes[pipeline.seed] = [
        load_episodes(runner.folder(stage).out / stage.product) for stage in tests
    ]


def one_step_errors(runner: Runner, model: Stage) -> dict[str, dict[str, float]]:
    """Of a dynamics run, mrad: {"validation": {model: error}, "task": {model: error}}."""
    metrics = json.loads((runner.folder(model).out / "metrics.json").read_text(encoding="utf-8"))
    names = {name: "validation" if name == "validation" else "task" for name in metrics["rms_mrad"]}
    return {words: dict(metrics["rms_mrad"][name]) for name, words in names.items()}
