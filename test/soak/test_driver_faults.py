# SPDX-License-Identifier: Apache-2.0
"""The whole system under faults at random, for minutes: what must always hold is checked at every message.

``DEXNDM_SOAK_S`` says how long (600 s), ``DEXNDM_SOAK_SEED`` which sequence of faults (1).
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("dexndm_msgs")

from dexndm_msgs.msg import HandHealth, HandState
from dexndm_msgs.srv import InjectFault
from std_srvs.srv import Trigger

from dexndm_ros.bringup import ProcessSpec, system
from dexndm_ros.hand.bus import BusConfig, DynamixelBus
from dexndm_ros.hand.guard import GuardConfig
from dexndm_ros.hand.joints import LOWER_RAD, UPPER_RAD
from support.ros import Graph, NodeProcess

pytestmark = [pytest.mark.soak, pytest.mark.ros]

DURATION_S = float(os.environ.get("DEXNDM_SOAK_S", "600"))
SEED = int(os.environ.get("DEXNDM_SOAK_SEED", "1"))
GUARD = GuardConfig()
HELD = (HandState.MODE_RAMPING, HandState.MODE_ACTIVE, HandState.MODE_HOLDING)
EXACT_RAD = 1e-9
OFF_WITHIN_STATES = 100
"""A second of whole reads: torque off is tried five times in it."""
ROUNDS = 12
RSS_GROWTH_MB = 6.0
HANDLE_GROWTH = 4


class HandWatch:
    """Looks at each hand/state and hand/health as it arrives; keeps what was wrong, not the messages."""

    def __init__(self, graph: Graph) -> None:
        self.problems: list[str] = []
        self.state: Any = None
        self.health: Any = None
        self.states = self.reports = self.faults = 0
        self.most_current_a = 0.0
        self.off_checks = 0
        self.off_states = 0
        graph.node.create_subscription(HandState, "hand/state", self._on_state, 5000)
        graph.node.create_subscription(HandHealth, "hand/health", self._on_health, 50)

    def _wrong(self, what: str) -> None:
        if len(self.problems) < 20:
            self.problems.append(what)

    def _on_state(self, state: Any) -> None:
        before, self.state = self.state, state
        self.states += 1
        if not np.isfinite([state.position, state.velocity, state.current, state.command]).all():
            self._wrong(f"state {state.seq} has a number that is not finite")
        if state.mode in HELD:
            self.off_states = 0
            self.most_current_a = max(self.most_current_a, float(np.abs(state.current).max()))
            self._check_limits(state)
            if before is not None and before.mode in HELD:
                self._check_step(before, state)
        else:
            self._check_torque_off(before, state)

    def _check_limits(self, state: Any) -> None:
        excess = float(np.maximum(LOWER_RAD - state.command, state.command - UPPER_RAD).max())
        # A joint found beyond its limit is held there and ramped in: pulling it back would be a jump.
        slack = 0.0 if state.mode == HandState.MODE_ACTIVE else GUARD.enable_tolerance_rad
        if excess > slack + EXACT_RAD:
            self._wrong(f"state {state.seq}, mode {state.mode}: target {excess:.4f} rad too far")

    def _check_step(self, before: Any, state: Any) -> None:
        """A target goes on from the last one, or becomes the pose that was measured."""
        gap_s = seconds(state) - seconds(before)
        allowed = GUARD.max_step_rad + EXACT_RAD
        held = EXACT_RAD
        if state.seq != before.seq + 1:  # cycles without a whole read in between
            allowed += max(gap_s, 0.0) * GUARD.max_step_rad / GUARD.command_period_s
            held = allowed
        from_target = np.abs(np.subtract(state.command, before.command))
        from_pose = np.abs(np.subtract(state.command, before.position))
        if (from_target > allowed).any() and (from_pose > held).any():
            k = int(from_target.argmax())
            self._wrong(
                f"states {before.seq} to {state.seq}, mode {before.mode} to {state.mode}: "
                f"the target of motor {k} jumps by {from_target[k]:.3f} rad"
            )

    def _check_torque_off(self, before: Any, state: Any) -> None:
        if before is None or state.seq != before.seq + 1:
            self.off_states = 0  # somebody was silent, and may not have heard it yet
        self.off_states += 1
        if self.off_states <= OFF_WITHIN_STATES:
            return
        self.off_checks += 1
        if np.any(state.current):
            k = int(np.abs(state.current).argmax())
            self._wrong(f"state {state.seq}, mode {state.mode}: motor {k} still draws current")

    def _on_health(self, health: Any) -> None:
        before, self.health = self.health, health
        self.reports += 1
        if health.fault and "hand/recover" not in health.fault:
            self._wrong(f"a fault without its cure: {health.fault!r}")
        if health.fault and not (before is not None and before.fault):
            self.faults += 1


def seconds(state: Any) -> float:
    return state.header.stamp.sec + 1e-9 * state.header.stamp.nanosec


def follows(start: Any, state: Any) -> bool:
    """Whether the policy's target has moved away from where it was, and a finger has moved with it."""
    if state.mode != HandState.MODE_ACTIVE or state.command_source != "rotation_policy":
        return False
    asked = np.subtract(state.command, start.position)
    moved = np.subtract(state.position, start.position)
    k = int(np.abs(asked).argmax())
    return abs(asked[k]) > 0.2 and moved[k] / asked[k] > 0.5


class System:
    """The processes of the demo, each its own, and what is done to them."""

    def __init__(self, graph: Graph, folder: Path) -> None:
        self.graph = graph
        self.watch = HandWatch(graph)
        self.rng = random.Random(SEED)
        self.journal: list[str] = []
        self.rss_mb: list[float] = []
        self.handles: list[int] = []
        self.groups: list[int] = []
        self.port = str(folder / "port")
        specs = system("rotation_demo", {"sim": "true", "port": self.port, "seed": SEED})
        self._specs = {spec.name: spec for spec in specs}
        self._folder = folder
        self._stopped = False
        self._starts = 0
        self.stack = contextlib.ExitStack()

    def start(self) -> None:
        """Start everything; whatever happens from here on, leaving ``stack`` ends it."""
        self.hand = self._start("virtual_leap_hand")
        self.driver = self._start("leap_hand_driver")
        self.policy = self._start("rotation_policy")
        self._listen_until(lambda: self.watch.health, "the driver")

    def _start(self, name: str) -> NodeProcess:
        spec: ProcessSpec = self._specs[name]
        self._starts += 1
        process = self.stack.enter_context(
            NodeProcess(spec, self._folder / f"{self._starts}_{name}")
        )
        self.groups.append(process.pid)
        return process

    def note(self, what: str) -> None:
        self.journal.append(f"{self.watch.states}: {what}")

    def check(self) -> None:
        """Nobody has ended, and nothing was wrong in any message so far."""
        for process in (self.hand, self.driver, self.policy):
            assert not process.ended(), f"{process.spec.name} ended:\n{process.log[-4000:]}"
        assert not self.watch.problems, "\n".join(
            [*self.watch.problems, f"seed {SEED}, what was done:", *self.journal[-15:]]
        )

    def _listen_until(self, condition: Callable[[], Any], what: str) -> None:
        try:
            self.graph.until(lambda: self.watch.problems or self._dead() or condition(), what)
        except AssertionError as error:
            tail = "\n".join([*self.journal[-15:], self.driver.log[-2000:]])
            raise AssertionError(f"{error}; seed {SEED}, what was done:\n{tail}") from None
        self.check()

    def _dead(self) -> bool:
        return self.hand.ended() or self.driver.ended() or self.policy.ended()

    # --- what is done to it -----------------------------------------------------------------------

    def inject(self, fault: str, motor: int = -1, p: float = 1.0, duration_s: float = 0.0) -> None:
        self.note(f"{fault} motor {motor} p {p:.3f} for {duration_s:.2f} s")
        request = InjectFault.Request(
            fault=fault, motor=motor, probability=p, duration_s=duration_s
        )
        answer = self.graph.call(InjectFault, "sim/inject_fault", request)
        assert answer.success, answer.message

    def call(self, service: str) -> bool:
        answer = self.graph.call(Trigger, service)
        self.note(f"{service}: {answer.success} {answer.message}")
        assert answer.message, f"{service} answered without a word"
        return answer.success

    def pause(self) -> None:
        """Freeze the policy: the hand must not go on following it."""
        self.resume()
        self.note("SIGSTOP policy")
        self.policy.signal(signal.SIGSTOP)
        self._stopped = True
        self._listen_until(
            lambda: self.watch.health.fault or self.watch.state.mode != HandState.MODE_ACTIVE,
            "the hand to leave a frozen policy",
        )

    def resume(self) -> None:
        if self._stopped:
            self.note("SIGCONT policy")
            self.policy.signal(signal.SIGCONT)
            self._stopped = False

    def kill(self) -> None:
        """Kill the policy and start another."""
        self.note("SIGKILL policy")
        self._stopped = False
        self.policy.signal(signal.SIGKILL)
        self.policy.wait()
        self.policy = self._start("rotation_policy")

    def some_fault(self) -> None:
        rng = self.rng
        kind = rng.choice(
            ("lost_reply", "corrupt_crc", "silent_motor", "unplugged", "overload", "hot_motor",
             "brown_out", "clear")
        )  # fmt: skip
        motor = rng.choice((-1, *range(16)))
        share = rng.choice((0.005, 0.02, 0.1, 0.5))
        lasts_s = rng.choice((0.0, 0.05, 0.3, 1.5, 3.0))
        self.inject(kind, motor, share, lasts_s)

    def some_call(self) -> None:
        names = ("hand/recover", "hand/enable", "hand/relax", "policy/restart", "sim/reset")
        self.call(self.rng.choice(names if not self._stopped else names[:3]))

    def some_process(self) -> None:
        self.rng.choice((self.pause, self.pause, self.resume, self.kill))()

    def look_on(self) -> None:
        """Let it go on for a while: counted in states, or in reports while no read is whole."""
        states, reports = self.watch.states + self.rng.randrange(10, 200), self.watch.reports + 2
        self._listen_until(
            lambda: self.watch.states >= states or self.watch.reports >= reports, "the driver"
        )

    def bring_back(self) -> None:
        """Clear, recover, enable, restart: the hand follows again."""
        self.inject("clear")
        self.resume()
        if self.watch.health.fault:
            self._listen_until(
                lambda: (
                    self.watch.off_states > OFF_WITHIN_STATES + 20
                    or self.watch.state.mode in HELD
                    or not self.watch.health.fault
                ),
                "the time in which the torque must be off",
            )
        for _ in range(ROUNDS):
            reports = self.watch.reports
            self.call("hand/recover")
            if not self.call("hand/enable"):
                self._listen_until(lambda: self.watch.reports > reports, "health")  # noqa: B023
                continue
            self.call("policy/restart")
            start, states = self.watch.state, self.watch.states
            self._listen_until(
                lambda: (
                    follows(start, self.watch.state)  # noqa: B023
                    or (self.watch.states > states and self.watch.state.mode not in HELD)  # noqa: B023
                ),
                "the hand to follow again",
            )
            if self.watch.state.mode in HELD:
                break
        else:
            raise AssertionError("\n".join(["it does not come back", *self.journal[-3 * ROUNDS :]]))
        reports = self.watch.reports + 1
        self._listen_until(lambda: self.watch.reports > reports, "health")
        self._sample()

    def _sample(self) -> None:
        proc = Path(f"/proc/{self.driver.pid}")
        status = (proc / "status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        self.rss_mb.append(int(line.split()[1]) / 1024)
        self.handles.append(len(list((proc / "fd").iterdir())))

    def end(self) -> None:
        """Policy and driver end by themselves, torque off; then the hand."""
        assert self.policy.stop() == 0, self.policy.log[-4000:]
        assert self.driver.stop() == 0, self.driver.log[-4000:]
        assert "Traceback" not in self.driver.log
        assert "could not be switched off" not in self.driver.log
        with DynamixelBus(BusConfig(self.port, reply_timeout_s=0.2, gap_s=0.1)) as bus:
            assert [bus.read_register(k, "torque_enable") for k in range(16)] == [0] * 16
        assert self.hand.stop() == 0, self.hand.log[-4000:]
        assert not Path(self.port).is_symlink()


@contextlib.contextmanager
def running(graph: Graph, folder: Path) -> Iterator[System]:
    whole = System(graph, folder)
    try:
        with whole.stack:
            try:
                whole.start()
                yield whole
            finally:
                whole.resume()  # a frozen process hears no SIGINT
    finally:
        watch = whole.watch
        print(
            f"\n{watch.states} states, {watch.faults} faults, torque off checked {watch.off_checks} "
            f"times; driver's RSS in MB {ends(whole.rss_mb)}, handles {ends(whole.handles)}"
        )


def ends(samples: list[float] | list[int]) -> str:
    """First, greatest and last of what was sampled, for the summary."""
    if not samples:
        return "not sampled"
    return f"{samples[0]:.4g} first, {max(samples):.4g} at most, {samples[-1]:.4g} last"


def growth(samples: list[float] | list[int]) -> float:
    """From the median of the first third after the first sample to that of the last third."""
    settled = samples[1:]
    third = max(1, len(settled) // 3)
    return float(np.median(settled[-third:]) - np.median(settled[:third]))


def test_the_system_survives_what_happens_to_it(tmp_path: Path) -> None:
    with Graph() as graph:
        with running(graph, tmp_path) as whole:
            whole.bring_back()
            end_s = time.monotonic() + DURATION_S
            while time.monotonic() < end_s:
                for _ in range(whole.rng.randrange(1, 4)):
                    action = whole.rng.choices(
                        (whole.some_fault, whole.some_call, whole.some_process), (6, 3, 2)
                    )[0]
                    action()
                    whole.look_on()
                whole.bring_back()
            whole.inject("clear")
            assert whole.watch.most_current_a > 0.0  # else its absence would say nothing
            assert growth(whole.rss_mb) < RSS_GROWTH_MB, whole.rss_mb
            assert growth(whole.handles) < HANDLE_GROWTH, whole.handles
            whole.end()
        for group in whole.groups:
            with pytest.raises(ProcessLookupError):
                os.killpg(group, 0)
