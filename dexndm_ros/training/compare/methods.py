# SPDX-License-Identifier: Apache-2.0
"""The methods that are compared: for each, the stages that make what it deploys.

To add one, write a function from a pipeline to what is deployed, and give it a name in ``METHODS``. It may use
``pipeline.config.budget.trajectories`` trajectories of each wrist from the target world, and no more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dexndm_ros.training.compare.config import Recipe
from dexndm_ros.training.compare.errors import CompareError
from dexndm_ros.training.compare.pipeline import Pipeline
from dexndm_ros.training.compare.stages import Made, Stage, Word

__all__ = ["DIRECT", "METHODS", "Deployed", "Method", "parse_methods", "through_dynamics"]

DIRECT = "direct"
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
    stage = pipeline.stage("inverse", "inverse", words, "inverse.onnx", 5.0)
    return Deployed(pipeline.base, Made(stage, "inverse.onnx"))


METHODS = {
    DIRECT: Method("the shipped policy as it is", lambda p: Deployed(p.base)),
    "sysid": Method("gains and more identified on the free hand; targets bent by the inverse", _inverse),
    "arx": Method("residual through a linear model of each joint", lambda p: through_dynamics(p, "joint", "arx.pt")),
    "hand": Method("residual through one network of the whole hand", lambda p: through_dynamics(p, "hand")),
    "finger": Method("residual through a network of each finger", lambda p: through_dynamics(p, "finger")),
    "joint": Method("residual through a network of each joint (ours)", lambda p: through_dynamics(p, "joint")),
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
