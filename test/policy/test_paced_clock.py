# SPDX-License-Identifier: Apache-2.0
"""A clock fed by samples: how close, how steady, and what happens when they stop or jump."""

import itertools
import random
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexndm_ros.policy.clock import DeadlineLoop, LoopConfig
from dexndm_ros.policy.paced_clock import PacedClock, PacedConfig

MS = 1_000_000
S = 1_000 * MS
START = 1_760_000_000 * S
"""A simulation starts at the wall's time: numbers that a float does not hold to the nanosecond."""


class Machine:
    """The machine's clock, and a simulation that others sample: time passes in steps or in a sleep.

    Attributes:
        now: machine's time, ns.
        rate: simulated seconds a second.
    """

    def __init__(self, rate=1.0, period_ns=8 * MS, delay=lambda: 0, **config):
        self.now = 5 * S
        self.rate = rate
        self.period_ns = period_ns
        self.delay = delay
        self.silent = False
        self.sim = float(0)
        self.start = START
        self.on_wake = lambda: None
        self._next = self.now
        self._coming = []
        self.clock = PacedClock(PacedConfig(**config), lambda: self.now, self.sleep)

    @property
    def true_ns(self):
        return self.start + round(self.sim)

    def advance(self, ns):
        """Let machine's time pass, and all that happens in it."""
        end = self.now + ns
        while True:
            event = min([self._next, *(at for at, _ in self._coming)])
            if event > end:
                break
            self._pass(event - self.now)
            if event == self._next:
                self._next += self.period_ns
                if not self.silent:
                    self._coming.append((self.now + self.delay(), self.true_ns))
            for message in [m for m in self._coming if m[0] <= self.now]:
                self._coming.remove(message)
                self.clock.sample(message[1])
        self._pass(end - self.now)

    def _pass(self, ns):
        self.now += ns
        self.sim += self.rate * ns

    def sleep(self, seconds):
        assert seconds > 0
        self.advance(max(1, round(seconds * S)))
        self.on_wake()


def machine_that_runs(rate=1.0, **options):
    machine = Machine(rate, **options)
    machine.advance(S)
    return machine


@pytest.mark.parametrize("rate", [0.2, 1.0, 7.0, 24.0])
def test_it_tells_the_samples_time_to_a_microsecond_where_none_is_late(rate):
    machine = machine_that_runs(rate)
    assert machine.clock.rate == pytest.approx(rate, rel=1e-6)
    for _ in range(50):
        machine.advance(1_234_567)
        assert abs(machine.clock.time_ns() - machine.true_ns) < 1_000


@pytest.mark.parametrize("rate", [1.0, 10.0])
def test_late_samples_do_not_move_it_much(rate):
    draw = random.Random(3)
    # Most come after 0.1..0.3 ms, one in five is held up by as much as 20 ms; none overtakes another.
    machine = Machine(rate)
    last = [0]

    def delay():
        late = draw.randint(100_000, 300_000) + (draw.random() < 0.2) * draw.randint(0, 20 * MS)
        last[0] = max(last[0] - machine.period_ns, late)
        return last[0]

    machine.delay = delay
    machine.advance(S)
    errors = []
    for _ in range(1000):
        machine.advance(1_700_000)
        errors.append((machine.clock.time_ns() - machine.true_ns) / rate)
    errors.sort()
    assert errors[len(errors) // 100] > -MS
    assert errors[-len(errors) // 100] < MS
    assert abs(errors[len(errors) // 2]) < 300_000


def test_loop_time_starts_at_zero_and_runs_only_once_the_rate_is_known():
    machine = Machine(10.0)
    clock = machine.clock
    assert clock.now_ns() == 0
    assert clock.time_ns() == 0
    assert not clock.running
    machine.advance(0)
    assert clock.now_ns() == 0
    assert not clock.running
    machine.advance(S)
    assert clock.running
    assert clock.now_ns() == pytest.approx(10 * S, abs=MS)


def test_it_stands_still_soon_after_the_samples_stop_and_goes_on_with_them():
    machine = machine_that_runs(5.0, hold_s=0.2)
    machine.silent = True
    machine.advance(S)
    held = machine.clock.now_ns()
    assert not machine.clock.running
    assert held <= 5 * 1.2 * S + MS
    machine.advance(10 * S)
    assert machine.clock.now_ns() == held
    machine.silent = False
    machine.advance(S)
    assert machine.clock.running
    assert abs(machine.clock.time_ns() - machine.true_ns) < MS


def test_a_paused_simulation_that_still_publishes_stands_still():
    machine = machine_that_runs(4.0)
    machine.rate = 0.0
    machine.advance(S)
    assert machine.clock.time_ns() == machine.true_ns
    assert not machine.clock.running
    machine.rate = 4.0
    machine.advance(S)
    assert abs(machine.clock.time_ns() - machine.true_ns) < MS


@given(
    st.lists(st.tuples(st.integers(1, 400 * MS), st.floats(0.0, 30.0)), min_size=1, max_size=12),
    st.integers(0, 5 * MS),
)
def test_a_change_of_rate_is_followed_within_the_window(changes, late_ns):
    machine = machine_that_runs(changes[0][1], delay=lambda: late_ns)
    for after_ns, rate in changes:
        machine.advance(after_ns)
        machine.rate = rate
    machine.advance(300 * MS)
    error_ns = machine.clock.time_ns() - machine.true_ns
    assert abs(error_ns + machine.rate * late_ns) < MS


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("pass"), st.integers(0, 500 * MS)),
            st.tuples(st.just("rate"), st.floats(0.0, 30.0)),
            st.tuples(st.just("silent"), st.booleans()),
            st.tuples(st.just("restart"), st.integers(-100 * S, 100 * S)),
            st.tuples(st.just("late"), st.integers(0, 40 * MS)),
        ),
        max_size=25,
    )
)
def test_loop_time_never_goes_back_and_never_far_beyond_the_last_sample(events):
    machine = Machine()
    clock, before, last = machine.clock, 0, None
    for kind, value in events:
        if kind == "pass":
            for _ in range(10):
                machine.advance(value // 10)
                now = clock.now_ns()
                assert now >= before
                before = now
        elif kind == "restart":
            machine.start += value
        elif kind == "late":
            machine.delay = lambda late=value: late
        else:
            setattr(machine, kind, value)
        if clock.rate > 0.0:
            last = clock._last[1]
            # Held for 0.2 s at most, and no sample is taken to be more than 0.03 s late.
            # The difference, not the sum: a float of nanoseconds since 1970 is good for 256 of them only.
            assert 0 <= clock.time_ns() - last <= clock.rate * 0.23 * S + 1


@pytest.mark.parametrize("jump_s", [-36_000, -1, 36_000])
def test_a_restarted_simulation_does_not_move_loop_time_and_stamps_follow_it(jump_s):
    machine = machine_that_runs(10.0)
    before = machine.clock.now_ns()
    machine.start += jump_s * S
    machine.advance(100 * MS)
    assert machine.clock.jumps == 1
    assert machine.clock.now_ns() - before == pytest.approx(S, abs=100 * MS)
    assert abs(machine.clock.time_ns() - machine.true_ns) < MS


def test_a_long_silence_of_a_listener_is_no_jump():
    machine = machine_that_runs(10.0)
    machine.silent = True  # its executor was busy
    machine.advance(3 * S)
    machine.silent = False
    machine.advance(S)
    assert machine.clock.jumps == 0
    assert abs(machine.clock.time_ns() - machine.true_ns) < MS
    assert machine.clock.now_ns() == pytest.approx(50 * S, abs=MS)


def test_stamps_of_moments_that_passed():
    machine = machine_that_runs(3.0)
    then, true = machine.now, machine.true_ns
    machine.advance(40 * MS)
    assert abs(machine.clock.time_ns(then) - true) < 1_000


@pytest.mark.parametrize(
    "wrong", [{"hold_s": 0.0}, {"nap_s": float("nan")}, {"least_s": 1.0}, {"delay_s": -1.0}]
)
def test_times_that_are_none_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        PacedConfig(**wrong)


# --- loops on it ----------------------------------------------------------------------------------


def run_loop(machine, ticks, at=None, work_ns=0):
    """A 20 Hz loop in simulated time; ``at[k]`` is called in its k-th tick."""
    seen = []

    def step(tick):
        seen.append((tick, machine.now, machine.true_ns))
        if at and len(seen) in at:
            at[len(seen)]()
        machine.advance(work_ns)
        if len(seen) == ticks:
            loop.stop()

    loop = DeadlineLoop(LoopConfig(rate_hz=20.0, unrecorded_ticks=0), step, clock=machine.clock)
    loop.run()
    return seen, loop


@pytest.mark.parametrize("rate", [0.5, 1.0, 10.0])
def test_a_loop_ticks_in_simulated_time(rate):
    seen, loop = run_loop(machine_that_runs(rate), 40)
    steps = [b[2] - a[2] for a, b in itertools.pairwise(seen)]
    assert min(steps) > 50 * MS - 2_000 * rate
    assert max(steps) < 50 * MS + 2_000 * rate
    assert loop.statistics().missed == 0


def test_a_loop_follows_a_rate_that_changes():
    machine = machine_that_runs(10.0)
    seen, _ = run_loop(machine, 400, at={100: lambda: setattr(machine, "rate", 4.0)})
    tail = [b[1] - a[1] for a, b in itertools.pairwise(seen[200:])]
    assert max(tail) < 13 * MS
    assert min(tail) > 12 * MS


@pytest.mark.parametrize("jump_s", [-36_000, 36_000])
def test_a_loop_goes_on_after_a_restart_without_burst_or_gap(jump_s):
    machine = machine_that_runs(10.0)

    def restart():
        machine.start += jump_s * S

    seen, loop = run_loop(machine, 100, at={50: restart})
    steps = [b[1] - a[1] for a, b in itertools.pairwise(seen)]
    assert min(steps) > 2 * MS
    # Loop time stands still until the new simulation's first sample has come.
    assert max(steps) < 14 * MS
    assert loop.statistics().missed == 0


def test_a_loop_waits_out_a_silence_and_does_not_catch_up():
    machine = machine_that_runs(10.0)
    wakes = []

    def stop_for_a_while():
        machine.silent = True
        machine.rate = 0.0

    def go_on():
        wakes.append(machine.now)
        if machine.silent and machine.now > 20 * S:
            machine.silent, machine.rate = False, 10.0

    machine.on_wake = go_on
    seen, _ = run_loop(machine, 150, at={20: stop_for_a_while})
    gaps = [b[1] - a[1] for a, b in itertools.pairwise(seen)]
    assert sum(gap > S for gap in gaps) == 1
    # No two ticks for one slot; a tick may be late within its slot, so two can be close once.
    slots = [tick.deadline_ns for tick, _, _ in seen]
    assert all(b - a >= 50 * MS for a, b in itertools.pairwise(slots))
    # It naps: a stopped clock is no busy loop.
    assert min(b - a for a, b in itertools.pairwise(wakes)) > 0
    assert len([at for at in wakes if 7 * S < at < 20 * S]) <= 13 * 50 + 1


def test_a_loop_on_a_clock_that_never_ran_can_be_stopped():
    loop = DeadlineLoop(LoopConfig(rate_hz=20.0), lambda tick: None, clock=PacedClock())
    loop.start()
    assert loop.running
    assert loop.stop(30)


def test_a_loop_on_a_clock_that_stopped_can_be_stopped():
    ran = threading.Event()
    clock = PacedClock()
    loop = DeadlineLoop(LoopConfig(rate_hz=20.0), lambda tick: ran.set(), clock=clock)
    loop.start()
    told = START
    while not ran.wait(
        0.01
    ):  # a simulation at ten times the wall's pace, until the loop has ticked
        told += 100 * MS
        clock.sample(told)
    assert loop.stop(30)
    assert loop.error is None
