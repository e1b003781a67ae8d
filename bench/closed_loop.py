# SPDX-License-Identifier: Apache-2.0
"""The same policy from the same starts, twice: live, and in the evaluation environment.

Live: virtual hand, bus, driver, DDS and policy node, in real time. The state in which the policy took over
(joints, object, target) is then a start of ``dexndm evaluate``'s own environment and loop.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.live_system import Listener, LiveSystem, running
from bench.result import Check, Options, Result
from dexndm_ros.demo.world_summary import with_wrist
from dexndm_ros.hand.joints import CANONICAL_POSE_RAD
from dexndm_ros.nodes._demo_events import ObjectSeen, ProgressSeen, StateSeen, StepSeen
from dexndm_ros.paths import policy_path, world_path
from dexndm_ros.policy.onnx_file import open_model
from dexndm_ros.policy.wrist import parse_axis
from dexndm_ros.sim.env import EnvConfig, RotationEnv
from dexndm_ros.sim.grasp_cache import GraspCache, object_size_m
from dexndm_ros.sim.worlds import World
from dexndm_ros.training.controllers import open_controller
from dexndm_ros.training.episodes import Episodes, run_episodes

_STEPS = 400
_PERIOD_S = 0.05
_START_LIMIT_S = 60.0
_ATTEMPTS = 3


@dataclass(frozen=True)
class _Start:
    """Where the policy took over."""

    q: NDArray[np.float64]
    pose: ObjectSeen
    progress: ProgressSeen


class _InOrder(GraspCache):
    """Starts that are used each once, in order."""

    def pick(self, radius_m: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.intp]:
        """The k-th start for the k-th hand."""
        return np.arange(len(radius_m))


class _Watch(Listener):
    """Waits for the policy to take over, then follows the episode."""

    def __init__(self) -> None:
        self.start: _Start | None = None
        self.progress: ProgressSeen | None = None
        self._state: StateSeen | None = None
        self._pose: ObjectSeen | None = None
        self._after_episode = 0

    def arm(self) -> None:
        """Expect a new episode."""
        self._after_episode = 0 if self.progress is None else self.progress.episode
        self.start = None

    @property
    def turned_rad(self) -> float:
        """Since the policy took over."""
        assert self.start is not None and self.progress is not None
        return self.progress.angle_rad - self.start.progress.angle_rad

    @property
    def held_s(self) -> float:
        """Since the policy took over, simulated time."""
        assert self.start is not None and self.progress is not None
        return self.progress.time_s - self.start.progress.time_s

    @property
    def fallen(self) -> bool:
        """In this episode."""
        return self.progress is not None and self.progress.fallen

    def on_state(self, state: StateSeen) -> None:
        """A hand/state arrived."""
        self._state = state

    def on_object(self, pose: ObjectSeen) -> None:
        """A sim/object arrived."""
        self._pose = pose

    def on_progress(self, progress: ProgressSeen) -> None:
        """A rotation/progress arrived."""
        self.progress = progress

    def on_step(self, step: StepSeen) -> None:
        """A policy/step arrived."""
        now, state, pose = self.progress, self._state, self._pose
        if self.start is not None or not step.running or now is None:
            return
        if now.episode > self._after_episode and not now.fallen and state and pose:
            self.start = _Start(state.position_rad, pose, now)


def run(options: Options) -> Result:
    """Run the episodes live, then again in the environment."""
    length_s = (10 if options.quick else _STEPS) * _PERIOD_S
    world_file = world_path(options.world)
    with tempfile.TemporaryDirectory(prefix="dexndm-bench-") as folder:
        if options.wrist:
            world_file = with_wrist(world_file, options.wrist, Path(folder))
        world = World.load(world_file)
        starts, live = _live(options, world_file, length_s)
    policy = policy_path(options.policy)
    ours = _evaluate(policy, world, parse_axis(options.axis), starts, length_s, options.threads)
    turned, held = np.array([row[:2] for row in live]).T
    survived = np.array([row[2] for row in live], dtype=bool)
    there, here = ours.summary(), {
        "rotation_rad": turned.mean(), "held": (held / length_s).mean(), "survived": survived.mean()
    }  # fmt: skip
    keys = ("rotation_rad", "held", "survived")
    ratio = {k: here[k] / there[k] if there[k] else float("nan") for k in keys}
    return Result(
        f"{len(starts)} episodes of {length_s:g} s, {world.wrist} {options.axis}, same starts",
        ["", "rotation rad", "share of time held", "survived"],
        [
            ["live: bus, driver, DDS, node", *(float(here[k]) for k in keys)],
            ["dexndm evaluate", *(there[k] for k in keys)],
            ["ratio", *(float(ratio[k]) for k in keys)],
        ],
        [
            Check("rotation kept", float(ratio["rotation_rad"]), 0.85, at_most=False),
            Check("survival kept", float(ratio["survived"]), 0.85, at_most=False),
        ],
        [f"world {world.name}, physics {world.physics}, not randomised"],
        {
            "live": [[float(a), float(b), bool(c)] for a, b, c in live],
            "evaluate": np.stack([ours.turned_rad, ours.held * length_s], axis=1).tolist(),
        },
    )


def _live(
    options: Options, world: Path, length_s: float
) -> tuple[list[_Start], list[tuple[float, float, bool]]]:
    """Starts, and (turned rad, held s, survived) of each episode."""
    watch = _Watch()
    arguments = {
        "sim": "true", "world": str(world), "policy": options.policy, "axis": options.axis,
        "wrist": options.wrist, "seed": options.seed,
    }  # fmt: skip
    starts, rows = [], []
    with running("rotation_demo", arguments, watch) as live:
        for episode in range(options.episodes):
            if episode:
                watch.arm()
                live.trigger("sim/reset")
                live.trigger("policy/restart")
            start = _begin(live, watch)
            live.until(lambda: watch.fallen or watch.held_s >= length_s, "the end", 3 * length_s)
            starts.append(start)
            rows.append((watch.turned_rad, min(watch.held_s, length_s), not watch.fallen))
    return starts, rows


def _begin(live: LiveSystem, watch: _Watch) -> _Start:
    for _ in range(_ATTEMPTS):
        deadline_s = time.monotonic() + _START_LIMIT_S
        live.until(_started_or_late(watch, deadline_s), "the policy to take over")
        if watch.start is not None:
            return watch.start
        # The hand did not get hold of the object, or lost it before the policy ran: once more.
        watch.arm()
        live.trigger("sim/reset")
        live.trigger("policy/restart")
    raise RuntimeError(f"the hand did not get hold of the object in {_ATTEMPTS} attempts")


def _started_or_late(watch: _Watch, deadline_s: float) -> Callable[[], bool]:
    return lambda: watch.start is not None or time.monotonic() > deadline_s


def _evaluate(
    policy: Path, world: World, axis: NDArray[np.float64], starts: list[_Start], length_s: float,
    threads: int,
) -> Episodes:  # fmt: skip
    count = len(starts)
    target = np.array(open_model(policy).spec.default_pose_rad or CANONICAL_POSE_RAD)
    cache = _InOrder(
        np.tile(target, (count, 1)),
        np.array([s.q for s in starts]),
        np.array([s.pose.position_m for s in starts]),
        np.array([s.pose.xyzw for s in starts]),
        np.full(count, object_size_m(world)),
        {},
    )
    config = EnvConfig(episode_steps=round(length_s / _PERIOD_S), auto_reset=False)
    env = RotationEnv([dataclasses.replace(world)] * count, cache, axis, config, 0, threads)
    return run_episodes(env, open_controller(str(policy), "", count))
