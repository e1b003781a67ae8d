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

from dexndm_ros.bags.columns import ColumnError, columns
from dexndm_ros.bags.open import Bag, open_bag
from dexndm_ros.bags.types import RawBatch, TopicInfo
from dexndm_ros.hand.guard import GuardConfig
from dexndm_ros.playback.check_types import CheckError
from dexndm_ros.recording.read import BagError, decode

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
_POLICY_STATUS, _POLICY_KEY = "rotation_policy", "policy sha256"
_GUARD_STATUS, _GUARD_KEY = ": guard", "max_step_rad"


@dataclass(frozen=True)
class Recorded:
    """The columns of a bag that decisions were made from, each topic's in the order in which it came.

    Attributes:
        name: of the bag.
        begin_ns: log time of the first message read.
        states: of ``hand/state``, with log_ns; {} = none.
        commands: of ``hand/command``; position is (n, 16), or an object array where lengths differ.
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


def read_recorded(path: Path, hand: str = "") -> Recorded:
    """Read what the checks need.

    Args:
        path: folder or file of a bag.
        hand: namespace of the hand, where a bag holds several: "left" of "/left/hand/state".

    Raises:
        BagError: no bag.
        CheckError: topics of several hands, and none was chosen; or a topic of another type.
    """
    bag = open_bag(path)
    names = _topics(bag, hand)
    parts: dict[str, list[dict[str, NDArray[Any]]]] = {name: [] for name in _FIELDS}
    bad: dict[str, str] = {}
    told = _Told()
    begins_ns = []
    for found in bag.batches([*names.values(), DIAGNOSTICS]):
        for name, topic in names.items():
            if topic in found and len(found[topic].log_ns):
                batch = found[topic]
                part, why = _part(batch, bag.topics[topic], _FIELDS[name])
                parts[name].append(part)
                begins_ns.append(int(batch.log_ns.min()))
                if why:
                    bad[topic] = why
        if DIAGNOSTICS in found:
            told.take(found[DIAGNOSTICS])
    columns = {name: _joined(parts[name]) for name in _FIELDS}
    return Recorded(
        name=bag.name,
        begin_ns=min(begins_ns, default=0),
        states=columns["hand/state"],
        commands=columns["hand/command"],
        policy_steps=columns["policy/step"],
        replay_steps=columns["replay/step"],
        custom_data=dict(bag.custom_data),
        policy=told.policy,
        guard=told.guard,
        damage=(*map(str, bag.damage), *(f"{topic}: {why}" for topic, why in bad.items())),
    )


def _topics(bag: Bag, hand: str) -> dict[str, str]:
    """Full name of each of our topics that is in the bag."""
    names = {}
    space = "/" + hand.strip("/") if hand.strip("/") else ""
    for name in _FIELDS:
        found = [
            topic
            for topic in bag.topics
            if topic == f"{space}/{name}" or (not space and topic.endswith("/" + name))
        ]
        if len(found) > 1:
            raise CheckError(
                f"{bag.name} holds {' and '.join(sorted(found))}: say with --hand which hand is meant"
            )
        if found:
            names[name] = found[0]
    if space and not names:
        there = ", ".join(sorted(bag.topics)) or "nothing"
        raise CheckError(f"{bag.name} holds no topics of hand {hand!r}; it holds {there}")
    return names


def _part(
    batch: RawBatch, info: TopicInfo, fields: tuple[str, ...]
) -> tuple[dict[str, NDArray[Any]], str]:
    """Columns of one stretch, and what is wrong with messages that are none."""
    try:
        found = columns(batch, info, fields)
    except ColumnError as error:
        raise CheckError(f"{info.name} ({info.type}) cannot be checked: {error}") from error
    part = {name: np.asarray(values) for name, values in found.items()}
    part["log_ns"] = batch.log_ns[found.rows]
    return part, f"{len(found.bad)} messages are damaged ({found.why})" if len(found.bad) else ""


def _joined(parts: list[dict[str, NDArray[Any]]]) -> Columns:
    if not parts:
        return {}
    joined = {}
    for name in parts[0]:
        each = [part[name] for part in parts if name in part]
        if len({values.shape[1:] for values in each}) > 1:
            each = [_ragged(values) for values in each]  # commands of a wrong length are among them
        joined[name] = np.concatenate(each)
    return joined


def _ragged(values: NDArray[Any]) -> NDArray[Any]:
    rows = np.empty(len(values), dtype=object)
    rows[:] = list(values) if values.ndim == 1 else [row.copy() for row in values]
    return rows


class _Told:
    """Picks the settings out of diagnostics."""

    def __init__(self) -> None:
        self.policy: dict[str, str] = {}
        self.guard: GuardConfig | None = None

    def take(self, batch: RawBatch) -> None:
        """Look through a stretch; the first that tells is believed."""
        for row in range(len(batch.log_ns)):
            if self.policy and self.guard is not None:
                return
            data = batch.data(row)
            # Most say nothing of this, and decoding them all takes a while.
            if (not self.policy and _POLICY_KEY.encode() in data) or (
                self.guard is None and _GUARD_KEY.encode() in data
            ):
                with contextlib.suppress(BagError):
                    self._read(decode(batch.type, data))

    def _read(self, message: Any) -> None:
        for status in message.status:
            values = {each.key: each.value for each in status.values}
            if status.name == _POLICY_STATUS and _POLICY_KEY in values:
                self.policy = {
                    key: values[key] for key in values if key.startswith(("policy", "residual"))
                }
            elif status.name.endswith(_GUARD_STATUS) and _GUARD_KEY in values:
                with contextlib.suppress(ValueError, SyntaxError, TypeError):
                    self.guard = _guard_config(values)


def _guard_config(values: Mapping[str, str]) -> GuardConfig:
    names = set(GuardConfig.__dataclass_fields__) & values.keys()
    return GuardConfig(**{name: ast.literal_eval(values[name]) for name in names})
