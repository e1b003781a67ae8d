# SPDX-License-Identifier: Apache-2.0
"""The methods that are compared: for each, the stages that make what it deploys.

To add one, write a function from a pipeline to what is deployed, and give it a name in ``METHODS``. It may use
``pipeline.config.budget.trajectories`` trajectories of each wrist from the target world, and no more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from dexndm_ros.training.compare.config import Recipe
from dexndm_ros.training.compare.errors import CompareError
from dexndm_ros.training.compare.pipeline import Pipeline
from dexndm_ros.training.compare.stages import Made, Stage, Word

__all__ = ["DIRECT", "METHODS", "WAVES", "Deployed", "Method", "parse_methods", "through_dynamics"]

DIRECT = "direct"
WAVES = "waves:sine:2000,square:1000,noise:1000"
"""The paper's base waves."""
_CLI = "dexndm_ros.cli"


@dataclass(frozen=True)
class Deployed:
    """What runs on the hand.

    Attributes:
        policy: file of the policy.
        residual: file of its correction, or None.
        model: stage of the dynamics model behind it, or None.
    """

    policy: Word
    residual: Made | None = None
    model: Stage | None = None

    @property
    def stages(self) -> tuple[Stage, ...]:
        """What has to be done before it can be tested."""
        words = (self.policy, self.residual)
        return tuple(word.stage for word in words if isinstance(word, Made))


@dataclass(frozen=True)
class Method:
    """One row of the table.

    Attributes:
        words: what it is, in a line.
        deploy: from a pipeline to what runs.
    """

    words: str
    deploy: Callable[[Pipeline], Deployed]


def through_dynamics(
    pipeline: Pipeline, structure: str, file: str = "", recipe: Recipe | None = None
) -> Deployed:
    """The base with a residual through a dynamics model, or alone where the residual is refused."""
    recipe = recipe or Recipe()
    return Deployed(
        pipeline.base,
        Made(pipeline.residual(structure, file, recipe), "residual.onnx"),
        pipeline.dynamics(structure, recipe),
    )


def _identified(pipeline: Pipeline) -> Stage:
    """Fitted identification of the free hand; never the true parameters."""
    budget, wrists = pipeline.config.budget, len(pipeline.config.wrists)
    probes = min(budget.trajectories * wrists, budget.probes)
    words: tuple[Word, ...] = (
        _CLI, "sysid", "fit", "--out", "{out}", "--twin", pipeline.target, "--probes", str(max(2, probes)),
        "--clips", str(budget.clips), "--seed", str(pipeline.seed),
    )  # fmt: skip
    return pipeline.stage("sysid", "sysid", words, "world.yaml", 60.0 * budget.clips)


def _inverse(pipeline: Pipeline) -> Deployed:
    words: tuple[Word, ...] = (
        _CLI, "sysid", "inverse", "--world", Made(_identified(pipeline), "world.yaml"), "--out", "{out}/inverse.onnx",
    )  # fmt: skip
    stage = pipeline.stage("inverse", "inverse", words, "inverse.onnx", 5.0, free=())
    return Deployed(pipeline.base, Made(stage, "inverse.onnx"))


def _retrained(pipeline: Pipeline, name: str, *simulator: Word) -> Deployed:
    """The shipped policy after it went on learning in a corrected simulator, on its own."""
    config = pipeline.config
    tasks = ",".join(f"{wrist}:{config.axis}" for wrist in config.wrists)
    steps = config.budget.retrain_steps
    words: tuple[Word, ...] = (
        _CLI, "train", "retrain", "--out", "{out}", *simulator, "--tasks", tasks, "--base", pipeline.base,
        "--oracle-steps", str(steps), "--seed", str(pipeline.seed),
    )  # fmt: skip
    cost_s = len(config.wrists) * steps / 1200 + 600.0
    return Deployed(
        Made(pipeline.stage("retrain", name, words, "policy.onnx", cost_s), "policy.onnx")
    )


def _corrected(pipeline: Pipeline, name: str, recipe: Recipe, *job: str) -> Deployed:
    """A correction of the simulator learned from the free hand, and retraining with it."""
    data = pipeline.replays(pipeline.target, replace(recipe, load=0.0))
    steps = pipeline.config.budget.correction_steps
    words: tuple[Word, ...] = (
        _CLI, "train", *job, "--out", "{out}", "--data", *map(Made, data), "--total-steps", str(steps),
        "--seed", str(pipeline.seed),
    )  # fmt: skip
    correction = pipeline.stage(job[0], name, words, "metrics.json", steps / 700)
    return _retrained(pipeline, f"retrain_{name}", "--correction", Made(correction))


METHODS = {
    DIRECT: Method("the shipped policy as it is", lambda p: Deployed(p.base)),
    "sysid": Method("gains and more identified on the free hand; targets bent by the inverse", _inverse),
    "sysid_retrain": Method(
        "the same identification; the policy retrained in that world",
        lambda p: _retrained(p, "retrain_sysid", "--world", Made(_identified(p), "world.yaml")),
    ),
    "arx": Method("residual through a linear model of each joint", lambda p: through_dynamics(p, "joint", "arx.pt")),
    "hand": Method("residual through one network of the whole hand", lambda p: through_dynamics(p, "hand")),
    "finger": Method("residual through a network of each finger", lambda p: through_dynamics(p, "finger")),
    "joint": Method("residual through a network of each joint (ours)", lambda p: through_dynamics(p, "joint")),
    "uan": Method(
        "actuator network learned from waves of the free hand; the policy retrained with it",
        lambda p: _corrected(p, "uan", Recipe(library=WAVES, sigma_rad=0.0), "uan"),
    ),
    "asap": Method(
        "delta actions learned from replays of the free hand, finger by finger; the policy retrained with them",
        lambda p: _corrected(p, "asap", Recipe(), "asap"),
    ),
    "asap_hand": Method(
        "the same with one network of the whole hand",
        lambda p: _corrected(p, "asap_hand", Recipe(), "asap", "--structure", "hand"),
    ),
}  # fmt: skip
"""By name, in the table's order."""


def parse_methods(text: str) -> tuple[str, ...]:
    """Names from "direct,joint", in the table's order; "" = all. Direct transfer is always among them.

    Raises:
        CompareError: a name that is none.
    """
    names = [word.strip() for word in text.split(",") if word.strip()] or list(METHODS)
    unknown = [name for name in names if name not in METHODS]
    if unknown:
        raise CompareError(f"method {unknown[0]!r} is none of {', '.join(METHODS)}")
    return tuple(name for name in METHODS if name in {DIRECT, *names})
