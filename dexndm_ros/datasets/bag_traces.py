# SPDX-License-Identifier: Apache-2.0
"""What the joints did in a bag, for a figure: as many points as it can show, and every fault."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.bags.columns import ColumnError, columns
from dexndm_ros.bags.open import Bag, RawBatch
from dexndm_ros.datasets.bag_marks import Mark, Marks
from dexndm_ros.datasets.streams import BagRefusedError
from dexndm_ros.hand.joints import JOINT_NAMES

__all__ = ["Traces", "read_traces", "select_joints"]

_HAND, _JOINTS, _HEALTH = (
    "dexndm_msgs/msg/HandState",
    "sensor_msgs/msg/JointState",
    "dexndm_msgs/msg/HandHealth",
)
_FIELDS = {
    _HAND: ("seq", "position", "current", "command", "command_source", "mode", "header.stamp", "monotonic_ns?"),
    _JOINTS: ("name", "position", "velocity", "effort"),
    _HEALTH: ("temperature", "fault"),
}  # fmt: skip
_MOST = 20_000
"""States kept; of more every second one is left out, again and again. A figure has fewer dots."""


@dataclass
class Traces:
    """What the joints did.

    Attributes:
        topic: of the states.
        names: of the joints, (j,).
        time_s: since the first state, (n,).
        position: rad, (n, j).
        target: in force, rad, (n, j); None = the topic has none.
        velocity: rad/s, (n, j); None = not told.
        current: A, or effort, (n, j); None = not told.
        effort_name: what ``current`` is.
        temperature_s, temperature: degC, (m,) and (m, 16); empty = not told.
        states: that were read; those kept are every ``stride``-th.
        stride: see there.
        marks: in the order of time.
    """

    topic: str
    names: tuple[str, ...]
    time_s: NDArray[np.float64]
    position: NDArray[np.float64]
    target: NDArray[np.float64] | None
    velocity: NDArray[np.float64] | None
    current: NDArray[np.float64] | None
    effort_name: str
    temperature_s: NDArray[np.float64]
    temperature: NDArray[np.float64]
    states: int
    stride: int
    marks: list[Mark] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Figures of each joint, and the marks, for JSON."""
        joints: dict[str, dict[str, float | None]] = {}
        for k, name in enumerate(self.names):
            error = None if self.target is None else self.target[:, k] - self.position[:, k]
            joints[name] = {
                "low_rad": _least(self.position[:, k], np.min),
                "high_rad": _least(self.position[:, k], np.max),
                "error_rms_rad": None if error is None else _least(error, lambda e: np.sqrt(np.mean(e * e))),
                "current_max_a": None if self.current is None else _least(np.abs(self.current[:, k]), np.max),
            }  # fmt: skip
        marks = [
            {"kind": m.kind, "begin_s": m.begin_s, "end_s": m.end_s, "text": m.text}
            for m in self.marks
        ]
        span_s = float(self.time_s[-1]) if len(self.time_s) else 0.0
        return {
            "topic": self.topic,
            "states": self.states,
            "duration_s": span_s,
            "joints": joints,
            "marks": marks,
        }


def _least(values: NDArray[np.float64], of: Any) -> float | None:
    values = values[np.isfinite(values)]
    return round(float(of(values)), 6) if len(values) else None


def select_joints(words: Sequence[str], names: Sequence[str]) -> list[int]:
    """Which joints are meant.

    Args:
        words: names, the beginning of names (``thumb``), or motor IDs; none = all.
        names: there are.

    Raises:
        BagRefusedError: a word that fits no joint.
    """
    if not words:
        return list(range(len(names)))
    chosen: list[int] = []
    for word in words:
        fits = [k for k, name in enumerate(names) if name == word] or [
            k for k, name in enumerate(names) if name.startswith(word)
        ]
        if word.isdecimal() and int(word) < len(names):
            fits = [int(word)]
        if not fits:
            raise BagRefusedError(f"there is no joint {word!r}; there are {', '.join(names)}")
        chosen += [k for k in fits if k not in chosen]
    return chosen


def read_traces(
    bag: Bag, topic: str = "", target: str = "", start_s: float = 0.0, duration_s: float = np.inf
) -> Traces:
    """Read the states of a bag; memory hardly grows with it.

    Args:
        bag: to read.
        topic: HandState or JointState; '' = hand/state, else the only JointState topic.
        target: JointState topic with the targets; '' = HandState tells them itself, and others do not.
        start_s: after the first state.
        duration_s: from there.

    Raises:
        BagRefusedError: no such topic, one of another type, or no message of it in this time.
    """
    name, wanted = _find_topic(bag, topic), _find_topic(bag, target) if target else None
    if wanted is not None and _HAND in (bag.topics[name].type, bag.topics[wanted].type):
        raise BagRefusedError(f"{_HAND} tells its targets itself; --target is for {_JOINTS}")
    health = next((t.name for t in bag.topics.values() if t.type == _HEALTH), None)
    reader = _Reader(bag, name, start_s, duration_s)
    for batches in bag.batches([each for each in (name, wanted, health) if each]):
        if name in batches:
            reader.states(batches[name])
        if wanted in batches:
            reader.targets(batches[wanted])
        if health in batches:
            reader.health(batches[health])
    return reader.finish()


def _find_topic(bag: Bag, topic: str) -> str:
    if topic:
        info = bag.topics.get(topic) or bag.topics.get("/" + topic.lstrip("/"))
        if info is None:
            raise BagRefusedError(f"{bag.name} has no topic {topic}; its topics: {_names(bag)}")
        if info.type not in (_HAND, _JOINTS):
            raise BagRefusedError(
                f"{info.name} has type {info.type}; joints can be plotted of {_HAND} and {_JOINTS}"
            )
        return info.name
    for kind in (_HAND, _JOINTS):
        found = [t.name for t in bag.topics.values() if t.type == kind and t.count != 0]
        if len(found) == 1:
            return found[0]
        if found:
            raise BagRefusedError(f"{bag.name} has {', '.join(sorted(found))}; choose with --topic")
    raise BagRefusedError(
        f"{bag.name} has no topic of type {_HAND} or {_JOINTS}; its topics: {_names(bag)}"
    )


def _names(bag: Bag) -> str:
    return ", ".join(sorted(bag.topics)) or "none"


class _Reader:
    def __init__(self, bag: Bag, topic: str, start_s: float, duration_s: float) -> None:
        self._bag, self._info = bag, bag.topics[topic]
        self._from_s, self._to_s = start_s, start_s + duration_s
        self._zero_ns = -1
        self._end_s = 0.0
        self._rows: dict[str, list[NDArray[Any]]] = {}
        self._kept = self._seen = 0
        self._stride = 1
        self._names: tuple[str, ...] = JOINT_NAMES if self._info.type == _HAND else ()
        self._health: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []
        self._targets: list[tuple[NDArray[np.int64], NDArray[np.float64]]] = []
        self._target_names: tuple[str, ...] = ()
        self._marks = Marks()

    def states(self, batch: RawBatch) -> None:
        found = self._decode(batch)
        if found is None:
            return
        log_ns = batch.log_ns[found.rows]
        if self._zero_ns < 0:
            self._zero_ns = int(log_ns[0])
        time_s = (log_ns - self._zero_ns) / 1e9
        self._end_s = max(self._end_s, float(time_s[-1]))
        inside = (time_s >= self._from_s) & (time_s <= self._to_s)
        if not inside.any():
            return
        table = self._table(found, inside, time_s[inside])
        if self._info.type == _HAND:
            self._marks.states(found, inside, time_s[inside])
        # Which rows are kept must not depend on where a stretch of the file ends.
        first = -self._seen % self._stride
        self._seen += int(inside.sum())
        for name, values in table.items():
            self._rows.setdefault(name, []).append(values[first :: self._stride])
        self._kept = sum(len(part) for part in self._rows["time_s"])
        while self._kept > _MOST:
            self._stride *= 2
            for name, parts in self._rows.items():
                self._rows[name] = [np.concatenate(parts)[::2]]
            self._kept = len(self._rows["time_s"][0])

    def _decode(self, batch: RawBatch) -> Any:
        try:
            found = columns(batch, self._info, _FIELDS[self._info.type])
        except ColumnError as error:
            raise BagRefusedError(f"{self._bag.name}: {self._info.name}: {error}") from error
        if len(found.bad):
            text = f"{len(found.bad)} messages cannot be read: {found.why}"
            self._marks.add("damage", np.nan, np.nan, text)
        return found if len(found.rows) else None

    def _table(
        self, found: Any, inside: NDArray[np.bool_], time_s: NDArray[np.float64]
    ) -> dict[str, NDArray[Any]]:
        table: dict[str, NDArray[Any]] = {"time_s": time_s}
        if self._info.type == _HAND:
            held = found["command_source"][inside] == ""
            target = np.where(held[:, None], np.nan, found["command"][inside])
            return {
                **table,
                "position": found["position"][inside],
                "target": target,
                "current": found["current"][inside],
            }
        names = found["name"]
        if len(names) != 1 or (self._names and names[0] != self._names):
            raise BagRefusedError(
                f"{self._info.name}: the joints' names change on the way; no line can be drawn through them"
            )
        self._names = names[0]
        for ours, theirs in (
            ("position", "position"),
            ("velocity", "velocity"),
            ("current", "effort"),
        ):
            values = found[theirs]
            if values.ndim == 2 and values.shape[1] == len(self._names):
                table[ours] = values[inside]
        if "position" not in table:
            raise BagRefusedError(f"{self._info.name} holds no position for each of its joints")
        return table

    def health(self, batch: RawBatch) -> None:
        if self._zero_ns < 0:
            self._zero_ns = int(batch.log_ns[0])
        try:
            found = columns(batch, self._bag.topics[batch.topic], _FIELDS[_HEALTH])
        except ColumnError as error:
            self._marks.once("damage", np.nan, f"no temperatures: {error}")
            return
        time_s = (batch.log_ns[found.rows] - self._zero_ns) / 1e9
        inside = (time_s >= self._from_s) & (time_s <= self._to_s)
        if len(self._health) < _MOST:
            self._health.append((time_s[inside], found["temperature"][inside]))
        for at, text in zip(time_s[inside], found["fault"][inside], strict=True):
            if said := re.sub(r"\s+", " ", str(text)):
                self._marks.once("FAULT", at, said)

    def targets(self, batch: RawBatch) -> None:
        """Targets on a topic of their own; each holds until the next one."""
        try:
            found = columns(batch, self._bag.topics[batch.topic], ("name", "position"))
        except ColumnError as error:
            raise BagRefusedError(f"{self._bag.name}: {batch.topic}: {error}") from error
        if not len(found.rows):
            return
        names, values = found["name"], found["position"]
        if len(names) != 1 or values.ndim != 2 or values.shape[1] != len(names[0]):
            raise BagRefusedError(
                f"{batch.topic} does not name the same joints with a position each"
            )
        self._target_names = names[0]
        self._targets.append((batch.log_ns[found.rows], values))

    def _held(self, time_s: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """The target in force at each time, in the order of the states' joints; NaN before the first."""
        if not self._targets:
            return None
        log_ns = np.concatenate([at for at, _ in self._targets])
        values = np.concatenate([value for _, value in self._targets])
        missing = sorted(set(self._names) - set(self._target_names))
        if missing:
            raise BagRefusedError(f"the targets' topic has no joint {', '.join(missing)}")
        values = values[:, [self._target_names.index(name) for name in self._names]]
        newest = np.searchsorted((log_ns - self._zero_ns) / 1e9, time_s, side="right") - 1
        return np.where(newest[:, None] < 0, np.nan, values[newest])

    def finish(self) -> Traces:
        if not self._rows:
            there = f"they last {self._end_s:.2f} s" if self._zero_ns >= 0 else "there is none"
            raise BagRefusedError(
                f"{self._bag.name} has no whole message of {self._info.name} in that time; {there}"
            )
        rows: Mapping[str, NDArray[Any]] = {k: np.concatenate(v) for k, v in self._rows.items()}
        heat = self._health
        for damage in self._bag.damage:
            self._marks.add("damage", np.nan, np.nan, str(damage))
        return Traces(
            topic=self._info.name,
            names=self._names,
            time_s=rows["time_s"],
            position=rows["position"],
            target=rows["target"] if "target" in rows else self._held(rows["time_s"]),
            velocity=rows.get("velocity"),
            current=rows.get("current"),
            effort_name="current, A" if self._info.type == _HAND else "effort",
            temperature_s=np.concatenate([t for t, _ in heat]) if heat else np.zeros(0),
            temperature=np.concatenate([v for _, v in heat]) if heat else np.zeros((0, 16)),
            states=self._seen,
            stride=self._stride,
            marks=self._marks.finish(),
        )
