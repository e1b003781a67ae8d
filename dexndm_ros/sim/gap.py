# SPDX-License-Identifier: Apache-2.0
"""What real servos do that a spring, a damper and a torque limit cannot say: the gap between two worlds.

A target goes through the joint's play (backlash), arrives late, and stands off by a constant. The torque that
answers it comes from a spring that softens under load, within a limit that falls as the motor warms up. Training,
evaluation and the virtual hand all go through `ServoGap`; friction and masses are the model's (`hand_model`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.hand.description import LINKS
from dexndm_ros.hand.joints import JOINT_COUNT

__all__ = ["GapConfig", "GapError", "ServoGap"]

Array = NDArray[np.float64]
_TINY_NM = 1e-9
"""Stands for a torque limit of zero in a quotient."""


class GapError(ValueError):
    """A gap that cannot be; the message names the key and what is allowed."""


@dataclass(frozen=True)
class GapConfig:
    """How far a world's hand is from nominal, beyond its gains. The defaults are no gap at all.

    Attributes:
        target_offset_rad: added to every target, one number or 16 in motor order (a horn or zero set wrongly).
        backlash_rad: whole width of the play: after a reversal the target moves this far before the joint is
            asked to follow; one number or 16.
        delay_s: time from a command to the servo's answer, one for the hand. Parts of a physics step count:
            the target of that step is the mean of old and new, weighted by their time.
        friction_loss_nm: dry friction on top of ``hand.friction_loss_nm``, one number or 16.
        load_gain: softening of the servo's spring under load, one number or 16: a spring torque of s times the
            torque limit becomes s / (1 + load_gain s).
        torque_loss: share of the torque limit that a motor loses when it has worked at its limit for long, one
            number or 16; it loses in proportion to the running mean of (torque / limit)^2.
        heat_time_s: time constant of that mean.
        link_mass_scale: true over nominal mass (and inertia) of the 17 links, in the order of the link table.
    """

    target_offset_rad: float | tuple[float, ...] = 0.0
    backlash_rad: float | tuple[float, ...] = 0.0
    delay_s: float = 0.0
    friction_loss_nm: float | tuple[float, ...] = 0.0
    load_gain: float | tuple[float, ...] = 0.0
    torque_loss: float | tuple[float, ...] = 0.0
    heat_time_s: float = 10.0
    link_mass_scale: tuple[float, ...] = (1.0,) * len(LINKS)

    def check(self) -> None:
        """Refuse what cannot be.

        Raises:
            GapError: names the key and what is allowed.
        """
        ranges = {
            "target_offset_rad": (self.target_offset_rad, -0.5, 0.5),
            "backlash_rad": (self.backlash_rad, 0.0, 0.3),
            "delay_s": (self.delay_s, 0.0, 0.5),
            "friction_loss_nm": (self.friction_loss_nm, 0.0, 0.5),
            "load_gain": (self.load_gain, 0.0, 10.0),
            "torque_loss": (self.torque_loss, 0.0, 0.9),
            "heat_time_s": (self.heat_time_s, 0.1, 3600.0),
            "link_mass_scale": (self.link_mass_scale, 0.05, 20.0),
        }
        for key, (value, least, most) in ranges.items():
            if not (np.min(value) >= least and np.max(value) <= most):
                raise GapError(f"gap.{key}: {value} is not within {least:g} .. {most:g}")

    @property
    def bends_targets(self) -> bool:
        """Targets do not reach the servo as they were commanded."""
        return bool(self.delay_s or np.any(self.backlash_rad) or np.any(self.target_offset_rad))

    @property
    def bends_torque(self) -> bool:
        """The servo is not a spring, a damper and a fixed limit."""
        return bool(np.any(self.load_gain) or np.any(self.torque_loss))


class ServoGap:
    """The gaps of N hands, with what they remember: play, commands under way, warmth.

    In every physics step: `commands` says what target is in force; `control` and `limit` say what to hand to a
    plain position servo (torque = clip(kp (control - q) - kd qd, +-limit)) so that it exerts the torque of this one.

    Args:
        gaps: one a hand.
        time_step_s: physics step.
        q: where the hands stand, (N, 16) rad; also what they hold.
    """

    def __init__(self, gaps: Sequence[GapConfig], time_step_s: float, q: Array) -> None:
        def column(name: str) -> Array:
            return np.array([np.broadcast_to(getattr(g, name), JOINT_COUNT) for g in gaps])

        self._offset = column("target_offset_rad")
        self._half_play = column("backlash_rad") / 2.0
        self._load_gain = column("load_gain")
        self._torque_loss = column("torque_loss")
        self._step_s = time_step_s
        warming = np.array([g.heat_time_s for g in gaps])[:, None]
        self._heat_rate = -np.expm1(-time_step_s / warming)
        steps = np.array([g.delay_s for g in gaps]) / time_step_s
        self._whole = np.floor(steps + 1e-9).astype(np.intp)
        self._part = np.maximum(steps - self._whole, 0.0)[:, None, None]
        self._depth = int(self._whole.max(initial=0)) + 1
        self._rows = np.arange(len(gaps))[:, None]
        self._softens = self._load_gain > 0.0
        self.bends_targets = any(g.bends_targets for g in gaps)
        self.bends_torque = any(g.bends_torque for g in gaps)
        self._played = q.copy()
        self._under_way = np.repeat(q[:, None], self._depth, axis=1)
        self._in_force = q + self._offset
        self._heat = np.zeros_like(q)

    @property
    def any(self) -> bool:
        """Some hand has a gap that acts here."""
        return self.bends_targets or self.bends_torque

    def reset(self, rows: NDArray[np.intp], target: Array) -> None:
        """Hands that have held a target for long, with cool motors.

        Args:
            rows: which, (n,).
            target: what they hold, (n, 16) rad.
        """
        self._played[rows] = target
        self._under_way[rows] = target[:, None]
        self._in_force[rows] = target + self._offset[rows]
        self._heat[rows] = 0.0

    def memory(self) -> dict[str, Array]:
        """What the hands remember, copied; rows (N, ...) by name."""
        return {
            "played": self._played.copy(),
            "under_way": self._under_way.copy(),
            "in_force": self._in_force.copy(),
            "heat": self._heat.copy(),
        }

    def recall(self, memory: dict[str, Array]) -> None:
        """Go on from a `memory`; of commands under way, the newest that these hands wait for."""
        self._played = memory["played"].copy()
        self._under_way = memory["under_way"][:, -self._depth :].copy()
        self._in_force = memory["in_force"].copy()
        self._heat = memory["heat"].copy()

    def copy_memory(self, rows: NDArray[np.intp], source: ServoGap, of: NDArray[np.intp]) -> None:
        """Remember what hands of other gaps remember.

        Commands under way are looked up by their age, so that the physics steps may differ in length.

        Args:
            rows: which hands, (n,).
            source: the other gaps.
            of: their hands, one for each row, (n,).
        """
        self._played[rows] = source._played[of]
        self._heat[rows] = source._heat[of]
        self._in_force[rows] = source._in_force[of]
        age_s = (np.arange(self._depth)[::-1] + 0.5) * self._step_s
        slot = source._depth - 1 - np.floor(age_s / source._step_s).astype(np.intp)
        self._under_way[rows] = source._under_way[of][:, np.maximum(slot, 0)]

    def commands(self, target: Array, steps: int) -> Array:
        """Targets in force while one is commanded for some physics steps.

        Args:
            target: commanded, (N, 16) rad.
            steps: physics steps, S.

        Returns:
            (N, S, 16) rad.
        """
        # Play does not mind when things happen, so it can come before the delay, once a command.
        self._played = np.clip(self._played, target - self._half_play, target + self._half_play)
        now = np.broadcast_to(self._played[:, None], (len(target), steps, JOINT_COUNT))
        line = np.concatenate([self._under_way, now], axis=1)
        self._under_way = line[:, steps:]
        slot = self._depth + np.arange(steps) - self._whole[:, None]
        late = line[self._rows, slot]
        if self._part.any():
            late = late + self._part * (line[self._rows, slot - 1] - late)
        late = late + self._offset[:, None]
        self._in_force = late[:, -1]
        return late

    def control(
        self, target: Array, q: Array, qd: Array, kp: Array, kd: Array, cool: Array
    ) -> Array:
        """What to hand to plain servos for one physics step; the motors warm up by it.

        Args:
            target: in force, (N, 16) rad.
            q: joint angles, (N, 16) rad.
            qd: joint velocities, (N, 16) rad/s.
            kp: position gains, (N, 16) N·m/rad; a servo with 0 (switched off) is left alone and cools down.
            kd: damping gains, (N, 16) N·m·s/rad.
            cool: torque limits of cool motors, (N, 16) N·m.

        Returns:
            control, (N, 16) rad.
        """
        on = kp > 0.0
        spring = self._spring(target, q, kp, cool)
        limit = self.limit(cool)
        load = np.clip(spring - kd * qd, -limit, limit) / np.maximum(cool, _TINY_NM)
        self._heat += self._heat_rate * (np.where(on, load**2, 0.0) - self._heat)
        return np.where(self._softens & on, q + spring / np.where(on, kp, 1.0), target)

    def limit(self, cool: Array) -> Array:
        """Torque limits (N, 16) N·m of the motors as warm as they are; ``cool`` are those of cool ones."""
        return cool * (1.0 - self._torque_loss * self._heat)

    def torque(self, q: Array, qd: Array, kp: Array, kd: Array, cool: Array) -> Array:
        """Torques (N, 16) N·m that the targets in force give; arguments as of `control`."""
        limit = self.limit(cool)
        return np.clip(self._spring(self._in_force, q, kp, cool) - kd * qd, -limit, limit)

    def heat(self) -> Array:
        """Running mean of (torque / cool limit)^2, a copy, (N, 16)."""
        return self._heat.copy()

    def _spring(self, target: Array, q: Array, kp: Array, cool: Array) -> Array:
        spring = kp * (target - q)
        return spring / (1.0 + self._load_gain * np.abs(spring) / np.maximum(cool, _TINY_NM))
