# SPDX-License-Identifier: Apache-2.0
"""Checks of a bag's streams: loss, doubled and disordered states, steps of the clock. States are put in order here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.bags.open import Bag
from dexndm_ros.datasets.config import Limits
from dexndm_ros.datasets.episode import Finding
from dexndm_ros.datasets.quality import finding
from dexndm_ros.datasets.streams import Loss
from dexndm_ros.datasets.tables import Table, as_of, rows, size
from dexndm_ros.hand.joints import JOINT_NAMES
from dexndm_ros.recording.check import END_RECORD, LOSS_KEYS, SHARED_KEY

__all__ = ["bag_findings", "joint_states_findings", "missed_reads", "ordered_states", "steadied"]


_FAR = 100_000
_MANY_MISSED = 0.05


def bag_findings(bag: Bag, loss: Loss, bad: Mapping[str, int]) -> Iterator[Finding]:
    """What is to be said of a bag after it was read to its end."""
    if bag.damage:
        lost = sum(each.bytes for each in bag.damage)
        texts = "; ".join(str(each) for each in bag.damage[:3])
        more = f"; and {len(bag.damage) - 3} more" if len(bag.damage) > 3 else ""
        yield finding(
            "damage",
            len(bag.damage),
            "flagged",
            f"bytes that could not be used: {lost} ({texts}{more})" if lost else f"{texts}{more}",
        )
    if "session" in bag.custom_data and not all(key in bag.custom_data for key in LOSS_KEYS):
        yield finding(
            "unfinished", 1, "flagged", f"the recorder's last words ({END_RECORD}) are not in it"
        )
    for topic, count in sorted(bad.items()):
        yield finding(
            "bad_messages",
            count,
            "flagged",
            f"messages of {topic} that are none of its type: {count}",
        )
    yield from _lost(bag, loss)


def _lost(bag: Bag, loss: Loss) -> Iterator[Finding]:
    shared = _shared(bag.custom_data)
    noted = sum(int(bag.custom_data.get(key, "0") or 0) for key in LOSS_KEYS)
    missing = {topic: n for topic, n in loss.lost.items() if n and topic not in shared}
    if total := max(noted, sum(missing.values())):
        where = ", ".join(f"{n} of {topic}" for topic, n in sorted(missing.items()))
        yield finding(
            "lost",
            total,
            "flagged",
            f"messages that were published and are not in the bag: {total} ({where or 'counted by the recorder'})",
        )
    if loss.unknown - shared:
        yield finding(
            "loss_unknown",
            len(loss.unknown - shared),
            "noted",
            f"no publication numbers, or several publishers, on {', '.join(sorted(loss.unknown - shared))}: loss "
            "cannot be told",
        )


def _shared(custom: Mapping[str, str]) -> set[str]:
    """Topics of several publishers: their numbers interleave and tell nothing."""
    try:
        return set(json.loads(custom.get(SHARED_KEY, "[]")))
    except (ValueError, TypeError):
        return set()


def ordered_states(states: Table) -> tuple[Table, list[Finding]]:
    """States in the order of the driver, each once.

    Args:
        states: as they were recorded; ``seq`` and ``stamp_ns``.

    Returns:
        The same, put right by the driver's numbers; and what had to be done.
    """
    findings: list[Finding] = []
    if size(states) < 2 or "seq" not in states:
        return states, findings
    steps = np.diff(states["seq"].astype(np.int64))
    if (steps == 0).any():
        once = np.concatenate([[True], steps != 0])
        findings.append(_doubled(states, ~once))
        states = rows(states, once)
        steps = np.diff(states["seq"].astype(np.int64))
    # A number that falls by a few came late; one that falls far is a driver started anew.
    late = (steps < 0) & (steps > -1000)
    if late.any() and not (steps <= -1000).any():
        states = rows(states, np.argsort(states["seq"], kind="stable"))
        once = np.concatenate([[True], np.diff(states["seq"].astype(np.int64)) != 0])
        states = rows(states, once)
        count = int(late.sum())
        findings.append(
            finding(
                "order",
                count,
                "repaired",
                f"states that came out of order and were sorted by their numbers: {count}",
            )
        )
    back = np.diff(states["stamp_ns"]) <= 0
    if count := int(back.sum()):
        findings.append(
            finding(
                "order",
                count,
                "flagged",
                f"states that are stamped no later than the one before: {count}, first number "
                f"{int(states['seq'][1:][back][0])}: the system time was set back",
            )
        )
    return states, findings


def _doubled(states: Table, again: NDArray[np.bool_]) -> Finding:
    index = np.flatnonzero(again)
    same = states["position"][index].tobytes() == states["position"][index - 1].tobytes()
    return finding(
        "duplicates",
        len(index),
        "repaired" if same else "flagged",
        f"states that are in the bag twice: {len(index)}"
        + ("" if same else ", with other angles than the first time: two drivers on one topic?"),
    )


def missed_reads(states: Table) -> Iterator[Finding]:
    """Bus cycles without a complete read between the first and the last state."""
    if size(states) < 2 or "seq" not in states:
        return
    steps = np.diff(states["seq"].astype(np.int64))
    published = np.diff(states["publication"]) if "publication" in states else np.zeros_like(steps)
    numbered = published > 0
    # What was published and lost was read: only the rest is a cycle without a complete read.
    unread = np.where(numbered, steps - published, steps - 1)[(steps > 1) & (steps < _FAR)]
    missed = int(unread[unread > 0].sum())
    if not missed:
        return
    cycles = missed + size(states)
    many = missed > _MANY_MISSED * cycles
    text = f"bus cycles without a complete read: {missed} of {cycles}"
    if not numbered.any():
        text += ", or states that were lost: the recorder kept no numbers that could tell"
    yield finding(
        "missed_reads", missed, "flagged" if many or not numbered.any() else "noted", text
    )


def steadied(states: Table, limits: Limits) -> tuple[Table, list[Finding]]:
    """States with ``steady_ns``, their stamps without the steps of the system time; and what steps there were.

    The driver's monotonic clock beside each stamp tells them.
    """
    if size(states) < 2 or "monotonic_ns" not in states or not states["monotonic_ns"].all():
        return states, []
    wall = np.asarray(np.diff(states["stamp_ns"]), dtype=np.int64)
    difference = wall - np.asarray(np.diff(states["monotonic_ns"].astype(np.int64)))
    if _simulated(wall, difference):
        return states, []
    odd = np.abs(difference) > limits.clock_step_s * 1e9
    count = int(odd.sum())
    if not count:
        return states, []
    worst = difference[odd][np.argmax(np.abs(difference[odd]))]
    jumps = np.concatenate([[0], np.cumsum(np.where(odd, difference, 0))])
    text = f"jumps of the system time: {count}, the largest by {worst / 1e6:+.1f} ms (NTP?)"
    return {**states, "steady_ns": states["stamp_ns"] - jumps}, [
        finding("clock_jump", count, "flagged", text)
    ]


def _simulated(wall: NDArray[np.int64], difference: NDArray[np.int64]) -> bool:
    """Whether the stamps run at another speed than the monotonic clock: then they are of a simulation."""
    total = float((wall - difference).sum())
    return (
        total > 0
        and not 0.9 < float(wall.sum()) / total < 1.1
        and abs(float(np.median(difference))) > 1e5
    )


def joint_states_findings(states: Table, joints: Table) -> Iterator[Finding]:
    """Whether ``joint_states`` gives each name the angle that ``hand/state`` gives that motor at the same stamp."""
    if not size(states) or not size(joints):
        return
    names: Any = joints["name"]
    at = as_of(states["stamp_ns"], joints["stamp_ns"])
    here = (at >= 0) & (states["stamp_ns"][np.maximum(at, 0)] == joints["stamp_ns"])
    index = np.flatnonzero(here)[:200]
    if not len(index) or joints["position"].ndim != 2:
        return
    first = tuple(names[0])
    if not set(JOINT_NAMES) <= set(first) or len(first) != joints["position"].shape[1]:
        return
    columns = [first.index(name) for name in JOINT_NAMES]
    theirs = joints["position"][index][:, columns]
    wrong = (np.abs(theirs - states["position"][at[index]]) > 1e-9).all(axis=0)
    if count := int(wrong.sum()):
        named = ", ".join(np.array(JOINT_NAMES)[wrong][:4])
        yield finding(
            "joint_order",
            count,
            "dropped",
            f"joint_states and hand/state disagree about {named}: names and motors are mixed up",
        )
