# SPDX-License-Identifier: Apache-2.0
"""The whole way from the headset to arm and fingers, with programs that freeze and die and links that fail.

Three programs (quest_bridge, arm_bridge, rotation_policy) live in one simulated time of 10 ms periods and tell each
other what their topics would. What is checked is what an arm and a hand get, against a model of what they may get.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from dexndm_ros.policy.asked_axis import AskedAxis
from dexndm_ros.teleop.arm_drive import ArmDrive, ArmOutput
from dexndm_ros.teleop.bridge import ArmSeen, Bridge, Decision
from dexndm_ros.teleop.clutch import State
from dexndm_ros.teleop.fr3 import HOME_RAD
from dexndm_ros.teleop.frames import angle_rad, distance_m
from dexndm_ros.teleop.franka import RobotMode
from dexndm_ros.teleop.pose import Pose
from dexndm_ros.teleop.profiles import load_profile
from dexndm_ros.teleop.sample import Sample
from support.operator import Operator, controller, vectors

PROFILE = load_profile("crisp")
LIMITS = PROFILE.limits
PERIOD_S = LIMITS.period_s
HOME = ArmDrive(PROFILE).chain.pose(HOME_RAD)
SILENCES_S = st.sampled_from([0.05, 0.17, 0.3, 0.6, 1.1])
"""Below and beyond each of the times after which somebody gives up."""
LEASE_S, ARM_STALE_S, REPEAT_TICKS = 0.5, 0.2, 10
ROUNDING = 1e-9


@dataclass
class Links:
    """What reaches whom."""

    targets: bool = True  # targets and status, from quest_bridge to arm_bridge
    feedback: bool = True  # poses and fault, back
    axes: bool = True  # rotation commands, from quest_bridge to rotation_policy


class QuestProgram:
    """``quest_bridge`` as its topics show it."""

    def __init__(self) -> None:
        self.bridge = Bridge()
        self.measured: tuple[Pose, float] | None = None
        self.commanded: Pose | None = None
        self.fault = ""
        self.ticks = 0
        self.axis_before, self.state_before = np.zeros(3), None

    def tick(self, sample: Sample | None, now_s: float) -> tuple[Decision, bool, bool]:
        """Its decision, and whether status and axis are told in this tick."""
        seen = self.measured
        measured = seen[0] if seen and now_s - seen[1] <= ARM_STALE_S else None
        decision = self.bridge.tick(now_s, sample, ArmSeen(measured, self.commanded, self.fault))
        repeats = self.ticks % REPEAT_TICKS == 0
        status = repeats or decision.state is not self.state_before
        axis = repeats or not np.array_equal(decision.axis, self.axis_before)
        self.ticks += 1
        self.axis_before, self.state_before = decision.axis, decision.state
        return decision, status, axis


class Chain(RuleBasedStateMachine):
    """Everything, and an observer."""

    @initialize()
    def begin(self) -> None:
        self.operator = Operator(left=controller())
        self.now_s = self.operator.now_s
        self.sample: Sample | None = None
        self.quest = QuestProgram()
        self.drive = ArmDrive(PROFILE)
        self.asked = AskedAxis(np.zeros(3), LEASE_S)
        self.links = Links()
        self.frozen: set[str] = set()
        self.waiting: dict[str, Callable[[], None]] = {}  # the newest word for one who is frozen
        self.arm, self.mode = HOME, RobotMode.MOVE
        self.last_told = HOME
        # what the observer knows
        self.velocity = np.zeros(3)
        self.grip_wanted = False  # the last sample that quest_bridge took had the grip pressed
        self.must_let_go = False
        self.target_heard_s = -1.0
        self.let_go_heard = True  # arm_bridge's last word of the clutch
        self.arm_ticked_s = self.now_s
        self.quest_ticked_s = self.now_s
        self.axis_told_s, self.axis_must_stop = -1.0, False
        self.run(0.1)

    # --- what happens --------------------------------------------------------------------------

    def work(self) -> None:
        """All is well, the arm follows and the fingers turn: there is something to be broken."""
        self.links, self.mode, self.frozen = Links(), RobotMode.MOVE, set()
        for squeeze, buttons in ((0.0, ()), (1.0, ("X",))):
            self.operator.squeeze(squeeze)
            self.operator.left = controller(buttons=frozenset(buttons))
            self.run(0.4)
        assert self.decision.state is State.ENGAGED, self.decision
        assert self.asked.at(self.now_ns)[0].any()

    @rule(
        works=st.booleans(), velocity=vectors(0.6), turn=vectors(1.5), seconds=st.floats(0.05, 0.8)
    )
    def move(self, works: bool, velocity, turn, seconds: float) -> None:
        if works:
            self.work()
        self.run(seconds, velocity, turn)

    @rule(squeeze=st.sampled_from([0.0, 1.0]), x=st.booleans(), seconds=st.floats(0.02, 0.4))
    def grip(self, squeeze: float, x: bool, seconds: float) -> None:
        self.operator.squeeze(squeeze)
        self.operator.left = controller(buttons=frozenset({"X"} if x else ()))
        self.run(seconds)

    @rule(
        who=st.sampled_from(["quest", "arm", "policy", "all"]),
        seconds=SILENCES_S,
        velocity=vectors(0.6),
        after=vectors(0.3),
    )
    def freeze(self, who: str, seconds: float, velocity, after) -> None:
        self.work()
        self.frozen = {"quest", "arm", "policy"} if who == "all" else {who}
        self.run(seconds, velocity)
        self.frozen = set()
        self.run(0.3, after)

    @rule(seconds=SILENCES_S, velocity=vectors(0.6), after=vectors(0.3))
    def quest_dies_and_is_started_again(self, seconds: float, velocity, after) -> None:
        self.work()
        self.frozen = {"quest"}
        self.run(seconds, velocity)
        self.quest, self.frozen, self.waiting = QuestProgram(), set(), {}
        self.grip_wanted = False
        self.must_let_go = self.axis_must_stop = True
        self.run(0.4, after)

    @rule(
        link=st.sampled_from(["targets", "feedback", "axes"]),
        seconds=SILENCES_S,
        velocity=vectors(0.6),
        after=vectors(0.3),
    )
    def lose_a_link(self, link: str, seconds: float, velocity, after) -> None:
        self.work()
        setattr(self.links, link, False)
        self.run(seconds, velocity)
        self.links = Links()
        self.run(0.3, after)

    @rule(mode=st.sampled_from([RobotMode.REFLEX, RobotMode.USER_STOPPED]), velocity=vectors(0.6))
    def robot_stops_itself(self, mode: RobotMode, velocity) -> None:
        self.work()
        self.mode = mode
        self.run(0.2, velocity)
        self.mode = RobotMode.MOVE
        self.run(0.3, velocity)

    @rule(by_m=vectors(0.2))
    def push_the_arm(self, by_m) -> None:
        """While nobody commands it: it must then begin where it is."""
        self.operator.squeeze(0.0)
        self.run(0.6)
        pushed_m = np.clip(self.arm.position_m + by_m, LIMITS.box_lower_m, LIMITS.box_upper_m)
        self.arm = Pose(pushed_m, self.arm.rotation)
        self.run(0.1)

    @rule(by_m=vectors(0.5))
    def jump(self, by_m) -> None:
        self.work()
        self.operator.move(by_m)
        self.run(0.3)

    # --- what runs -----------------------------------------------------------------------------

    @property
    def now_ns(self) -> int:
        return round(self.now_s * 1e9)

    def run(self, seconds: float, velocity=(0.0, 0.0, 0.0), turn=(0.0, 0.0, 0.0)) -> None:
        for _ in range(round(seconds / PERIOD_S)):
            self.operator.move(np.array(velocity) * PERIOD_S, np.array(turn) * PERIOD_S)
            self.sample = self.operator.frame(PERIOD_S)
            self.now_s = self.operator.now_s
            if self.wake("quest"):
                self.run_quest()
            if self.wake("arm"):
                self.run_arm()
            if self.wake("policy"):
                self.check_axis()

    def run_quest(self) -> None:
        if self.now_s - self.quest_ticked_s > 0.15 + ROUNDING:
            self.must_let_go = self.axis_must_stop = True
        self.quest_ticked_s = self.now_s
        self.decision, status, axis = self.quest.tick(self.sample, self.now_s)
        pressed = self.sample.right.squeeze > 0.5
        if not pressed:
            self.must_let_go = False
        self.grip_wanted = pressed
        if self.decision.state is State.ENGAGED:
            assert pressed
            assert not self.must_let_go
        decision = self.decision
        if self.links.targets:
            self.tell("arm", lambda: self.tell_arm(decision, status))
        if axis and self.links.axes:
            self.tell("policy", lambda: self.tell_policy(decision.axis))

    def tell(self, whom: str, word: Callable[[], None]) -> None:
        """Now, or when whoever is frozen goes on: the middleware keeps the newest message."""
        if whom in self.frozen:
            self.waiting[whom] = word
        else:
            word()

    def wake(self, whom: str) -> bool:
        """Whether somebody runs; what waited is heard first, as if it were new."""
        if whom in self.frozen:
            return False
        self.waiting.pop(whom, lambda: None)()
        return True

    def tell_arm(self, decision: Decision, status: bool) -> None:
        if decision.target is not None:
            self.drive.target(decision.target, self.now_s)
            self.target_heard_s = self.now_s
        if status:
            engaged = decision.state is State.ENGAGED
            self.drive.operator(engaged=engaged)
            self.let_go_heard = not engaged

    def tell_policy(self, axis) -> None:
        if self.axis_told_s > 0 and self.now_s - self.axis_told_s > LEASE_S + ROUNDING:
            self.axis_must_stop = True
        self.asked.told(axis, self.now_ns)
        self.axis_told_s = self.now_s if axis.any() else -1.0
        if not axis.any():
            self.axis_must_stop = False

    def run_arm(self) -> None:
        fell_silent = self.now_s - self.target_heard_s > PROFILE.target_stale_s + ROUNDING
        if self.now_s - self.arm_ticked_s > PROFILE.target_stale_s + ROUNDING:
            self.must_let_go, self.velocity = True, np.zeros(3)
        elif self.mode is not RobotMode.MOVE or (fell_silent and not self.let_go_heard):
            self.must_let_go = True
        self.arm_ticked_s = self.now_s
        self.drive.saw_pose(self.arm, self.now_s)
        self.drive.saw_robot(self.mode, (), self.now_s)
        told = self.drive.tick(self.now_s)
        self.check_motion(told, self.stands())
        if told.pose is not None:
            self.arm = self.last_told = told.pose
        if self.links.feedback:
            arm = self.arm
            self.tell("quest", lambda: self.tell_quest(arm, told))

    def tell_quest(self, arm: Pose, told: ArmOutput) -> None:
        self.quest.measured = (arm, self.now_s)
        self.quest.commanded, self.quest.fault = told.commanded, told.fault

    def stands(self) -> Pose:
        """What a motion starts from: where the arm was told to be, unless it was moved away from there."""
        last = self.last_told
        sags = distance_m(last, self.arm) <= 0.02 and angle_rad(last, self.arm) < 0.08
        return last if sags else self.arm

    # --- what may be -----------------------------------------------------------------------------

    def check_motion(self, told: ArmOutput, before: Pose) -> None:
        if told.pose is None:
            self.velocity = np.zeros(3)
            return
        assert distance_m(told.pose, before) <= LIMITS.speed_m_s * PERIOD_S + ROUNDING, "a jump"
        assert angle_rad(told.pose, before) <= LIMITS.turn_rad_s * PERIOD_S + ROUNDING
        velocity = (told.pose.position_m - before.position_m) / PERIOD_S
        change = np.linalg.norm(velocity - self.velocity)
        assert change <= LIMITS.stop_m_s2 * PERIOD_S + 1e-6
        faster = np.linalg.norm(velocity) - np.linalg.norm(self.velocity) > 1e-6
        assert not (faster and self.must_let_go), f"it sets off without a fresh press: {told.fault}"
        self.velocity = velocity
        here = told.pose.position_m
        assert (here >= np.array(LIMITS.box_lower_m) - ROUNDING).all()
        assert (here <= np.array(LIMITS.box_upper_m) + ROUNDING).all()

    def check_axis(self) -> None:
        axis, why = self.asked.at(self.now_ns)
        if not axis.any():
            return
        assert not why
        assert self.now_s - self.axis_told_s <= LEASE_S + ROUNDING, "nobody tells it any more"
        alive = "quest" not in self.frozen and self.links.axes
        assert not (self.axis_must_stop and alive), "it goes on without a fresh press"


TestChain = Chain.TestCase
TestChain.settings = settings(max_examples=20, stateful_step_count=10)
