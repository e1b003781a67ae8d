# SPDX-License-Identifier: Apache-2.0
"""Whatever comes in, in whatever order: the guard's promises."""

import math

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dexndm_ros.hand.errors import GuardRefusedError
from dexndm_ros.hand.guard import Accepted, Guard, GuardConfig, Mode
from dexndm_ros.hand.joints import LOWER_RAD, UPPER_RAD

CONFIG = GuardConfig()
SPAN = UPPER_RAD - LOWER_RAD
EPS = 1e-9

inside = st.lists(st.floats(0.0, 1.0), min_size=16, max_size=16).map(
    lambda u: np.clip(LOWER_RAD + np.array(u) * SPAN, LOWER_RAD, UPPER_RAD).tolist()
)
any_list = st.lists(st.floats(width=32), max_size=20)
sources = st.sampled_from(["policy", "replay", ""])
seconds = st.floats(0.0, 0.4)


class GuardMachine(RuleBasedStateMachine):
    """Drives a guard with good and bad commands, ticks, faults and services."""

    @initialize()
    def start(self):
        self.guard = Guard(CONFIG)
        self.now_s = 0.0
        self.measured = np.zeros(16)
        self.last = None  # target of the last tick, or the pose that enabling holds
        self.moved = True  # an accepted command stands
        self.mode_before = Mode.RELAXED
        self.seq = 100

    @rule(shift=st.sampled_from([0.01, -0.1, 0.3, 0.5]), joint=st.integers(0, 15))
    def nearby(self, shift, joint):
        """A publisher that counts properly and asks for something close to the last target."""
        self.seq += 1
        q = (self.measured if self.last is None else self.last).copy()
        q[joint] += shift
        q = np.clip(q, LOWER_RAD, UPPER_RAD)
        answer = self.guard.accept(q, self.seq, "policy", self.now_s)
        self.moved = isinstance(answer, Accepted)

    @rule(position=inside, source=sources, seq=st.integers(0, 5))
    def command(self, position, source, seq):
        answer = self.guard.accept(position, seq, source, self.now_s)
        self.moved = isinstance(answer, Accepted)

    @rule(position=any_list, source=sources, seq=st.integers(0, 5))
    def garbage(self, position, source, seq):
        q = np.array(position, dtype=float)
        answer = self.guard.accept(position, seq, source, self.now_s)
        allowed = CONFIG.limit_tolerance_rad
        sound = q.shape == (16,) and bool(
            np.all(q >= LOWER_RAD - allowed) and np.all(q <= UPPER_RAD + allowed)
        )
        assert sound or not isinstance(answer, Accepted)
        self.moved = isinstance(answer, Accepted)

    @rule(pose=inside)
    def measure(self, pose):
        self.measured = np.array(pose)

    @rule(dt_s=seconds, readable=st.booleans())
    def tick(self, dt_s, readable):
        self.now_s += dt_s
        out = self.guard.tick(self.measured if readable else None, self.now_s)
        assert out.mode is self.guard.mode
        if self.mode_before in (Mode.FAULT, Mode.RELAXED):
            assert out.mode is self.mode_before
        assert (out.target is None) == (out.mode in (Mode.RELAXED, Mode.FAULT))
        if out.target is None:
            self.last = None
            return
        assert np.all(np.isfinite(out.target))
        assert np.all(out.target >= LOWER_RAD)
        assert np.all(out.target <= UPPER_RAD)
        if self.last is not None:
            self.check_motion(out, np.abs(out.target - self.last), dt_s)
        self.last = out.target
        self.mode_before = out.mode

    def check_motion(self, out, step, dt_s):
        held = np.array_equal(out.target, self.measured)
        ramp = CONFIG.ramp_speed_rad_s * min(dt_s, CONFIG.max_tick_s) + EPS
        if out.mode is Mode.HOLDING or held:
            assert held or np.all(step == 0.0)
        elif self.mode_before is not Mode.ACTIVE:
            # Starting from the held pose, which may have been captured in this very tick.
            from_held = np.max(np.abs(out.target - self.measured))
            assert np.max(step) <= ramp or from_held <= ramp
        else:
            assert np.max(step) <= max(CONFIG.max_step_rad, ramp) + EPS
        if not self.moved:
            assert held or np.all(step == 0.0)

    @precondition(lambda self: self.last is not None)
    @rule(shift=st.sampled_from([0.01, -0.1, 0.3, 0.5]), joint=st.integers(0, 15))
    def settle(self, shift, joint):
        """Every other publisher falls silent; one stays where the hand is, then asks for a step."""
        self.tick(0.2, True)
        for _ in range(3):
            self.nearby(0.0, 0)
            self.tick(0.01, True)
        assert self.guard.mode is Mode.ACTIVE
        self.nearby(shift, joint)
        self.tick(0.01, True)

    @rule(broken=st.booleans())
    def enable(self, broken):
        was = self.guard.mode
        pose = np.full(16, math.nan) if broken else self.measured
        try:
            self.guard.enable(pose)
        except GuardRefusedError:
            assert was is Mode.FAULT or broken
        else:
            expected = Mode.HOLDING if was is Mode.RELAXED else was
            assert self.guard.mode is expected
            if was is Mode.RELAXED:
                self.moved = False
                self.last = self.measured.copy()
        self.mode_before = self.guard.mode

    @rule()
    def relax(self):
        was = self.guard.mode
        self.guard.relax()
        assert self.guard.mode is (Mode.FAULT if was is Mode.FAULT else Mode.RELAXED)
        self.mode_before = self.guard.mode
        self.last = None

    @rule()
    def fault(self):
        self.guard.fault("test")
        assert self.guard.mode is Mode.FAULT
        self.mode_before = self.guard.mode
        self.last = None

    @rule()
    def recover(self):
        was = self.guard.mode
        try:
            self.guard.recover()
        except GuardRefusedError:
            assert was is not Mode.FAULT
            assert self.guard.mode is was
        else:
            assert self.guard.mode is Mode.RELAXED
        self.mode_before = self.guard.mode

    @invariant()
    def fault_is_left_by_recover_only(self):
        if getattr(self, "mode_before", None) is Mode.FAULT:
            assert self.guard.mode is Mode.FAULT


GuardMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)
TestGuardMachine = GuardMachine.TestCase
