# SPDX-License-Identifier: Apache-2.0
"""An identification from data to world file: clips, rounds of searches, gate, judgement on what was held out."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.hand.joints import JOINT_COUNT
from dexndm_ros.replay.trajectory import RATE_HZ
from dexndm_ros.sim.worlds import World
from dexndm_ros.training.progress import commit_id
from dexndm_ros.training.sysid.clips import Clip, clips_of_dataset, clips_of_world, held_out
from dexndm_ros.training.sysid.config import SysidConfig
from dexndm_ros.training.sysid.gate import Estimate, Limits, estimates, refuse_fingers, refuse_worst
from dexndm_ros.training.sysid.parameters import (
    JOINTS_A_FINGER,
    LATER,
    PARAMETERS,
    Values,
    nominal_values,
    parse_parameters,
    with_values,
)
from dexndm_ros.training.sysid.polish import polish
from dexndm_ros.training.sysid.probes import probe
from dexndm_ros.training.sysid.rounds import Round
from dexndm_ros.training.sysid.search import POLISHED, Journal, search
from dexndm_ros.training.sysid.simulate import FreeHands, free_world
from dexndm_ros.training.sysid.world_file import world_text

__all__ = ["Identified", "OnGeneration", "identify", "load_clips"]

Array = NDArray[np.float64]
OnGeneration = Callable[[int, int, Array], None]
"""Told round, generations of this job so far, and the best losses, (seeds, groups) rad."""
_LAST_ITERATIONS = 15
_LATER_WIDTH = 0.4
"""How wide later rounds begin, relative to the first: wide enough that what is not known spreads again."""


@dataclass(frozen=True)
class Identified:
    """What came of an identification.

    Attributes:
        world: identified.
        file: it, as YAML.
        rows: every number, identified or refused.
        clips: all that were used.
        held_out: indices of those that were only judged on.
        before: root mean square error of the held-out clips with the base world's values, (16,) rad.
        after: with the identified ones, (16,) rad.
        truth: the twin's own values, or None.
        shown: a held-out clip: measured, simulated with the base world's and with the identified values, (T, 16) rad.
        rounds: that it took.
        generations: of all rounds.
        commit: of this program.
    """

    world: World
    file: Path
    rows: Sequence[Estimate]
    clips: Sequence[Clip]
    held_out: Sequence[int]
    before: Array
    after: Array
    truth: Values | None
    shown: tuple[Array, Array, Array]
    rounds: int
    generations: int
    commit: str


def load_clips(config: SysidConfig) -> list[Clip]:
    """The clips that the settings name.

    Raises:
        DatasetError: no dataset.
        SysidError: too short.
        WorldError: no such world.
    """
    length = round(config.clip_s * RATE_HZ)
    if config.data is not None:
        first = config.wrist.split(",")[0]
        return clips_of_dataset(config.data, length, first, config.clips)
    wrists = config.wrist.split(",")
    world = free_world(World.load(config.twin))
    targets = [
        (f"probe {number}", wrists[number % len(wrists)], probe(number, config.seed))
        for number in range(config.probes)
    ]
    clips = clips_of_world(world, targets, length, threads=config.threads)
    if config.clips and len(clips) > config.clips:
        keep = np.linspace(0, len(clips) - 1, config.clips).round().astype(int)
        clips = [clips[k] for k in keep]
    return clips


def identify(config: SysidConfig, on_generation: OnGeneration | None = None) -> Identified:
    """Identify, and write ``world.yaml`` into the run folder; what was begun there goes on.

    Args:
        config: settings.
        on_generation: progress.

    Raises:
        SysidError: data, settings or folder that cannot be used.
        WorldError: no such world.
    """
    base = World.load(config.world)
    clips = load_clips(config)
    fit, out = held_out(clips, config.held_out, config.seed)
    hands = FreeHands(base, clips, config.physics, config.contacts, config.threads)
    skip = round(config.skip_s * RATE_HZ)
    config.out.mkdir(parents=True, exist_ok=True)
    more = _sum_of(clips) + repr(base)
    journal = Journal(config.out / "journal.jsonl", config.fingerprint(more))
    try:
        rows, rounds, generations = _rounds(config, hands, base, fit, skip, journal, on_generation)
    finally:
        journal.close()
    before = _error(hands, nominal_values(base), out, skip)
    world = _world(config, base, rows)
    after = _error(hands, nominal_values(world), out, skip)
    judged = refuse_fingers(rows, before, after)
    if judged != rows:
        rows, world = judged, _world(config, base, judged)
        after = _error(hands, nominal_values(world), out, skip)
    commit = commit_id()
    file = config.out / "world.yaml"
    _write(file, world_text(world, rows, _head(config, rows, before, after, len(clips), commit)))
    truth = nominal_values(World.load(config.twin)) if config.twin else None
    shown = (
        clips[out[0]].q[1:],
        hands.angles(nominal_values(base), out[0]),
        hands.angles(nominal_values(world), out[0]),
    )
    return Identified(
        world, file, rows, clips, out, before, after, truth, shown, rounds, generations, commit
    )


def _rounds(
    config: SysidConfig,
    hands: FreeHands,
    base: World,
    fit: Sequence[int],
    skip: int,
    journal: Journal,
    on_generation: OnGeneration | None,
) -> tuple[list[Estimate], int, int]:
    nominal = nominal_values(base)
    names = [each.name for each in parse_parameters(config.parameters)]
    late = [name for name in names if name in LATER and config.rounds > 1 and len(names) > 1]
    active = {name: np.full(JOINT_COUNT, name not in late) for name in names}
    start: dict[str, Array] = dict(nominal)
    done: dict[tuple[str, int], Estimate] = {}
    step = JOINTS_A_FINGER if config.searches == "finger" else 1
    groups = [range(at, at + step) for at in range(0, JOINT_COUNT, step)]
    limits = Limits(config.most_spread, config.least_felt)
    generations = number = 0
    for number in range(config.rounds):
        rest = config.generations if number == 0 else max(1, config.generations // 2)
        this = Round(number, groups, active, start, rest, _LATER_WIDTH if number else 1.0)

        def show(generation: int, best: Array, n: int = number, at: int = generations) -> None:
            if on_generation is not None:
                on_generation(n, at + generation + 1, best)

        clips = _of_seeds(fit, config.seeds)
        found = search(hands, this, clips, config.population, skip, config.seed, journal, show)
        generations += found.generations
        felt = _felt(hands, found.values, list(active), clips, skip, config.most_spread)
        rows = estimates(found.values, active, nominal, felt, limits)
        last, late_enough = number == config.rounds - 1, number >= config.rounds - 2
        refused = (
            [each for each in rows if each.refused]
            if last
            else refuse_worst(rows, number == 0, late_enough)
        )
        again = any(each.refused or each.parameter == "delay" for each in rows)
        best = _best_of_seeds(hands, found.values, groups, fit, skip)
        start, active = _next(rows, refused, best, start, active, late_enough)
        if number == 0 and late:
            active |= {name: np.ones(JOINT_COUNT, dtype=bool) for name in late}
            again = True
        done |= {(each.parameter, each.index): each for each in rows}
        if not again or not any(mask.any() for mask in active.values()):
            break
    order = {name: place for place, name in enumerate(PARAMETERS)}
    judged = sorted(done.values(), key=lambda e: (order[e.parameter], e.index))
    end = Round(number + 1, groups, {}, start, 0, 0.0)
    return _last_fit(hands, judged, end, nominal, fit, skip, journal), number + 1, generations


def _last_fit(
    hands: FreeHands,
    rows: Sequence[Estimate],
    end: Round,
    nominal: Values,
    fit: Sequence[int],
    skip: int,
    journal: Journal,
) -> list[Estimate]:
    """What passed the gate, fitted once more: to all clips, from the best seed's values, the rest at nominal."""
    values = {name: value.copy() for name, value in nominal.items()}
    masks = {each.parameter: np.zeros(JOINT_COUNT, dtype=bool) for each in rows}
    for each in rows:
        if each.refused:
            continue
        if each.parameter == "delay":
            values["delay"][:] = each.estimate
        else:
            values[each.parameter][each.index] = end.start[each.parameter][each.index]
            masks[each.parameter][each.index] = True
    known = journal.get(end.number, POLISHED)
    if known is None:
        this = dataclasses.replace(end, active=masks)
        found = polish(hands, this, values, fit, skip, _LAST_ITERATIONS)
        known = np.array([found[name] for name in nominal])
        journal.put(end.number, POLISHED, known)
    last = dict(zip(nominal, known, strict=True))
    return [
        each
        if each.refused or each.parameter == "delay"
        else dataclasses.replace(each, fitted=float(last[each.parameter][each.index]))
        for each in rows
    ]


def _felt(
    hands: FreeHands,
    found: Values,
    names: Sequence[str],
    clips: Sequence[Sequence[int]],
    skip: int,
    share: float,
) -> dict[str, Array]:
    """Rise of the squared error, (16,) by parameter, at each seed's values; all joints are changed at once."""
    most = {name: np.full(JOINT_COUNT, -np.inf) for name in names}
    for s, mine in enumerate(clips):
        values = {
            name: np.repeat(value[s][None], 1 + 2 * len(names), axis=0)
            for name, value in found.items()
        }
        for place, name in enumerate(names):
            for sign in (0, 1):
                row = 1 + 2 * place + sign
                values[name][row] = PARAMETERS[name].changed(
                    values[name][0], share * (1 - 2 * sign)
                )
        count = 1 + 2 * len(names)
        pairs = np.array([(k, clip) for k in range(count) for clip in mine], dtype=np.intp)
        square = (
            hands.errors(values, pairs, skip).reshape(count, len(mine), JOINT_COUNT).mean(axis=1)
        )
        rise = square[1:] / np.maximum(square[0], 1e-14) - 1.0
        lesser = rise.reshape(len(names), 2, JOINT_COUNT).min(axis=1)
        for place, name in enumerate(names):
            seen = (
                np.full(JOINT_COUNT, np.median(lesser[place])) if name == "delay" else lesser[place]
            )
            most[name] = np.maximum(most[name], seen)
    return most


def _next(
    rows: Sequence[Estimate],
    refused: Sequence[Estimate],
    best: Values,
    start: Mapping[str, Array],
    active: Mapping[str, NDArray[np.bool_]],
    settle: bool,
) -> tuple[dict[str, Array], dict[str, NDArray[np.bool_]]]:
    """Where the next round begins: at the best seed's values, at nominal where one was refused.

    Up to now every joint had a delay of its own; to settle it makes it one.
    """
    values = {name: value.copy() for name, value in start.items()}
    masks = {name: mask.copy() for name, mask in active.items()}
    out = {(each.parameter, each.index) for each in refused}
    for each in rows:
        gone = (each.parameter, each.index) in out
        delay = each.parameter == "delay"
        place = slice(None) if delay else each.index
        sure = settle and delay and not each.refused
        kept = each.estimate if sure else best[each.parameter][place]
        values[each.parameter][place] = each.nominal if gone else kept
        if gone or sure:
            masks[each.parameter][place] = False
    return values, masks


def _best_of_seeds(
    hands: FreeHands,
    found: Values,
    groups: Sequence[Sequence[int]],
    fit: Sequence[int],
    skip: int,
) -> dict[str, Array]:
    """Of each group the values of the seed that all clips together are best with, (16,) by parameter."""
    seeds = len(next(iter(found.values())))
    pairs = np.array([(s, clip) for s in range(seeds) for clip in fit], dtype=np.intp)
    square = hands.errors(found, pairs, skip).reshape(seeds, len(fit), JOINT_COUNT).mean(axis=1)
    best = {name: value[0].copy() for name, value in found.items()}
    for group in groups:
        joints = list(group)
        winner = int(square[:, joints].mean(axis=1).argmin())
        for name, value in found.items():
            best[name][joints] = value[winner, joints]
    return best


def _of_seeds(fit: Sequence[int], seeds: int) -> list[list[int]]:
    """Clips of each seed: all but every S-th, another one for each seed."""
    if seeds == 1 or len(fit) < seeds:
        return [list(fit) for _ in range(seeds)]
    return [[clip for k, clip in enumerate(fit) if k % seeds != s] for s in range(seeds)]


def _error(hands: FreeHands, values: Values, clips: Sequence[int], skip: int) -> Array:
    """Root mean square over clips, (16,) rad."""
    one = {name: value[None] for name, value in values.items()}
    pairs = np.array([(0, clip) for clip in clips], dtype=np.intp)
    error: Array = np.sqrt(hands.errors(one, pairs, skip).mean(axis=0))
    return error


def _world(config: SysidConfig, base: World, rows: Sequence[Estimate]) -> World:
    values = nominal_values(base)
    changed = set()
    for each in rows:
        if not each.refused:
            place = slice(None) if each.parameter == "delay" else each.index
            values[each.parameter][place] = each.value
            changed.add(each.parameter)
    world = with_values(base, {name: values[name] for name in changed})
    return dataclasses.replace(world, name=config.name or f"{base.name}_identified")


def _head(
    config: SysidConfig,
    rows: Sequence[Estimate],
    before: Array,
    after: Array,
    clips: int,
    commit: str,
) -> list[str]:
    good = sum(not each.refused for each in rows)
    old, new = (float(np.sqrt(np.mean(error**2))) * 1e3 for error in (before, after))
    source = f"the simulated hand of {config.twin}" if config.twin else "recorded clips of a hand"
    return [
        f"Identified by dexndm sysid from {clips} clips of {config.clip_s:g} s of {source}; commit {commit}.",
        f"{good} of {len(rows)} parameters identified; error on held-out clips {old:.2f} mrad before, "
        f"{new:.2f} mrad after.",
        f"Started from {config.world}; seed {config.seed}, {config.seeds} searches. Report beside this file.",
    ]


def _sum_of(clips: Sequence[Clip]) -> str:
    digest = hashlib.sha256()
    for clip in clips:
        digest.update(clip.wrist.encode())
        for part in (clip.q, clip.qd, clip.action, clip.held):
            digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()


def _write(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
