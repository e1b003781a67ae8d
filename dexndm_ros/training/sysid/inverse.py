# SPDX-License-Identifier: Apache-2.0
"""Inverse compensation: a correction in closed form that makes an identified servo act like the nominal one.

Nothing is learned. For a base target a the nominal servo would give kp_n (a - q) - kd_n qd; the target a' is chosen so
that the identified servo gives the same torque, less its friction, its offset and half its play:

    kp (a' + offset - q) - kd qd - friction s = kp_n (a - q) - kd_n qd,    s = sign of the target's motion,

and half the play is added in the direction of s. Whatever the nominal world has of these itself is left in. A delay is
answered to first order only: a is extrapolated by the target's rate of change. Torque limits, masses, inertia,
softening and heat are not compensated.

The target is held for a whole control period, so q and qd have to be those of that period. With the newest measured
ones the equation overshoots where a servo settles within the period (weak damping or a stiff spring), and the joint
oscillates: docs/sysid.md has numbers. They are therefore the mean of two guesses: the joint goes on as it moved in the
last period, or it moves as the nominal servo would without load, 1 - exp(-T kp_n / kd_n) of the way to its target. The
first counts half, and less where that much feedback of its own motion would swing the joint.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dexndm_ros.hand.joints import (
    CANONICAL_POSE_RAD,
    JOINT_COUNT,
    JOINT_NAMES,
    LOWER_RAD,
    UPPER_RAD,
)
from dexndm_ros.policy.observation import HISTORY_LENGTH, OBSERVATION_SIZE, RESIDUAL_INPUT_SIZE
from dexndm_ros.policy.spec import LARGEST_BOUND_RAD, RATE_HZ, PolicySpec, write_spec
from dexndm_ros.sim.worlds import World
from dexndm_ros.training.export import export_onnx, verify_export
from dexndm_ros.training.progress import commit_id
from dexndm_ros.training.sysid.errors import SysidError

__all__ = ["InverseCompensation", "Servos", "write_inverse"]

Array = NDArray[np.float64]

PERIOD_S = 1.0 / RATE_HZ
SMOOTH_RAD = 0.005
"""Change of a target in one step at which its direction counts for 76 %; slower, and friction and play fade out."""
LARGEST_SHARE = 0.5
"""Of the measured motion in the guess of the coming one."""
LARGEST_FEEDBACK = 0.3
"""Largest part of a period's motion that its measurement may cause in the next; an oscillation lasts from 1 on."""
_PAIR = 2 * JOINT_COUNT


@dataclass(frozen=True)
class Servos:
    """What a world says of its 16 servos, motor order.

    Attributes:
        kp: position gain, N·m/rad.
        kd: damping, the joint's own included, N·m·s/rad.
        friction: dry friction, N·m.
        half_play: half the width of the play, rad.
        offset: added to every target, rad.
        delay: of every target, s.
    """

    kp: Array
    kd: Array
    friction: Array
    half_play: Array
    offset: Array
    delay: Array

    @classmethod
    def of(cls, world: World) -> Servos:
        """Those of a world."""

        def each(value: float | tuple[float, ...]) -> Array:
            return np.broadcast_to(np.asarray(value, dtype=np.float64), JOINT_COUNT)

        gains, hand, gap = world.servo.gains(), world.hand, world.gap
        return cls(
            kp=gains.kp_nm_rad,
            kd=gains.kd_nms_rad + each(hand.joint_damping_nms_rad),
            friction=each(hand.friction_loss_nm) + each(gap.friction_loss_nm),
            half_play=each(gap.backlash_rad) / 2.0,
            offset=each(gap.target_offset_rad),
            delay=each(gap.delay_s),
        )


class InverseCompensation(nn.Module):
    """(B, 343) observation and base target, as a policy file has them, to (B, 16) corrections, rad.

    Linear in the distance to the target, its last change, the last motion and the direction; zero where the
    servos are nominal.

    Args:
        servos: as identified.
        nominal: as the policy knows them.
        bound_rad: largest correction.
    """

    offset: Tensor
    own_offset: Tensor
    own_half_play: Tensor
    lead: Tensor
    reach: Tensor
    rest: Tensor
    spring: Tensor
    damper: Tensor
    direction: Tensor
    share: Tensor

    def __init__(self, servos: Servos, nominal: Servos, bound_rad: float) -> None:
        super().__init__()
        self.bound_rad = bound_rad
        reach = _reach(nominal)
        spring = nominal.kp / servos.kp - 1.0
        damper = (servos.kd - nominal.kd) / servos.kp
        feedback = np.abs(_reach(servos) * (damper / PERIOD_S - spring / 2.0))
        columns = {
            "offset": nominal.offset - servos.offset,
            "own_offset": nominal.offset,
            "own_half_play": nominal.half_play,
            "lead": (servos.delay - nominal.delay) / PERIOD_S,
            "reach": reach,
            "rest": reach * nominal.kd / nominal.kp / PERIOD_S,  # of the way, mean over a period
            "spring": spring,
            "damper": damper,
            "direction": (servos.friction - nominal.friction) / servos.kp
            + servos.half_play
            - nominal.half_play,
            "share": LARGEST_FEEDBACK / np.maximum(feedback, LARGEST_FEEDBACK / LARGEST_SHARE),
        }
        for name, column in columns.items():
            self.register_buffer(name, torch.tensor(column, dtype=torch.float32))

    def forward(self, observation: Tensor) -> Tensor:
        """The corrections."""
        newest = (HISTORY_LENGTH - 1) * _PAIR
        q = observation[:, newest : newest + JOINT_COUNT]
        moved = q - observation[:, newest - _PAIR : newest - JOINT_COUNT]
        target = observation[:, OBSERVATION_SIZE:]
        change = target - observation[:, newest + JOINT_COUNT : newest + _PAIR]
        ahead = self.lead * change
        sign = torch.tanh(change / SMOOTH_RAD)
        way = target + ahead + self.own_offset - self.own_half_play * sign - q
        measured, free = self.share, 1.0 - self.share
        distance = measured * (way - 0.5 * moved) + free * self.rest * way
        velocity = (measured * moved + free * self.reach * way) / PERIOD_S
        correction = (
            ahead
            + self.offset
            + self.spring * distance
            + self.damper * velocity
            + self.direction * sign
        )
        return correction.clamp(-self.bound_rad, self.bound_rad)


def _reach(servos: Servos) -> Array:
    """Share of the way to a target that unloaded servos go in a period, inertia left out, (16,)."""
    with np.errstate(divide="ignore"):  # no damping: the way is gone at once
        share: Array = -np.expm1(-PERIOD_S * servos.kp / servos.kd)
    return share


def write_inverse(world: str, out: Path, nominal: str = "nominal", bound_rad: float = 0.3) -> Path:
    """Write the compensation of a world as a policy file of kind ``residual``.

    Args:
        world: identified world file, or shipped name.
        out: ONNX file to write.
        nominal: world that the base policy was trained in.
        bound_rad: largest correction.

    Raises:
        WorldError: a world cannot be read.
        SysidError: the bound cannot be.
    """
    if not 0.0 < bound_rad <= LARGEST_BOUND_RAD:
        raise SysidError(
            f"bound-rad is {bound_rad:g}; it must be above 0 and at most {LARGEST_BOUND_RAD:g} rad"
        )
    identified, base = World.load(world), World.load(nominal)
    net = InverseCompensation(Servos.of(identified), Servos.of(base), bound_rad)
    partial = out.with_name(out.name + ".new")
    export_onnx(net, partial, "residual")
    probe = np.random.default_rng(0).normal(0.0, 0.3, (256, RESIDUAL_INPUT_SIZE))
    verify_export(net, partial, probe)
    spec = PolicySpec(
        kind="residual",
        joint_names=JOINT_NAMES,
        lower_rad=tuple(LOWER_RAD.tolist()),
        upper_rad=tuple(UPPER_RAD.tolist()),
        default_pose_rad=tuple(CANONICAL_POSE_RAD.tolist()),
        residual_bound_rad=bound_rad,
        trained_on=f"nothing: inverse of the servos of world {identified.name}, for servos of {base.name}",
        commit=commit_id(),
    )
    write_spec(partial, spec)
    partial.replace(out)
    return out
