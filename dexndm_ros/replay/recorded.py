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
_PASSED_OVER = 20
"""Commands of a trajectory that may have been passed over: one that came late was followed by the next before a
motor was told. The states say which targets were in force."""

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
    steps, positions, in_force, passed_over = _read(bag)
    wrong = [*_order(steps, len(target_rad)), *_identity(steps, campaign, claim)]
    wanted = {"clean_target": clean_rad, "noise": noise_rad, "target": target_rad}
    for step in steps[: len(target_rad)]:
        for field, values in wanted.items():
            if step.step < len(values) and not _same(getattr(step, field), values[step.step]):
                wrong.append(f"step {step.step}: {field} is not what library and seed give")
    wrong += _commands(steps, positions)
    wrong += _followed(steps, in_force, passed_over)
    return wrong


def _read(bag: Path) -> tuple[list[Any], dict[int, list[Vector]], set[int], set[int]]:
    """Steps in the order of the file, positions commanded by number, commands seen in force and passed over.

    Two states that follow each other prove it; where a cycle had no whole read, nothing is known.
    """
    decode = decoder(bag)
    steps: list[Any] = []
    positions: dict[int, list[Vector]] = {}
    in_force: set[int] = set()
    passed_over: set[int] = set()
    before: tuple[int, str, int] | None = None
    for message in messages(bag):
        if is_topic(message.topic, STEP_TOPIC):
            steps.append(decode(message.type, message.data))
        elif is_topic(message.topic, COMMAND_TOPIC):
            command = decode(message.type, message.data)
            positions.setdefault(int(command.seq), []).append(command.position)
        elif is_topic(message.topic, STATE_TOPIC):
            state = decode(message.type, message.data)
            now = (int(state.seq), state.command_source, int(state.command_seq))
            if state.command_source:
                in_force.add(now[2])
            if before is not None and now[:2] == (before[0] + 1, before[1]):
                passed_over.update(range(before[2] + 1, min(now[2], before[2] + _PASSED_OVER * 50)))
            before = now
    return steps, positions, in_force, passed_over - in_force


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


def _commands(steps: list[Any], positions: dict[int, list[Vector]]) -> Iterator[str]:
    for step in steps:
        sent = positions.get(int(step.command_seq), [])
        if len(sent) != 1:
            yield f"step {step.step}: {len(sent)} commands with number {step.command_seq} instead of one"
        elif not _same(sent[0], step.target):
            yield f"step {step.step}: the command's position is not the step's target"


def _followed(steps: list[Any], in_force: set[int], passed_over: set[int]) -> Iterator[str]:
    """Whether the driver did what it was told, as far as its states say."""
    numbers = [int(step.command_seq) for step in steps]
    late = sum(number in passed_over for number in numbers)
    if late > _PASSED_OVER:
        yield (
            f"{late} of {len(numbers)} commands were never in force (allowed: {_PASSED_OVER}): "
            "the driver did not keep up"
        )
    seen = sum(number in in_force for number in numbers)
    if 2 * seen < len(numbers):
        yield f"states show {seen} of {len(numbers)} commands in force: too few to say what the hand did"


def _same(a: Vector, b: Vector) -> bool:
    """Equal to the last bit."""
    return np.asarray(a, dtype=np.float64).tobytes() == np.asarray(b, dtype=np.float64).tobytes()
