# SPDX-License-Identifier: Apache-2.0
"""What is asked of ``dexndm train residual``."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Literal

from dexndm_ros.policy.spec import LARGEST_BOUND_RAD
from dexndm_ros.training.residual.errors import ResidualError

__all__ = ["LOSSES", "GateConfig", "Loss", "ResidualConfig", "SelectConfig", "check_config"]


@dataclass(frozen=True)
class Loss:
    """What a residual is asked for: that the dynamics model moves as something else does.

    Attributes:
        steps: ticks that are predicted, each from the prediction before it; a delay of whole ticks needs more than one.
        whole_window: correct all targets of the window (paper, section 3.3), not only the newest ones.
        nominal: compare with the nominal world's model under the base targets; otherwise with the angles of the
            rollout itself (paper). The error that neither model can help, such as that of contact, then cancels.
        alone: both models follow the targets from the begin of the stretch on, as a hand that touches nothing; the
            rollout's angles, and the contact in them, are not looked at, nor are ``steps`` and ``whole_window``.
    """

    steps: int = 1
    whole_window: bool = False
    nominal: bool = False
    alone: bool = False


LOSSES = {
    "paired": Loss(nominal=True),
    "last": Loss(),
    "window": Loss(whole_window=True),
    "window_paired": Loss(whole_window=True, nominal=True),
    "steps": Loss(steps=4, nominal=True),
    "steps_window": Loss(steps=10, whole_window=True, nominal=True),
    "alone": Loss(nominal=True, alone=True),
}
"""Losses by name; ``window`` is the paper's."""


@dataclass(frozen=True)
class GateConfig:
    """When a residual is not to be deployed.

    Attributes:
        least_response: rad a rad; by how much the model's next angles must follow a change of the newest target, in
            the mean over the joints. Below it the residual pushes at what does not move. Where rollouts choose, a loss
            over several ticks may take them all for that.
        most_at_bound: largest share of ticks and joints in which the residual stands at its bound.
    """

    least_response: float = 0.1
    most_at_bound: float = 0.5


@dataclass(frozen=True)
class SelectConfig:
    """Choice between the losses by rollouts, on objects and grasps that no test uses.

    All candidates turn a quarter of the objects; the best three, and the base alone, turn all of them.

    Attributes:
        world: world file or name that stands for the hand; "" = no choice: the first loss, if it passes the gate.
        strengths: each loss is tried with these shares of what varies in its residual; 0 leaves each joint's mean.
        wrist: wrist orientations, comma separated.
        axis: rotation axes, comma separated.
        episodes: of each wrist and axis, the same ones for every candidate.
        physics: preset.
        least_gain: the residual must turn so many times as far as the base alone, or the base runs alone.
    """

    world: str = ""
    strengths: tuple[float, ...] = (1.0, 0.3, 0.0)
    wrist: str = "palm_up,palm_down"
    axis: str = "+z"
    episodes: int = 64
    physics: str = "ref"
    least_gain: float = 1.02


@dataclass(frozen=True)
class ResidualConfig:
    """One residual run.

    Attributes:
        out: run folder.
        data: datasets with rollouts of the base policy in the nominal world.
        dynamics: run folders or model files of the hand's dynamics; more than one = an ensemble.
        nominal: the same of the nominal world, made by the same protocol; needed by paired losses. One model is
            enough; with as many as ``dynamics`` each is paired with its own.
        losses: which to train, by name; the first is the one where nothing chooses.
        base: the policy that is corrected: file or shipped name.
        bound_rad: largest correction.
        structure: one network for each joint, which sees that joint's targets, or its angles too, or one for the hand
            that sees everything (paper).
        width: of the hidden layers.
        layers: hidden layers.
        epochs: times all rollouts are seen.
        segments: stretches of a rollout in a gradient step.
        segment: ticks of a stretch.
        learning_rate: of Adam at the begin; falls to zero as a cosine.
        smoothness: weight of the squared change of the residual from tick to tick, in units of its bound.
        size: weight of the squared residual, in units of its bound.
        disagreement: weight of the variance between an ensemble's predictions.
        gate: of the deployment.
        select: between the losses.
        seed: of weights and of the order of the data.
        threads: of the training; 0 = all.
    """

    out: str = "runs/residual"
    data: tuple[str, ...] = ()
    dynamics: tuple[str, ...] = ()
    nominal: tuple[str, ...] = ()
    losses: tuple[str, ...] = ("steps_window", "alone", "paired", "last", "window")
    base: str = "cylinder_z"
    bound_rad: float = 0.1
    structure: Literal["targets", "joint", "hand"] = "targets"
    width: int = 32
    layers: int = 2
    epochs: int = 4
    segments: int = 128
    segment: int = 40
    learning_rate: float = 1e-3
    smoothness: float = 0.3
    size: float = 0.002
    disagreement: float = 1.0
    gate: GateConfig = field(default_factory=GateConfig)
    select: SelectConfig = field(default_factory=SelectConfig)
    seed: int = 0
    threads: int = 0

    @property
    def torch_threads(self) -> int:
        """How many."""
        return self.threads or len(os.sched_getaffinity(0))


def check_config(config: ResidualConfig) -> None:
    """Refuse what no run can use.

    Raises:
        ResidualError: names the setting, what it is and what is allowed.
    """
    for name, made_by in (
        ("data", "dexndm rollouts policy"),
        ("dynamics", "dexndm train dynamics"),
    ):
        if not getattr(config, name):
            raise ResidualError(
                f"{name} is empty; give a folder that {made_by} made: --{name} FOLDER"
            )
    unknown = [name for name in config.losses if name not in LOSSES]
    if unknown or not config.losses:
        raise ResidualError(
            f"losses is {' '.join(config.losses) or 'empty'}; give some of {', '.join(LOSSES)}"
        )
    needs = [name for name in config.losses if LOSSES[name].nominal]
    if needs and not config.nominal:
        raise ResidualError(
            f"the loss {needs[0]} compares with the nominal world's dynamics: train one on replays of that world and "
            "give --nominal RUN, or leave the loss out"
        )
    if len(config.nominal) not in (0, 1, len(config.dynamics)):
        raise ResidualError(
            f"{len(config.nominal)} nominal models for {len(config.dynamics)}: give one, or one for each"
        )
    for name in ("bound_rad", "learning_rate"):
        if not getattr(config, name) > 0:
            raise ResidualError(f"{name} is {getattr(config, name)}; it must be above 0")
    if config.bound_rad > LARGEST_BOUND_RAD:
        raise ResidualError(
            f"bound_rad is {config.bound_rad}; no policy file may have more than {LARGEST_BOUND_RAD}"
        )
    for name in ("width", "layers", "epochs", "segments", "select.episodes"):
        value = config.select.episodes if "." in name else getattr(config, name)
        if value < 1:
            raise ResidualError(f"{name} is {value}; it must be 1 or more")
    if not config.select.strengths or not all(0 <= s <= 1 for s in config.select.strengths):
        raise ResidualError(
            f"select.strengths is {config.select.strengths}; give numbers from 0 to 1"
        )
