# SPDX-License-Identifier: Apache-2.0
"""One bag in, its episodes out: a pure function, so that any number of processes and machines give the same."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dexndm_ros.bags.open import Bag, open_bag
from dexndm_ros.bags.sqlite_beside import beside
from dexndm_ros.datasets.align import Matched, align, fill_rows, steady_ns
from dexndm_ros.datasets.assemble import Assembler, Cut
from dexndm_ros.datasets.bag_checks import (
    bag_findings,
    joint_states_findings,
    missed_reads,
    ordered_states,
    steadied,
)
from dexndm_ros.datasets.config import ConvertConfig
from dexndm_ros.datasets.demonstration import (
    check_demonstration,
    demonstration_facts,
    fill_demonstration,
)
from dexndm_ros.datasets.demonstration_streams import KIND, arm_by_name, with_operator
from dexndm_ros.datasets.episode import BagResult, Episode, Finding
from dexndm_ros.datasets.facts import episode_facts, tick_findings
from dexndm_ros.datasets.features import RowFlag, empty_columns
from dexndm_ros.datasets.fidelity import check_fidelity
from dexndm_ros.datasets.foreign import foreign_tables
from dexndm_ros.datasets.quality import finding, verdict
from dexndm_ros.datasets.row_checks import check_rows, lag_ticks
from dexndm_ros.datasets.slow_streams import fill_temperature, fill_wrist
from dexndm_ros.datasets.streams import BagRefusedError, Streams, find_roles
from dexndm_ros.datasets.tables import Table, size
from dexndm_ros.policy.session import HandMode
from dexndm_ros.policy.wrist import check_axis

__all__ = ["BagRefusedError", "convert_bag"]


def convert_bag(
    path: Path, config: ConvertConfig, keep: Callable[[Episode], Episode] = lambda episode: episode
) -> BagResult:
    """Read a bag, whole or torn, and make episodes of it.

    Args:
        path: a rosbag2 folder, or a storage file.
        config: how.
        keep: gets every episode as it is finished, and may put its columns elsewhere; see ``spill``.

    Returns:
        Its episodes, dropped ones too (without rows), and everything that was found.

    Raises:
        BagError: it is no bag, or cannot be opened.
        BagRefusedError: it has not what a dataset is made of, or of another type or version.
        OSError: it cannot be read.
    """
    bag = open_bag(path)
    roles = find_roles(bag, config.mapping)
    if config.demonstrations:
        roles = with_operator(bag, roles)
    streams = Streams(bag, roles)
    custom = bag.custom_data
    assembler = Assembler(config, _axis(custom), foreign="foreign_state" in roles.topics)
    episodes: list[Episode] = []
    pending: dict[str, Table] | None = None
    for stretch in streams.stretches():
        tables = arm_by_name(foreign_tables(stretch, config.mapping, bag.name, streams.bad))
        if pending is not None:
            cuts = assembler.feed(pending, last=False)
            episodes += map(keep, (_episode(cut, bag, config) for cut in cuts))
        pending = tables
    cuts = assembler.feed(pending or {}, last=True)
    episodes += map(keep, (_episode(cut, bag, config) for cut in cuts))
    findings = list(bag_findings(bag, streams.loss, streams.bad))
    if custom.get("kind") == KIND and not config.demonstrations:
        findings.append(
            finding(
                "hand_only",
                1,
                "noted",
                f"{bag.name} is a demonstration; --demonstrations takes the operator and the arm too",
            )
        )
    if not episodes:
        findings.append(
            finding(
                "short",
                1,
                "dropped",
                f"{bag.name} holds no trajectory, run or command: nothing to learn from",
            )
        )
    sha256 = bag.sha256()
    return BagResult(
        name=bag.name,
        sha256=sha256,
        bytes=sum(each.stat().st_size for file in bag.files for each in (file, *beside(file))),
        messages=dict(sorted(streams.loss.messages.items())),
        episodes=tuple(episodes),
        findings=tuple(findings),
        provenance=dict(sorted(custom.items())),
    )


def _axis(custom: Mapping[str, str]) -> tuple[float, ...]:
    """The axis that a replayed trajectory was made for, as the recorder noted it; zeros = not known."""
    try:
        return tuple(check_axis([float(word) for word in custom["axis"].split()]).tolist())
    except (KeyError, ValueError):
        return (0.0, 0.0, 0.0)


def _episode(cut: Cut, bag: Bag, config: ConvertConfig) -> Episode:
    limits, custom = config.limits, bag.custom_data
    findings: list[Finding] = []
    states = cut.tables.get("foreign_state" if cut.kind == "joint_state" else "state", {})
    around = _around(states, cut.ticks.stamp_ns)
    states, order = ordered_states(around)
    findings += order
    states, jumps = steadied(states, limits)
    findings += jumps
    findings += missed_reads(states)
    if (joints := cut.tables.get("joints")) is not None:
        findings += joint_states_findings(states, joints)
    matched = align(cut.ticks, states, limits)
    columns = fill_rows(cut.ticks, states, matched)
    fill_temperature(columns, cut.tables.get("health"))
    wrist = fill_wrist(columns, cut, custom, config.mapping)
    _mark_commands(cut, states, matched, columns)
    findings += _command_findings(cut)
    findings += tick_findings(cut, columns, config, matched.tick_ns)
    lag = lag_ticks(columns)
    steady = steady_ns(states)[np.maximum(matched.state, 0)] if size(states) else matched.tick_ns
    findings += check_rows(columns, limits, cut.kind == "joint_state", lag, steady)
    findings += check_fidelity(cut, custom, config.library, config.library_sha256)
    if cut.kind == KIND:
        fill_demonstration(columns, cut.tables)
        findings += check_demonstration(columns, cut.tables)
    columns["valid"][:] = (columns["flags"] & RowFlag.INVALID) == 0
    findings += _too_little(columns, config)
    facts = episode_facts(cut, columns, states, bag, wrist, lag, matched.tick_ns)
    if cut.kind == KIND:
        facts |= demonstration_facts(columns, custom, config.rate_hz)
    decided = verdict(findings)
    return Episode(
        identity=_identity(cut, facts),
        task=_task(cut, facts, config, custom),
        columns=empty_columns(0) if decided == "drop" else columns,
        facts=facts,
        findings=tuple(findings),
        verdict=decided,
    )


def _around(states: Table, stamps_ns: np.ndarray) -> Table:
    """States from a little before the first tick to a little after the last; those of other episodes are not ours."""
    if not size(states) or not len(stamps_ns):
        return states
    stamps = states["stamp_ns"]
    begin, end = int(stamps_ns.min()) - 500_000_000, int(stamps_ns.max()) + 500_000_000
    inside = (stamps >= begin) & (stamps <= end)
    if inside.all():
        return states
    # Whole stretches, so that a step of the clock inside stays visible.
    index = np.flatnonzero(inside)
    keep = slice(int(index[0]), int(index[-1]) + 1) if len(index) else slice(0, 0)
    return {name: column[keep] for name, column in states.items()}


def _mark_commands(cut: Cut, states: Table, matched: Matched, columns: dict[str, Any]) -> None:
    """Commands that are not in the bag, and those that the guard changed."""
    if cut.kind == "joint_state":
        return
    commands = cut.tables.get("command")
    if commands is not None and size(commands):
        there = np.isin(cut.ticks.command_seq, commands["seq"].astype(np.int64))
        columns["flags"][~there] |= RowFlag.NO_COMMAND
    elif "command" in cut.tables:
        columns["flags"][:] |= RowFlag.NO_COMMAND
    seen = np.flatnonzero(matched.first >= 0)
    if len(seen):
        under = matched.first[seen]
        changed = (states["command"][under] != cut.ticks.target[seen]).any(axis=1)
        columns["flags"][seen[changed]] |= RowFlag.LIMITED
    # In force is one thing, followed another: on its ramp or relaxed the hand goes elsewhere.
    if size(states):
        at = np.where(matched.first >= 0, matched.first, np.maximum(matched.state, 0))
        idle = (states["mode"][at] != HandMode.ACTIVE) & (matched.state >= 0)
        columns["flags"][idle] |= RowFlag.NOT_RUNNING


def _command_findings(cut: Cut) -> Iterator[Finding]:
    if cut.kind != "joint_state" and "command" not in cut.tables:
        yield finding(
            "no_command",
            len(cut.ticks),
            "noted",
            "the bag has no hand/command: targets are those that the steps tell",
        )
    yield from cut.findings


def _too_little(columns: Mapping[str, Any], config: ConvertConfig) -> Iterator[Finding]:
    count, limits = len(columns["valid"]), config.limits
    if count < limits.min_steps:
        yield finding(
            "short",
            1,
            "dropped",
            f"rows: {count}; from fewer than {limits.min_steps} nothing can be learned",
        )
        return
    invalid = int((~columns["valid"]).sum())
    if invalid > limits.max_invalid_share * count:
        yield finding(
            "invalid_rows",
            invalid,
            "dropped",
            f"rows that are not valid: {invalid} of {count} (at most {limits.max_invalid_share:.0%} may be)",
        )


def _identity(cut: Cut, facts: Mapping[str, Any]) -> str:
    """The same for every copy of a recording, torn or whole; another for another recording.

    A replay is named by its row of the plan and by what was replayed, a run by its first tick. What begins in the
    middle says where: the halves of a split recording are two episodes.
    """
    began = f"@{int(cut.ticks.number[0])}" if int(cut.ticks.number[0]) else ""
    if cut.kind == "replay":
        names = ("campaign", "orientation", "session", "entry", "trajectory", "seed")
        words = [str(facts[name]) for name in names]
        if not facts["session"]:  # another recorder's bag: the time tells one night from the next
            words.append(str(facts["started_ns"]))
        return "/".join(["replay", *words]) + began
    if cut.kind in ("policy", KIND):
        return f"{cut.kind}/{facts['session']}/{facts['started_ns']}{began}"
    digest = hashlib.sha256(cut.ticks.target[0].tobytes()).hexdigest()[:8]
    return f"joint_state/{facts['started_ns']}/{digest}"


def _task(
    cut: Cut, facts: Mapping[str, Any], config: ConvertConfig, custom: Mapping[str, str]
) -> str:
    """LeRobot's task in words."""
    wrist, axis = facts["orientation"] or "unknown wrist", facts["axis"]
    if cut.kind == KIND:
        return custom.get("task") or "move the arm and rotate the object"
    if cut.kind == "joint_state":
        assert config.mapping is not None
        return config.mapping.task
    if cut.kind == "policy":
        return f"rotate the object about {axis}, {wrist}"
    return f"replay a trajectory, {wrist}"
