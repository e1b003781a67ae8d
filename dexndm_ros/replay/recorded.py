# SPDX-License-Identifier: Apache-2.0
"""Whether a bag holds the replay of one row of the plan: every step, every target to the last bit, every command."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.recording.read import decoder, messages
from dexndm_ros.replay.ledger_rows import Claim

__all__ = ["COMMAND_TOPIC", "STATE_TOPIC", "STEP_TOPIC", "check_replay", "is_topic"]

STEP_TOPIC = "replay/step"
COMMAND_TOPIC = "hand/command"
STATE_TOPIC = "hand/state"
_UNSEEN = 20
"""Commands of a trajectory that no state need show in force: a cycle without a whole read says nothing, and one
that came late was followed by the next before a motor was told. The states say which targets were in force."""

Vector = NDArray[np.float64]


def is_topic(name: str, topic: str) -> bool:
    """Whether a full topic name is one of ours, in whatever namespace."""
    return name == topic or name.endswith("/" + topic)


def check_replay(
    bag: Path, campaign: str, claim: Claim, clean_rad: Vector, noise_rad: Vector, target_rad: Vector
) -> list[str]:
    """What is wrong with the replay in a bag; [] = nothing.

    Args:
        bag: its folder.
        campaign: the campaign's name.
        claim: the attempt it records.
        clean_rad: targets of the library, (steps, 16).
        noise_rad: what the seed gives, (steps, 16).
        target_rad: what must have been sent, (steps, 16).

    Raises:
        BagError: the bag cannot be read.
    """
    steps, positions, in_force = _read(bag)
    wrong = [*_order(steps, len(target_rad)), *_identity(steps, campaign, claim)]
    wanted = {"clean_target": clean_rad, "noise": noise_rad, "target": target_rad}
    for step in steps[: len(target_rad)]:
        for field, values in wanted.items():
            if step.step < len(values) and not _same(getattr(step, field), values[step.step]):
                wrong.append(f"step {step.step}: {field} is not what library and seed give")
    wrong += _commands(steps, positions, in_force)
    return wrong


def _read(bag: Path) -> tuple[list[Any], dict[int, list[Vector]], set[int]]:
    """Steps in the order of the file, positions commanded by number, numbers of commands seen in force."""
    decode = decoder(bag)
    steps: list[Any] = []
    positions: dict[int, list[Vector]] = {}
    in_force: set[int] = set()
    for message in messages(bag):
        if is_topic(message.topic, STEP_TOPIC):
            steps.append(decode(message.type, message.data))
        elif is_topic(message.topic, COMMAND_TOPIC):
            command = decode(message.type, message.data)
            positions.setdefault(int(command.seq), []).append(command.position)
        elif is_topic(message.topic, STATE_TOPIC):
            state = decode(message.type, message.data)
            if state.command_source:
                in_force.add(int(state.command_seq))
    return steps, positions, in_force


def _order(steps: list[Any], count: int) -> Iterator[str]:
    numbers = [int(step.step) for step in steps]
    if numbers != list(range(count)):
        odd = next((k for k, n in enumerate(numbers) if n != k), len(numbers))
        yield f"{len(numbers)} steps instead of 0..{count - 1}; the first that is missing or out of order: {odd}"
    stamps = [step.header.stamp.sec * 10**9 + step.header.stamp.nanosec for step in steps]
    back = next((k for k in range(1, len(stamps)) if stamps[k] <= stamps[k - 1]), None)
    if back is not None:
        yield f"step {back} is stamped no later than the one before it"


def _identity(steps: list[Any], campaign: str, claim: Claim) -> Iterator[str]:
    wanted = {
        "campaign": campaign,
        "trajectory": claim.trajectory,
        "entry": claim.entry,
        "attempt": claim.attempt,
        "seed": claim.seed,
    }
    for field, value in wanted.items():
        found = Counter(getattr(step, field) for step in steps)
        found.pop(value, None)
        if found:
            other, times = found.most_common(1)[0]
            yield f"{times} steps have {field} {other}, the ledger says {value}"


def _commands(
    steps: list[Any], positions: dict[int, list[Vector]], in_force: set[int]
) -> Iterator[str]:
    for step in steps:
        sent = positions.get(int(step.command_seq), [])
        if len(sent) != 1:
            yield f"step {step.step}: {len(sent)} commands with number {step.command_seq} instead of one"
        elif not _same(sent[0], step.target):
            yield f"step {step.step}: the command's position is not the step's target"
    unseen = sum(int(step.command_seq) not in in_force for step in steps)
    if unseen > _UNSEEN:
        yield (
            f"{unseen} of {len(steps)} commands were in force in no state (allowed: {_UNSEEN}): "
            "the driver did not keep up"
        )


def _same(a: Vector, b: Vector) -> bool:
    """Equal to the last bit."""
    return np.asarray(a, dtype=np.float64).tobytes() == np.asarray(b, dtype=np.float64).tobytes()
