# SPDX-License-Identifier: Apache-2.0
"""A, A and B: what is recorded, and that nothing else comes of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dexndm_ros.teleop.axis import STOP_BUTTON, AxisConfig
from dexndm_ros.teleop.bridge import FORWARD_BUTTON, ArmSeen, Bridge
from dexndm_ros.teleop.demonstration import (
    BUTTONS,
    PREFIX,
    Answer,
    Demonstration,
    DemonstrationConfig,
    Finished,
    Heard,
    Order,
    Phase,
)
from dexndm_ros.teleop.pose import Pose
from support.operator import Operator, controller

CONFIG = DemonstrationConfig()
FRAME_S = 1 / 90


class Desk:
    """A headset, the machine, and a recorder that answers when it is let.

    It sees each press as a person beside the operator would: A alone, both buttons seen released before, in view.
    """

    def __init__(self) -> None:
        self.operator = Operator(left=controller())
        self.count = 0
        self.machine = Demonstration(CONFIG, self.name)
        self.orders: list[Order] = []
        self.pulses: list = []
        self.events: list = [Heard("")]
        self.heard = Heard("")
        self.released = False

    def name(self) -> str:
        self.count += 1
        return f"{PREFIX}{self.count}"

    def frame(self, *buttons: str, connected: bool = True, passed_s: float = FRAME_S, **other):
        right = self.operator.right
        if right is not None:
            self.operator.right = replace(right, buttons=frozenset(buttons))
        sample = self.operator.frame(passed_s, **other)
        in_view = connected and sample.visible and sample.right is not None and sample.right.tracked
        pressed = in_view and self.released and BUTTONS & set(buttons) == {"A"}
        self.released = in_view and not BUTTONS & set(buttons)
        self.heard = next((e for e in reversed(self.events) if isinstance(e, Heard)), self.heard)
        move = self.machine.tick(
            self.operator.now_s, sample if connected else None, connected, self.events
        )
        self.events = []
        if move.order is not None:
            self.orders.append(move.order)
            if move.order.action in ("begin", "end"):
                assert pressed, "nobody pressed A"
            if move.order.action == "begin":
                assert not self.heard.episode or self.heard.episode.startswith(PREFIX)
        if move.pulse is not None:
            self.pulses.append(move.pulse)
        return move

    def press(self, *buttons: str) -> None:
        self.frame()
        self.frame(*buttons)
        self.frame()

    def say(self, event) -> None:
        """The recorder speaks, and the next frame comes."""
        self.events.append(event)
        self.frame()

    def agree(self, success: bool = True, words: str = "") -> None:
        self.say(Answer(self.orders[-1], success, words))

    def hold(self, *buttons: str, seconds: float = 0.6) -> None:
        for _ in range(round(seconds / FRAME_S)):
            self.frame(*buttons)


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def recording(desk) -> Desk:
    desk.press("A")
    desk.agree()
    desk.say(Heard(f"{PREFIX}1"))
    assert desk.machine.phase is Phase.RECORDING
    return desk


def test_a_starts_a_again_keeps_and_words_and_shakes_say_so(desk) -> None:
    desk.press("A")
    assert [(o.action, o.episode) for o in desk.orders] == [("begin", f"{PREFIX}1")]
    assert desk.machine.phase is Phase.STARTING and not desk.pulses
    desk.agree()
    assert desk.machine.words == f"recording {PREFIX}1" and len(desk.pulses) == 1
    desk.press("A")
    assert desk.orders[-1] == Order("end", f"{PREFIX}1")
    desk.agree()
    assert desk.machine.phase is Phase.IDLE and "being closed" in desk.machine.words
    desk.say(Finished(f"{PREFIX}1", True))
    assert desk.machine.words == f"kept {PREFIX}1" and len(desk.pulses) == 2
    assert {pulse.hand for pulse in desk.pulses} == {"left"}


def test_b_held_discards_and_b_pressed_shortly_does_not(recording) -> None:
    recording.frame()
    recording.hold("B", seconds=0.4)
    recording.frame()
    assert len(recording.orders) == 1
    recording.hold("B", seconds=0.6)
    assert (recording.orders[-1].action, len(recording.orders)) == ("discard", 2)
    recording.agree()
    recording.say(Finished(f"{PREFIX}1", False, recording.orders[-1].reason))
    assert "is put aside: discarded by the operator" in recording.machine.words


def test_what_is_told_first_does_not_matter(recording) -> None:
    recording.press("A")
    recording.say(Finished(f"{PREFIX}1", True))
    recording.agree()
    assert recording.machine.phase is Phase.IDLE
    assert recording.machine.words == f"kept {PREFIX}1"


def test_a_recorder_that_refuses_is_quoted(desk) -> None:
    desk.press("A")
    desk.agree(False, "not ready: nobody publishes policy/step")
    assert desk.machine.phase is Phase.IDLE
    assert desk.machine.words == "not recorded: not ready: nobody publishes policy/step"
    assert len(desk.pulses) == 1


def test_without_a_recorder_nothing_is_asked() -> None:
    desk = Desk()
    desk.events = []
    desk.press("A")
    assert not desk.orders and "no recorder is running" in desk.machine.words
    assert len(desk.pulses) == 1


def test_another_s_recording_is_not_interrupted(desk) -> None:
    desk.say(Heard("e000017_a1"))
    desk.press("A")
    assert not desk.orders and "busy with e000017_a1" in desk.machine.words


def test_a_recorder_that_never_answers_is_given_up_and_what_it_began_is_put_aside(desk) -> None:
    desk.press("A")
    desk.hold(seconds=CONFIG.patience_s + 0.1)
    assert desk.machine.phase is Phase.IDLE and "did not answer" in desk.machine.words
    for _ in range(10):  # it did begin, as it turns out
        desk.events.append(Heard(f"{PREFIX}1"))
        desk.hold(seconds=0.2)
    assert desk.orders[-1] == Order("discard", f"{PREFIX}1", "nobody ended it")


def test_an_answer_to_an_order_that_was_given_up_is_no_answer_to_the_next(desk) -> None:
    desk.press("A")
    desk.hold(seconds=CONFIG.patience_s + 0.1)
    desk.say(Heard(""))
    desk.press("A")
    first, second = desk.orders
    desk.say(Answer(first, True))
    assert desk.machine.phase is Phase.STARTING and desk.machine.episode == second.episode
    desk.agree()
    assert desk.machine.phase is Phase.RECORDING


def test_what_a_dead_bridge_left_open_is_put_aside(desk) -> None:
    for _ in range(10):
        desk.events.append(Heard(f"{PREFIX}of_yesterday"))
        desk.hold(seconds=0.2)
    assert desk.orders == [Order("discard", f"{PREFIX}of_yesterday", "nobody ended it")]


@pytest.mark.parametrize("heard", [None, "", "e000001_a1"])
def test_a_recorder_that_is_gone_or_forgot_is_told(recording, heard) -> None:
    for _ in range(30):
        if heard is not None:
            recording.events.append(Heard(heard))
        recording.hold(seconds=0.2)
    assert recording.machine.phase is Phase.IDLE and len(recording.orders) == 1
    assert "is lost" in recording.machine.words


def test_a_full_disk_ends_it_with_words(recording) -> None:
    recording.say(Finished(f"{PREFIX}1", False, "no space left on device"))
    assert recording.machine.phase is Phase.IDLE
    assert "no space left" in recording.machine.words and len(recording.orders) == 1


def test_an_operator_who_left_puts_the_recording_aside_and_one_who_looked_away_does_not(
    recording,
) -> None:
    def away(seconds: float) -> None:
        for _ in range(round(seconds / 0.1)):
            recording.events.append(Heard(f"{PREFIX}1"))
            recording.frame(connected=False, passed_s=0.1)

    away(CONFIG.lost_s - 0.5)
    recording.frame()
    away(CONFIG.lost_s - 0.5)
    assert len(recording.orders) == 1
    away(1.0)
    assert recording.orders[-1].action == "discard" and "away" in recording.orders[-1].reason


@pytest.mark.parametrize(
    "hidden",
    [{"connected": False}, {"visible": False}, {"right": None}, {"tracked": False}],
    ids=str,
)
def test_a_button_that_was_held_while_the_operator_was_out_of_sight_does_not_count(
    desk, hidden
) -> None:
    desk.frame()
    if "tracked" in hidden:
        good = desk.operator.right
        desk.operator.right = replace(good, tracked=False)
        desk.frame("A")
        desk.operator.right = good
    else:
        desk.frame("A", **hidden)
    desk.hold("A", seconds=1.0)
    assert not desk.orders
    desk.press("A")
    assert len(desk.orders) == 1


def test_both_at_once_are_neither(recording) -> None:
    recording.frame()
    recording.hold("A", "B", seconds=1.0)
    recording.hold("B", seconds=1.0)
    recording.hold("A", seconds=1.0)
    assert len(recording.orders) == 1


def test_the_buttons_are_nobody_else_s() -> None:
    taken = {FORWARD_BUTTON, STOP_BUTTON, "RG", "LTr", *AxisConfig().buttons}
    assert not BUTTONS & taken


@settings(max_examples=25)
@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 1.0]), st.sampled_from(["", "X", "Y", "LG"]),
                  st.sets(st.sampled_from(["A", "B"])), st.floats(-0.02, 0.02)),
        max_size=60,
    )
)  # fmt: skip
def test_arm_and_axis_do_the_same_whatever_a_and_b_do(frames) -> None:
    plain, other = Bridge(), Bridge()
    home = Pose(np.array([0.5, 0.0, 0.4]), controller_rotation())
    operator = Operator(left=controller())
    for squeeze, axis, buttons, step_m in frames:
        operator.squeeze(squeeze)
        operator.move((step_m, 0.0, 0.0))
        operator.left = replace(operator.left, buttons=frozenset({axis} - {""}))
        sample = operator.frame()
        pressed = replace(sample, right=replace(sample.right, buttons=frozenset(buttons)))
        one = plain.tick(sample.arrived_s, sample, ArmSeen(home, home))
        two = other.tick(sample.arrived_s, pressed, ArmSeen(home, home))
        assert (one.state, one.reason, one.pulse) == (two.state, two.reason, two.pulse)
        assert np.array_equal(one.axis, two.axis)
        assert (one.target is None) == (two.target is None)
        if one.target is not None:
            assert np.array_equal(one.target.position_m, two.target.position_m)


def controller_rotation():
    from scipy.spatial.transform import Rotation

    return Rotation.from_euler("x", np.pi)


# --- whatever happens, in whatever order ---------------------------------------------------------


class Recorder:
    """What ``episode_recorder`` does with orders; the test decides when it gets and answers them."""

    def __init__(self) -> None:
        self.open = ""
        self.kept: list[str] = []
        self.aside: list[str] = []

    def take(self, order: Order) -> tuple[Answer, list[Finished]]:
        told = []
        if order.action == "begin":
            if self.open:
                told.append(self.close(False, "interrupted"))
            self.open = order.episode
            return Answer(order, True), told
        if order.episode != self.open:
            return Answer(order, False, "no episode is open"), told
        told.append(self.close(order.action == "end", order.reason))
        return Answer(order, True), told

    def close(self, complete: bool, reason: str) -> Finished:
        episode, self.open = self.open, ""
        (self.kept if complete else self.aside).append(episode)
        return Finished(episode, complete, reason)


class Session(RuleBasedStateMachine):
    """An operator with two buttons, and a recorder that is slow, dies, or is used by somebody else."""

    @initialize()
    def begin(self) -> None:
        self.desk = Desk()
        self.recorder: Recorder | None = Recorder()
        self.under_way: list[Order] = []
        self.asked_to_keep: set[str] = set()
        self.presses = 0

    def after(self) -> None:
        new = self.desk.orders[len(self.seen) :] if hasattr(self, "seen") else self.desk.orders
        for order in new:
            self.under_way.append(order)
            if order.action == "end":
                self.asked_to_keep.add(order.episode)
        self.seen = list(self.desk.orders)

    @rule(
        buttons=st.sets(st.sampled_from(["A", "B", "RG", "RJ"])),
        frames=st.integers(1, 70),
        connected=st.booleans() | st.just(True),
        visible=st.booleans() | st.just(True),
    )
    def buttons(self, buttons, frames: int, connected: bool, visible: bool) -> None:
        for _ in range(frames):
            self.desk.frame(*buttons, connected=connected, visible=visible)
        self.after()

    @rule()
    def press_a(self) -> None:
        before = len(self.desk.orders)
        self.desk.press("A")
        assert len(self.desk.orders) - before <= 1
        self.after()

    @precondition(lambda self: self.under_way)
    @rule(heard=st.booleans() | st.just(True))
    def answer(self, heard: bool) -> None:
        order = self.under_way.pop(0)
        if self.recorder is None:
            return
        answer, finished = self.recorder.take(order)
        if heard:
            self.desk.events += [answer, *finished]
        self.desk.frame()
        self.after()

    @rule(seconds=st.floats(0.1, 6.0), connected=st.booleans() | st.just(True))
    def wait(self, seconds: float, connected: bool) -> None:
        for _ in range(int(seconds / 0.2)):
            if self.recorder is not None:
                self.desk.events.append(Heard(self.recorder.open))
            self.desk.frame(connected=connected, passed_s=0.2)
        self.after()

    @rule()
    def restart(self) -> None:
        self.recorder = Recorder()

    @rule()
    def die(self) -> None:
        self.recorder = None

    @precondition(lambda self: self.recorder is not None and not self.recorder.open)
    @rule()
    def somebody_else_records(self) -> None:
        self.recorder.open = "e000001_a1"
        self.wait(0.4, True)

    @precondition(lambda self: self.recorder is not None and self.recorder.open == "e000001_a1")
    @rule()
    def somebody_else_ends(self) -> None:
        self.recorder.close(True, "")

    @precondition(lambda self: self.recorder is not None and not self.under_way)
    @rule()
    def in_the_end_both_agree(self) -> None:
        """When all is quiet for long enough, what is open is what the operator is told."""
        for _ in range(4):
            self.wait(8.0, True)
            while self.under_way:
                self.answer(True)
        machine, recorder = self.desk.machine, self.recorder
        assert machine.phase in (Phase.IDLE, Phase.RECORDING)
        if machine.phase is Phase.RECORDING:
            assert recorder.open == machine.episode
        else:
            assert not recorder.open.startswith(PREFIX)

    @invariant()
    def only_what_was_asked_is_kept(self) -> None:
        if getattr(self, "recorder", None) is not None:
            ours = [name for name in self.recorder.kept if name.startswith(PREFIX)]
            assert set(ours) <= self.asked_to_keep

    @invariant()
    def one_order_at_a_time(self) -> None:
        if hasattr(self, "desk"):
            machine = self.desk.machine
            assert (machine.phase in (Phase.STARTING, Phase.ENDING)) <= (machine.episode != "")
            assert (machine.phase is Phase.IDLE) == (machine.episode == "")


Session.TestCase.settings = settings(max_examples=60, stateful_step_count=30)
TestSession = Session.TestCase
