# SPDX-License-Identifier: Apache-2.0
"""Whatever happens, in whatever order: what the arm is told, seen from outside.

A model keeps what an observer would: what was wrong, whether the grip was let go since, where the arm is.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from scipy.spatial.transform import Rotation

from dexndm_ros.teleop.bridge import ArmSeen, Bridge, BridgeConfig, Decision
from dexndm_ros.teleop.clutch import State
from dexndm_ros.teleop.frames import angle_rad, distance_m
from dexndm_ros.teleop.limiter import LimiterConfig, PoseLimiter
from dexndm_ros.teleop.mapping import MappingConfig
from dexndm_ros.teleop.pose import Pose
from dexndm_ros.teleop.sample import Sample
from support.operator import Operator, controller, vectors

LIMITS = LimiterConfig()
HOME = Pose(np.array([0.5, 0.0, 0.4]), Rotation.from_euler("x", math.pi))
PERIOD_S = LIMITS.period_s
ROUNDING = 1e-9


class Teleoperation(RuleBasedStateMachine):
    """An operator, the bridge, the limiter and an arm that goes where it is told, 100 times a second."""

    @initialize(scale=st.sampled_from([0.3, 1.0, 2.5]), yaw_rad=st.floats(-3.0, 3.0))
    def begin(self, scale: float, yaw_rad: float) -> None:
        self.scale = scale
        self.operator = Operator(left=controller())
        self.bridge = Bridge(BridgeConfig(mapping=MappingConfig(scale=scale, yaw_rad=yaw_rad)))
        self.limiter = PoseLimiter(LIMITS, HOME)
        self.measured: Pose | None = HOME
        self.arm_fault = ""
        self.now_s = self.operator.now_s
        self.sample: Sample | None = None
        self.connected = True
        self.decision: Decision | None = None
        self.engaged = False
        self.let_go = False  # since the last thing that was wrong
        self.velocity_m_s = np.zeros(3)

    # --- what happens ------------------------------------------------------------------------

    @rule(squeeze=st.sampled_from([0.0, 0.3, 0.6, 1.0]), frames=st.integers(1, 4))
    def grip(self, squeeze: float, frames: int) -> None:
        self.hold()
        self.operator.squeeze(squeeze)
        self.frames(frames)

    def press_anew(self, wanted: bool = True) -> None:
        """All is well and the grip is pressed, so that there is something to be broken."""
        if self.engaged or not wanted:
            return
        self.hold()
        self.arm_fault = ""
        self.measured = self.measured or self.limiter.pose
        for squeeze in (0.0, 1.0):
            self.operator.squeeze(squeeze)
            self.frames(2)
        assert self.engaged, self.decision

    @rule(
        pressed=st.booleans(),
        velocity_m_s=vectors(1.5),
        turning=vectors(2.0),
        frames=st.integers(1, 40),
    )
    def move(self, pressed: bool, velocity_m_s, turning, frames: int) -> None:
        self.press_anew(pressed)
        self.hold()
        for _ in range(frames):
            self.operator.move(velocity_m_s / 90.0, turning / 90.0)
            self.frames(1)

    @rule(pressed=st.booleans(), by_m=vectors(1.0), turn=vectors(2.0))
    def jump(self, pressed: bool, by_m, turn) -> None:
        """The headset finds the controller elsewhere."""
        self.press_anew(pressed)
        self.hold()
        self.operator.move(by_m, turn)
        far = np.linalg.norm(by_m) > 0.06 or np.linalg.norm(turn) > math.radians(25.0)
        self.frames(1, wrong=self.engaged and far)

    @rule(
        pressed=st.booleans(),
        frames=st.integers(1, 8),
        moved_m=vectors(0.5),
        emulated=st.booleans(),
    )
    def lose(self, pressed: bool, frames: int, moved_m, emulated: bool) -> None:
        """The pose is lost, or guessed at random, for so many frames."""
        self.press_anew(pressed)
        self.hold()
        good = self.operator.right
        self.operator.move(moved_m)
        self.operator.right = replace(self.operator.right, tracked=emulated, emulated=emulated)
        before = self.decision.target if self.decision else None
        for k in range(frames):
            self.frames(1, wrong=k / 90.0 > 0.05)
            assert self.decision.target is None or self.decision.target is before
        self.operator.right = good

    @rule(pressed=st.booleans())
    def switch_to_bare_hands(self, pressed: bool) -> None:
        self.press_anew(pressed)
        self.operator.right = None
        self.frames(1, wrong=True)

    @rule(
        pressed=st.booleans(),
        other=st.sampled_from([{"visible": False}, {"recentred": True}, {"seq": 0}]),
    )
    def interrupt(self, pressed: bool, other) -> None:
        self.press_anew(pressed)
        self.frames(1, wrong=True, **other)

    @rule(pressed=st.booleans(), broken=st.sampled_from([math.nan, math.inf, -math.inf]))
    def break_pose(self, pressed: bool, broken: float) -> None:
        self.press_anew(pressed)
        self.hold()
        good = self.operator.right
        self.operator.right = replace(good, position_m=(0.0, broken, 0.0))
        self.frames(1, wrong=True)
        self.operator.right = good

    @rule(pressed=st.booleans(), seconds=st.floats(0.0, 0.3))
    def silence(self, pressed: bool, seconds: float) -> None:
        """The link is dead for so long; what comes then is new."""
        self.press_anew(pressed)
        self.pause(seconds)

    @rule(pressed=st.booleans())
    def disconnect(self, pressed: bool) -> None:
        self.press_anew(pressed)
        self.connected = False
        self.wrong()
        self.pause(0.05)
        self.connected = True

    @rule(pressed=st.booleans())
    def reconnect_from_another_page(self, pressed: bool) -> None:
        """Its count and its clock begin anew."""
        self.press_anew(pressed)
        self.operator.seq, self.operator.clock_offset_s = -1, -self.now_s
        self.frames(1, wrong=True)

    @rule(pressed=st.booleans(), fault=st.sampled_from(["", "the robot is in REFLEX"]))
    def robot(self, pressed: bool, fault: str) -> None:
        self.press_anew(pressed)
        self.arm_fault = fault
        self.pause(0.01)

    @rule(pressed=st.booleans(), known=st.booleans(), by_m=vectors(0.3))
    def push_the_arm(self, pressed: bool, known: bool, by_m) -> None:
        """Somebody moves it, or it is not heard of any more."""
        self.press_anew(pressed)
        here = self.limiter.pose
        self.measured = Pose(here.position_m + by_m, here.rotation) if known else None
        self.pause(0.02)
        self.measured = self.limiter.pose if known else None

    # --- what runs -----------------------------------------------------------------------------

    def hold(self) -> None:
        """The operator has the controller in the hand."""
        self.operator.right = self.operator.right or controller()

    def wrong(self) -> None:
        self.let_go = False
        self.must_hold = True

    must_hold = False  # at the next tick, for something was wrong

    def frames(self, count: int, wrong: bool = False, **other) -> None:
        """Samples as they come; each is seen at the first tick after its arrival."""
        for _ in range(count):
            coming = self.operator.frame(**other)
            self.operator.seq = coming.seq
            self.ticks(coming.arrived_s - self.now_s)
            self.sample = coming
            if wrong:
                self.wrong()
            self.tick()

    def ticks(self, seconds: float) -> None:
        """Whole periods that fit into a time, nothing new coming."""
        for _ in range(math.floor(seconds / PERIOD_S)):
            self.tick()

    def pause(self, seconds: float) -> None:
        """Time passes, and no sample comes."""
        self.ticks(seconds)
        self.operator.now_s = max(self.operator.now_s, self.now_s)

    def tick(self) -> None:
        self.now_s += PERIOD_S
        sample = self.sample if self.connected else None
        arm = ArmSeen(self.measured, self.limiter.pose, self.arm_fault)
        before, self.decision = self.decision, self.bridge.tick(self.now_s, sample, arm)
        self.check_decision(before, sample, arm)
        if self.decision.pulse and self.engaged and self.decision.target is self.measured:
            self.limiter.reset(self.measured)  # it begins where the arm is
            self.velocity_m_s = np.zeros(3)
        self.check_motion()

    def check_decision(self, before: Decision | None, sample, arm: ArmSeen) -> None:
        decision = self.decision
        stale = sample is None or self.now_s - sample.arrived_s > 0.15
        if stale or self.arm_fault or self.measured is None:
            self.wrong()
        was, self.engaged = self.engaged, decision.state is State.ENGAGED
        if self.must_hold:
            assert not self.engaged, decision
        self.must_hold = False
        # never engaged without a fresh press after whatever was wrong
        if self.engaged and not was:
            assert self.let_go
            assert sample.right.squeeze > 0.8
            assert decision.target in (arm.commanded, arm.measured)  # zero jump
        if was and not self.engaged:
            self.let_go = False
        if not stale and not self.arm_fault and sample.right and sample.right.squeeze < 0.5:
            self.let_go = True
            assert not self.engaged
        assert (decision.target is not None) is self.engaged
        assert bool(decision.reason) is not self.engaged
        if self.engaged and was:
            # one frame of a hand that is believed moves it by no more than a jump that is not one
            assert distance_m(decision.target, before.target) <= self.scale * 0.08
        if decision.target is not None:
            assert np.isfinite(decision.target.position_m).all()

    def check_motion(self) -> None:
        """Never outside the box, never faster or more suddenly than allowed."""
        before = self.limiter.pose
        self.limiter.step(self.decision.target, self.measured)
        after = self.limiter.pose
        velocity = (after.position_m - before.position_m) / LIMITS.period_s
        inside = self.inside(before)
        assert not inside or self.inside(after)
        assert np.linalg.norm(velocity) <= LIMITS.speed_m_s + 1e-6
        change = np.linalg.norm(velocity - self.velocity_m_s) / LIMITS.period_s
        assert change <= LIMITS.stop_m_s2 + 1e-4
        assert angle_rad(before, after) / LIMITS.period_s <= LIMITS.turn_rad_s + 1e-6
        self.velocity_m_s = velocity
        if self.measured is not None:
            self.measured = after

    def inside(self, pose: Pose) -> bool:
        low, high = np.array(LIMITS.box_lower_m), np.array(LIMITS.box_upper_m)
        here = pose.position_m
        return bool((here >= low - ROUNDING).all() and (here <= high + ROUNDING).all())

    @invariant()
    def the_axis_is_a_direction_or_none(self) -> None:
        if getattr(self, "decision", None) is not None:
            assert self.decision.axis.tolist() == [0.0, 0.0, 0.0]  # the left hand presses nothing


TestTeleoperation = Teleoperation.TestCase
TestTeleoperation.settings = settings(max_examples=60, stateful_step_count=25)
