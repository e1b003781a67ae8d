# SPDX-License-Identifier: Apache-2.0
"""After a fall the object is handed over again, once."""

from __future__ import annotations

import pytest

from dexndm_ros.demo.errors import DemoError
from dexndm_ros.demo.restart import FallWatch
from dexndm_ros.demo.run import DemoRun
from support.demo_events import SECOND, START, progress, step


def fall(run: DemoRun, episode: int) -> None:
    run.on_progress(progress(START + episode * SECOND, 0.0, 0.0, episode))
    run.on_step(step(episode, START + episode * SECOND))
    run.on_progress(progress(START + episode * SECOND, 1.0, 1.0, episode, fallen=True))


def test_each_fall_is_answered_once_object_first_and_not_at_once() -> None:
    run, called = DemoRun(simulated=True), []
    watch = FallWatch(run, lambda service: called.append(service) or "")
    watch.look(0.0)
    fall(run, 1)
    watch.look(10.0)
    assert called == []  # one second to look at it
    for now_s in (11.0, 12.0, 13.0):
        watch.look(now_s)
    assert called == ["sim/reset", "policy/restart"]
    fall(run, 2)
    watch.look(20.0)
    watch.look(21.5)
    assert called == ["sim/reset", "policy/restart"] * 2


def test_a_refusal_ends_the_demo_with_its_reason() -> None:
    run = DemoRun(simulated=True)
    watch = FallWatch(run, lambda service: f"{service}: no")
    fall(run, 1)
    watch.look(0.0)
    with pytest.raises(DemoError, match=r"handed over again: sim/reset: no"):
        watch.look(2.0)
