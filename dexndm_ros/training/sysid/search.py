# SPDX-License-Identifier: Apache-2.0
"""CMA-ES searches side by side on the same rollouts: one a joint, or one a finger; several seeds at once.

Fingers in the air do not feel each other, and a finger's joints hardly do beside their servos: each search looks at the
error of its own joints only, and the others' candidates are a noise that fades as they arrive.

A searcher's draws follow from its seed and the losses it was told. So the journal keeps losses only, and a search that
was interrupted goes through its journal first and is then bit for bit where it was.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from cmaes import CMA
from numpy.typing import NDArray

from dexndm_ros.hand.joints import JOINT_NAMES
from dexndm_ros.training.sysid.errors import SysidError
from dexndm_ros.training.sysid.parameters import PARAMETERS, Values
from dexndm_ros.training.sysid.polish import polish
from dexndm_ros.training.sysid.rounds import Round
from dexndm_ros.training.sysid.simulate import FreeHands

__all__ = ["POLISHED", "Found", "Journal", "search"]

Array = NDArray[np.float64]
_STILL = 0.004
"""Deviation of x among candidates at which a search has arrived."""
_NOT_FINITE = 1e6
POLISHED = -1
"""In the journal, the generation that stands for the values after the last one was polished."""
_ITERATIONS = 10
_ASIDE = 0.5
"""How far from the start a search begins, in deviations."""


class Journal:
    """Losses of every generation, one line of JSON each.

    Args:
        path: the file; made where there is none.
        groupprint: of what the losses follow from.

    Raises:
        SysidError: the journal is of other settings.
    """

    def __init__(self, path: Path, groupprint: str) -> None:
        self._known: dict[tuple[int, int], list[list[list[float]]]] = {}
        whole = 0
        lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        for number, line in enumerate(lines):
            try:
                entry = json.loads(line)
            except ValueError:
                break  # cut off while it was written
            if not line.endswith(b"\n"):
                break
            if number == 0 and entry.get("groupprint") != groupprint:
                raise SysidError(
                    f"{path} is of other settings or other data; give another out, or remove that folder"
                )
            if number:
                self._known[entry["round"], entry["generation"]] = entry["loss"]
            whole += len(line)
        self._file = path.open("ab")
        self._file.truncate(whole)
        if not whole:
            self._write({"groupprint": groupprint})

    def get(self, number: int, generation: int) -> Array | None:
        """Losses (seeds, candidates, groups) of a generation, or the values it ended with; None where unknown."""
        known = self._known.get((number, generation))
        return None if known is None else np.array(known)

    def put(self, number: int, generation: int, loss: Array) -> None:
        """Keep them."""
        self._write({"round": number, "generation": generation, "loss": loss.tolist()})

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, entry: Mapping[str, object]) -> None:
        self._file.write(json.dumps(entry).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())


@dataclass(frozen=True)
class Found:
    """Where the searches of a round arrived.

    Attributes:
        values: of each seed, (S, 16).
        loss: best of the last generation, root of the mean square, (S, groups) rad.
        generations: that it took.
    """

    values: Values
    loss: Array
    generations: int


def search(
    hands: FreeHands,
    this: Round,
    clips: Sequence[Sequence[int]],
    population: int,
    skip: int,
    seed: int,
    journal: Journal,
    on_generation: Callable[[int, Array], None],
) -> Found:
    """Run the searches of a round.

    Args:
        hands: simulates.
        this: the round.
        clips: of each seed.
        population: candidates a generation.
        skip: steps at the begin of a clip that do not count.
        seed: of the draws.
        journal: losses known already, and to come.
        on_generation: told the generation and the best losses, (S, groups) rad.

    Raises:
        SysidError: no candidate could be simulated.
    """
    seeds, groups = len(clips), range(len(this.groups))
    searchers = [
        [_searcher(this, group, population, [seed, this.number, s, group]) for group in groups]
        for s in range(seeds)
    ]  # fmt: skip
    best = np.full((seeds, len(groups)), np.inf)
    generation = 0
    for generation in range(this.generations):
        asked = [[_ask(cma, population) for cma in row] for row in searchers]
        loss = journal.get(this.number, generation)
        if loss is None:
            loss = _losses(hands, this, asked, clips, population, skip)
            journal.put(this.number, generation, loss)
        best = np.sqrt(loss.min(axis=1))
        if best.max() ** 2 >= _NOT_FINITE:
            raise SysidError(
                f"{JOINT_NAMES[this.groups[int(best.max(axis=0).argmax())][0]]}: no candidate could be "
                f"simulated; are the measured angles finite, and those of this hand?"
            )
        for s, row in enumerate(searchers):
            for group, cma in enumerate(row):
                if cma is not None:
                    pairs = zip(asked[s][group], loss[s, :, group], strict=True)
                    cma.tell([(x, float(value)) for x, value in pairs])
        on_generation(generation, best)
        if _arrived(this, asked):
            break
    values = {name: np.repeat(value[None], seeds, axis=0) for name, value in this.start.items()}
    for s, row in enumerate(searchers):
        for group, cma in enumerate(row):
            if cma is not None:
                _place(this, group, values, s, cma.mean[None])
    return Found(_polished(hands, this, values, clips, skip, journal), best, generation + 1)


def _polished(
    hands: FreeHands,
    this: Round,
    values: Values,
    clips: Sequence[Sequence[int]],
    skip: int,
    journal: Journal,
) -> dict[str, Array]:
    known = journal.get(this.number, POLISHED)
    if known is None:
        rows = [
            polish(hands, this, {k: v[s] for k, v in values.items()}, mine, skip, _ITERATIONS)
            for s, mine in enumerate(clips)
        ]
        known = np.array([[row[name] for row in rows] for name in values])
        journal.put(this.number, POLISHED, known)
    return {name: known[place] for place, name in enumerate(values)}


def _bounds(this: Round, group: int) -> Array:
    """Bounds of a group's search, in deviations."""
    places = this.places(group)
    rows = [np.array(PARAMETERS[name].bounds) / PARAMETERS[name].deviation for name, _ in places]
    # CMA-ES has no one-dimensional case of its own; a number that does nothing stands beside it.
    return np.array(rows + [np.array([-5.0, 5.0])] * (len(rows) == 1))


def _searcher(this: Round, group: int, population: int, seed: list[int]) -> CMA | None:
    places = this.places(group)
    if not places:
        return None
    start = [
        float(PARAMETERS[name].x(this.start[name][joints[0]])) / PARAMETERS[name].deviation
        for name, joints in places
    ]
    bounds = _bounds(this, group)
    stream = np.random.RandomState(seed)
    word = int(stream.randint(2**31 - 1))
    # Each seed begins elsewhere: what the data do not say then stays where it was, and shows as spread.
    mean = np.array(start + [0.0] * (len(start) == 1))
    mean = mean + _ASIDE * this.width * stream.standard_normal(len(mean))
    mean = np.clip(mean, bounds[:, 0], bounds[:, 1])
    return CMA(mean, this.width, bounds, seed=word, population_size=population)


def _ask(cma: CMA | None, population: int) -> Array:
    if cma is None:
        return np.zeros((population, 0))
    return np.array([cma.ask() for _ in range(population)])


def _place(this: Round, group: int, values: Mapping[str, Array], begin: int, x: Array) -> None:
    """Write a group's candidates (K, n), in deviations, into rows of the values from ``begin`` on."""
    rows = slice(begin, begin + len(x))
    bounds = _bounds(this, group)
    for column, (name, joints) in enumerate(this.places(group)):
        kept = np.clip(x[:, column], *bounds[column]) * PARAMETERS[name].deviation
        values[name][rows, joints] = PARAMETERS[name].value(kept)[:, None]


def _losses(
    hands: FreeHands,
    this: Round,
    asked: Sequence[Sequence[Array]],
    clips: Sequence[Sequence[int]],
    population: int,
    skip: int,
) -> Array:
    """Mean square of each candidate, (S, K, groups) rad²."""
    seeds = len(clips)
    count = seeds * population
    values = {name: np.repeat(value[None], count, axis=0) for name, value in this.start.items()}
    for s, row in enumerate(asked):
        for group, x in enumerate(row):
            if x.size:
                _place(this, group, values, s * population, x)
    pairs = [
        (s * population + k, clip) for s in range(seeds) for k in range(population) for clip in clips[s]
    ]  # fmt: skip
    errors = hands.errors(values, np.array(pairs, dtype=np.intp), skip)
    by_group = np.stack([errors[:, list(joints)].mean(axis=1) for joints in this.groups], axis=1)
    groups = len(this.groups)
    loss, at = np.empty((seeds, population, groups)), 0
    for s in range(seeds):
        rows = population * len(clips[s])
        loss[s] = by_group[at : at + rows].reshape(population, len(clips[s]), groups).mean(axis=1)
        at += rows
    return np.minimum(np.nan_to_num(loss, posinf=_NOT_FINITE), _NOT_FINITE)


def _arrived(this: Round, asked: Sequence[Sequence[Array]]) -> bool:
    """All candidates of all searches are as good as equal."""
    for row in asked:
        for group, x in enumerate(row):
            scale = [PARAMETERS[name].deviation for name, _ in this.places(group)]
            if scale and (x[:, : len(scale)].std(axis=0) * scale).max() > _STILL:
                return False
    return True
