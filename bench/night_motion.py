# SPDX-License-Identifier: Apache-2.0
"""What hand, driver and replay do in a trajectory, as numbers: no physics, but times and lags like the real ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter, lfilter_zi

from dexndm_ros.hand.joints import JOINT_COUNT, LOWER_RAD, UPPER_RAD
from dexndm_ros.hand.units import rad_from_ticks, ticks_from_rad

__all__ = ["TICK_NS", "Commands", "States", "commands", "response", "states"]

TICK_NS = 50_000_000
_TRAVEL_NS = 400_000
_READ_NS = 700_000
_DECIDE_NS = 1_500_000
_RISE_RAD_S = 25.0
_VELOCITY_UNIT_RAD_S = 4 * 0.229 * 2 * np.pi / 60
_CURRENT_LIMIT_A = 0.5
_MAX_STEP_RAD = 0.15

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass
class Commands:
    """Commands of a bag, in the order of their ticks.

    Attributes:
        seq: HandCommand.seq, (n,).
        sent_ns: monotonic, (n,).
        arrived_ns: at the driver, monotonic, (n,).
        target_rad: (n, 16).
        step: of the trajectory; -1 = before or after it.
    """

    seq: Ints
    sent_ns: Ints
    arrived_ns: Ints
    target_rad: Floats
    step: Ints


@dataclass
class States:
    """States of a bag, one a bus cycle.

    Attributes:
        seq: HandState.seq, (n,).
        read_ns: midpoint of the read, monotonic.
        decided_ns: when the guard decided on what is in force at the read, monotonic.
        published_ns: monotonic.
        in_force: index into the commands; 0 = the first of them or an earlier one.
        position_rad: (n, 16); velocity_rad_s, current_a, command_rad likewise.
    """

    seq: Ints
    read_ns: Ints
    decided_ns: Ints
    published_ns: Ints
    in_force: Ints
    position_rad: Floats
    velocity_rad_s: Floats
    current_a: Floats
    command_rad: Floats


def commands(
    rng: np.random.Generator,
    begin_ns: int,
    first_seq: int,
    target_rad: Floats,
    first_step: int,
    steps: int,
) -> Commands:
    """Twenty a second, microseconds off their deadlines.

    Args:
        rng: of the jitter.
        begin_ns: of the first, monotonic.
        first_seq: its number.
        target_rad: (n, 16).
        first_step: which of them is step 0.
        steps: how many steps there are.
    """  # fmt: skip
    count = len(target_rad)
    if (np.abs(np.diff(target_rad, axis=0)) > _MAX_STEP_RAD).any():
        raise ValueError("the guard would limit a command: choose a smaller noise sigma")
    sent_ns = begin_ns + np.arange(count) * TICK_NS + rng.exponential(40e3, count).astype(np.int64)
    arrived_ns = sent_ns + _TRAVEL_NS + rng.exponential(50e3, count).astype(np.int64)
    step = np.arange(count) - first_step
    step[(step < 0) | (step >= steps)] = -1
    return Commands(first_seq + np.arange(count), sent_ns, arrived_ns, target_rad, step)


def states(
    rng: np.random.Generator, sent: Commands, state_hz: float, first_ns: int, last_ns: int
) -> States:
    """Bus cycles between two times, with what was in force and how the joints followed.

    Args:
        rng: of jitter and sensor noise.
        sent: the commands; the first is in force from the beginning.
        state_hz: cycles a second; their slots lie on one grid for the whole night.
        first_ns: monotonic.
        last_ns: monotonic.
    """
    period_ns = round(1e9 / state_hz)
    seq = np.arange(-(-first_ns // period_ns), last_ns // period_ns, dtype=np.int64)
    begin_ns = seq * period_ns + rng.exponential(30e3, len(seq)).astype(np.int64)
    slow_ns = rng.exponential(40e3, len(seq)).astype(np.int64)
    read_ns = begin_ns + _READ_NS + slow_ns // 2
    decided_ns = begin_ns + _DECIDE_NS + slow_ns
    before_ns = np.concatenate([[decided_ns[0] - period_ns], decided_ns[:-1]])
    in_force = np.maximum(np.searchsorted(sent.arrived_ns, before_ns, side="right") - 1, 0)
    command = sent.target_rad[in_force]
    position, velocity, current = response(rng, command, state_hz)
    published_ns = decided_ns + 300_000
    return States(
        seq, read_ns, before_ns, published_ns, in_force, position, velocity, current, command
    )


def response(
    rng: np.random.Generator, command_rad: Floats, rate_hz: float
) -> tuple[Floats, Floats, Floats]:
    """Angles, velocities and currents of joints that follow a command, (n, 16) each, as their motors tell them.

    A critically damped second order, a steady error of each joint, and the sensors' steps.
    """
    decay = float(np.exp(-_RISE_RAD_S / rate_hz))
    gain, poles = [(1 - decay) ** 2], [1.0, -2 * decay, decay * decay]
    rest = lfilter_zi(gain, poles)[:, None] * command_rad[0]
    followed, _ = lfilter(gain, poles, command_rad, axis=0, zi=rest)
    joints = np.arange(JOINT_COUNT)
    angle = np.clip(followed * (1.0 - 0.002 * (joints % 5)) + 0.004 * np.sin(joints), LOWER_RAD, UPPER_RAD)  # fmt: skip
    measured = rad_from_ticks(ticks_from_rad(angle + rng.normal(0.0, 4e-4, angle.shape)))
    speed = np.gradient(angle, 1.0 / rate_hz, axis=0)
    speed = (
        np.rint(speed / _VELOCITY_UNIT_RAD_S + rng.normal(0, 0.3, speed.shape))
        * _VELOCITY_UNIT_RAD_S
    )
    current = np.clip(0.9 * (command_rad - angle) + rng.normal(0, 0.006, angle.shape), -0.45, 0.45)
    return measured, speed, np.round(np.clip(current, -_CURRENT_LIMIT_A, _CURRENT_LIMIT_A), 3)
