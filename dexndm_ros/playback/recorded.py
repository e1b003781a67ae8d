# SPDX-License-Identifier: Apache-2.0
"""What a bag holds of decisions and of what they were made from: states, commands, steps, settings told."""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.hand.guard import GuardConfig
from dexndm_ros.playback.check_types import CheckError
from dexndm_ros.recording.read import decoder, messages

__all__ = ["Columns", "Recorded", "read_recorded"]

Columns = Mapping[str, NDArray[Any]]

_FIELDS: Mapping[str, tuple[str, ...]] = {
    "hand/state": (
        "seq",
        "position",
        "command",
        "mode",
        "command_seq",
        "command_source",
        "monotonic_ns?",
        "decided_s?",
        "arrived_s?",
    ),
    "hand/command": ("seq", "position", "source"),
    "policy/step": (
        "seq",
        "observation_seq",
        "axis",
        "wrist",
        "base_action",
        "residual_action",
        "target",
        "stopped",
    ),
    "replay/step": (
        "trajectory",
        "step",
        "entry",
        "attempt",
        "seed",
        "clean_target",
        "noise",
        "target",
        "command_seq",
    ),
}
DIAGNOSTICS = "/diagnostics"
_POLICY_STATUS = "rotation_policy"
_GUARD_STATUS = ": guard"


@dataclass(frozen=True)
class Recorded:
    """The columns of a bag that decisions were made from, each topic's in the order in which it came.

    Attributes:
        name: of the bag.
        begin_ns: log time of the first message read.
        states: of ``hand/state``, with log_ns and publish_ns; {} = none.
        commands: of ``hand/command``; position is an object array of vectors, as long as they were sent.
        policy_steps: of ``policy/step``.
        replay_steps: of ``replay/step``.
        custom_data: of the bag.
        policy: what ``/diagnostics`` says of the policy: its files and their fingerprints.
        guard: what it says the driver's guard allowed; None = nothing.
        damage: what in the bag is not whole, in sentences.
    """

    name: str
    begin_ns: int
    states: Columns
    commands: Columns
    policy_steps: Columns
    replay_steps: Columns
    custom_data: Mapping[str, str] = field(default_factory=dict)
    policy: Mapping[str, str] = field(default_factory=dict)
    guard: GuardConfig | None = None
    damage: tuple[str, ...] = ()


def read_recorded(path: Path, namespace: str = "") -> Recorded:
    """Read what the checks need.

    Args:
        path: folder or file of a bag.
        namespace: of the hand, where a bag holds several.

    Raises:
        BagError: no bag.
        CheckError: topics of several hands, and none was chosen.
    """
    decode = decoder(path)
    rows: dict[str, list[tuple[int, int, Any]]] = {name: [] for name in _FIELDS}
    topics: dict[str, set[str]] = {name: set() for name in _FIELDS}
    told = _Told()
    begin_ns = 0
    for message in messages(path, torn=True):
        begin_ns = begin_ns or message.log_ns
        if message.topic == DIAGNOSTICS:
            told.take(decode(message.type, message.data))
        for name in _FIELDS:
            if message.topic == f"{namespace}/{name}" or (
                not namespace and message.topic.endswith("/" + name)
            ):
                topics[name].add(message.topic)
                value = decode(message.type, message.data)
                rows[name].append((message.log_ns, message.publish_ns, value))
    for found in topics.values():
        if len(found) > 1:
            raise CheckError(
                f"{Path(path).name} holds {' and '.join(sorted(found))}: say which hand is meant with --namespace"
            )
    columns = {name: _columns(rows[name], fields) for name, fields in _FIELDS.items()}
    return Recorded(
        name=Path(path).name,
        begin_ns=begin_ns,
        states=columns["hand/state"],
        commands=columns["hand/command"],
        policy_steps=columns["policy/step"],
        replay_steps=columns["replay/step"],
        policy=told.policy,
        guard=told.guard,
    )


def _columns(rows: list[tuple[int, int, Any]], fields: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    if not rows:
        return {}
    out: dict[str, NDArray[Any]] = {
        "log_ns": np.array([row[0] for row in rows], dtype=np.int64),
        "publish_ns": np.array([row[1] for row in rows], dtype=np.int64),
    }
    for each in fields:
        name = each.rstrip("?")
        if not hasattr(rows[0][2], name):
            continue
        values = [getattr(row[2], name) for row in rows]
        if name == "axis":
            values = [(v.x, v.y, v.z) for v in values]
        elif name == "wrist":
            values = [(v.x, v.y, v.z, v.w) for v in values]
        elif name == "position" and len({len(v) for v in values}) > 1:
            ragged = np.empty(len(values), dtype=object)
            ragged[:] = values
            out[name] = ragged
            continue
        out[name] = np.array(values)
    return out


class _Told:
    """Picks the settings out of diagnostics."""

    def __init__(self) -> None:
        self.policy: dict[str, str] = {}
        self.guard: GuardConfig | None = None

    def take(self, message: Any) -> None:
        for status in message.status:
            values = {each.key: each.value for each in status.values}
            if status.name == _POLICY_STATUS and "policy sha256" in values:
                self.policy = {
                    key: values[key] for key in values if key.startswith(("policy", "residual"))
                }
            elif status.name.endswith(_GUARD_STATUS) and "max_step_rad" in values:
                with contextlib.suppress(ValueError, SyntaxError, TypeError):
                    self.guard = _guard_config(values)


def _guard_config(values: Mapping[str, str]) -> GuardConfig:
    names = set(GuardConfig.__dataclass_fields__) & values.keys()
    return GuardConfig(**{name: ast.literal_eval(values[name]) for name in names})
