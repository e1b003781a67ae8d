# SPDX-License-Identifier: Apache-2.0
"""The clock of a node: real time without use_sim_time, that of /clock with it."""

import itertools
import threading
import time

import pytest

pytest.importorskip("rclpy")

from builtin_interfaces.msg import Time
from rclpy.node import Node
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock

from dexndm_ros.nodes._time import fill_stamp, node_clock, stamp_ns
from dexndm_ros.policy.clock import DeadlineLoop, LoopConfig, MonotonicClock
from dexndm_ros.policy.paced_clock import PacedClock
from support.ros import PATIENCE_S, Graph

pytestmark = pytest.mark.ros

MS = 1_000_000
S = 1_000 * MS


@pytest.fixture
def graph():
    with Graph() as graph:
        yield graph


def test_without_simulated_time_it_is_the_machines(graph):
    clock = node_clock(graph.node)
    assert isinstance(clock, MonotonicClock)
    before, moment = time.time_ns(), time.monotonic_ns()
    stamp = stamp_ns(clock)
    assert before <= stamp <= time.time_ns()
    assert abs(stamp_ns(clock, moment - 3 * S) - (before - 3 * S)) < S
    assert not [t for t, _ in graph.node.get_topic_names_and_types() if t == "/clock"]


def test_loops_of_a_node_tick_in_the_time_of_clock(graph):
    """Executor in one thread, loop in another, a simulation ten times as fast as the wall."""
    overrides = [Parameter("use_sim_time", value=True)]
    simulated = Node("simulated", context=graph.context, parameter_overrides=overrides)
    graph._executor.add_node(simulated)
    clock = node_clock(simulated)
    assert isinstance(clock, PacedClock)
    assert not clock.running
    assert stamp_ns(clock) == 0

    publisher = graph.publisher(Clock, "/clock")
    start_ns, began_ns = 5_000 * S, time.monotonic_ns()
    done, ticks = threading.Event(), []

    def step(tick):
        ticks.append((tick, stamp_ns(clock)))
        if len(ticks) == 60:
            done.set()

    loop = DeadlineLoop(LoopConfig(rate_hz=20.0), step, clock=clock)
    loop.start()
    message = Clock()
    give_up = time.monotonic() + PATIENCE_S
    while not done.wait(0.008):
        fill_stamp(message.clock, start_ns + 10 * (time.monotonic_ns() - began_ns))
        publisher.publish(message)
        assert time.monotonic() < give_up
    told_ns = message.clock.sec * S + message.clock.nanosec
    assert clock.running
    # The publisher has stopped, and time with it: the loop must end all the same.
    assert loop.stop(PATIENCE_S)
    assert loop.error is None
    stamps = [stamp for _, stamp in ticks]
    assert stamps == sorted(stamps)
    assert start_ns < stamps[0]
    assert stamps[-1] < told_ns + 10 * S  # never far ahead of what /clock said
    slots = [tick.deadline_ns for tick, _ in ticks]
    assert all((b - a) % (50 * MS) == 0 and b > a for a, b in itertools.pairwise(slots))
    graph._executor.remove_node(simulated)
    simulated.destroy_node()


def test_stamps_take_large_times():
    stamp = Time()
    fill_stamp(stamp, 1_760_000_000 * S + 999_999_999)
    assert (stamp.sec, stamp.nanosec) == (1_760_000_000, 999_999_999)
