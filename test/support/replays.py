# SPDX-License-Identifier: Apache-2.0
"""Bags of replayed trajectories, as recorder and replay leave them, made without ROS."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dexndm_ros.recording.definitions import typestore
from dexndm_ros.recording.episode import EpisodeWriter
from dexndm_ros.recording.metadata import Topic
from dexndm_ros.replay.campaign import Campaign
from dexndm_ros.replay.ledger import Claim, Result
from dexndm_ros.replay.noise import executed, noise
from dexndm_ros.replay.trajectory import TrajectorySource
from support.bags import CLOSING, RELIABLE, START_NS

STEP = Topic("/replay/step", "dexndm_msgs/msg/ReplayStep", (RELIABLE,))
COMMAND = Topic("/hand/command", "dexndm_msgs/msg/HandCommand", (RELIABLE,))
STATE = Topic("/hand/state", "dexndm_msgs/msg/HandState", (RELIABLE,))
RAMP = 3
"""Commands before the first step."""
_TICK_NS = 50_000_000


def _header(at_ns: int) -> Any:
    types = typestore().types
    stamp = types["builtin_interfaces/msg/Time"](at_ns // 10**9, at_ns % 10**9)
    return types["std_msgs/msg/Header"](stamp, "")


def _cdr(kind: str, *values: Any) -> bytes:
    store = typestore()
    return bytes(store.serialize_cdr(store.types[kind](*values), kind))


def begin_replay(
    bags: Path,
    campaign: Campaign,
    claim: Claim,
    source: TrajectorySource,
    changes: Mapping[int, Mapping[str, Any]] | None = None,
    steps: int = 400,
) -> EpisodeWriter:
    """A recording with all its messages that is not finished yet.

    Args:
        bags: folder of the bags.
        campaign: the campaign.
        claim: the attempt.
        source: its trajectories.
        changes: step -> fields that are to be wrong: those of ReplayStep, ``position`` and ``seq`` of its command,
            ``in_force`` (the number that states tell).
        steps: how many are recorded.
    """
    clean_rad = np.ascontiguousarray(source.trajectory(claim.trajectory).targets_rad)
    noise_rad = noise(campaign.noise, claim.seed)
    target_rad = executed(clean_rad, noise_rad)
    writer = EpisodeWriter(bags, claim.episode, {"entry": str(claim.entry)}, (STEP, COMMAND, STATE))
    numbers = dict.fromkeys((STEP.name, COMMAND.name, STATE.name), 0)

    def add(topic: Topic, at_ns: int, data: bytes) -> None:
        numbers[topic.name] += 1
        writer.add(topic.name, data, at_ns, at_ns, numbers[topic.name])

    def command(at_ns: int, seq: int, position: np.ndarray, in_force: int) -> None:
        add(COMMAND, at_ns, _cdr(COMMAND.type, _header(at_ns), seq, position, "chaos_box_replay"))
        rest = np.zeros(16)
        state = (
            seq,
            rest,
            rest,
            rest,
            in_force,
            "chaos_box_replay",
            position,
            2,
            at_ns,
            at_ns / 1e9,
            at_ns / 1e9,
        )
        add(STATE, at_ns + 10**7, _cdr(STATE.type, _header(at_ns + 10**7), *state))

    first_seq = 1000 * claim.entry
    for k in range(RAMP):
        at_ns = START_NS + k * _TICK_NS
        command(at_ns, first_seq + k, target_rad[0], first_seq + k)
    for k in range(steps):
        at_ns = START_NS + (RAMP + k) * _TICK_NS
        seq = first_seq + RAMP + k
        values = {
            "at_ns": at_ns,
            "campaign": campaign.name,
            "trajectory": claim.trajectory,
            "step": k,
            "entry": claim.entry,
            "attempt": claim.attempt,
            "seed": claim.seed,
            "clean_target": clean_rad[k],
            "noise": noise_rad[k],
            "target": target_rad[k],
            "command_seq": seq,
        }
        other = {"position": target_rad[k], "seq": seq, "in_force": seq}
        for name, value in (changes or {}).get(k, {}).items():
            (values if name in values else other)[name] = value
        step_ns = values.pop("at_ns")
        command(at_ns, other["seq"], other["position"], other["in_force"])
        add(STEP, at_ns, _cdr(STEP.type, _header(step_ns), *values.values()))
    return writer


def write_replay(
    bags: Path,
    campaign: Campaign,
    claim: Claim,
    source: TrajectorySource,
    changes: Mapping[int, Mapping[str, Any]] | None = None,
    steps: int = 400,
) -> Result:
    """A finished bag; arguments as for :func:`begin_replay`."""
    writer = begin_replay(bags, campaign, claim, source, changes, steps)
    done = writer.finish({STEP.name: steps}, CLOSING)
    assert done.complete, done.reason
    return Result(done.episode, done.messages, 0, 0, done.bytes, START_NS, done.duration_s)
