# SPDX-License-Identifier: Apache-2.0
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexndm_ros.teleop.clutch import Clutch, ClutchConfig, State


@pytest.fixture
def clutch() -> Clutch:
    return Clutch()


def test_it_engages_on_a_press_and_releases_with_hysteresis(clutch) -> None:
    assert not clutch.grip(0.0)
    assert clutch.state is State.READY
    assert not clutch.grip(0.7)
    assert clutch.grip(0.9)
    assert not clutch.grip(1.0)  # the press is told once
    assert not clutch.grip(0.6)
    assert clutch.engaged
    clutch.grip(0.4)
    assert clutch.state is State.READY


def test_a_grip_that_is_held_already_does_not_engage(clutch) -> None:
    clutch.grip(1.0)
    assert clutch.state is State.FAULT_HOLD
    assert "release it" in clutch.reason


def test_after_a_fault_it_tells_what_happened_until_it_engages_again(clutch) -> None:
    clutch.grip(0.0)
    clutch.grip(1.0)
    assert clutch.reason == ""
    clutch.fault("the cable was pulled: plug it in")
    clutch.grip(1.0)
    assert clutch.state is State.FAULT_HOLD
    assert "release" in clutch.reason
    assert "the cable was pulled" in clutch.reason
    clutch.grip(0.0)
    assert "hold the right grip" in clutch.reason
    assert "the cable was pulled" in clutch.reason
    clutch.grip(1.0)
    clutch.grip(0.0)
    assert "cable" not in clutch.reason


def test_a_pose_in_doubt_may_release_but_not_engage(clutch) -> None:
    clutch.grip(0.0)
    assert not clutch.grip(1.0, may_engage=False)
    assert clutch.state is State.READY
    assert clutch.grip(1.0)
    clutch.grip(0.0, may_engage=False)
    assert clutch.state is State.READY


@given(st.lists(st.one_of(st.floats(0.0, 1.0), st.just("fault")), max_size=60))
def test_engaged_means_released_and_pressed_since_the_last_fault(events) -> None:
    clutch, since = Clutch(), []
    for event in events:
        if event == "fault":
            clutch.fault("a fault")
            since = []
        else:
            clutch.grip(event)
            since.append(event)
        # the model: the last crossing of either threshold was a press, and a release came before it
        crossings = [value for value in since if value < 0.5 or value > 0.8]
        expected = any(value < 0.5 for value in crossings) and crossings[-1] > 0.8
        assert clutch.engaged is expected
        assert bool(clutch.reason) is not expected


@pytest.mark.parametrize(
    ("release_at", "engage_at"), [(0.8, 0.5), (0.0, 0.5), (0.5, 1.0), (0.5, 0.5)]
)
def test_thresholds_that_could_not_work_are_refused(release_at, engage_at) -> None:
    with pytest.raises(ValueError, match="clutch needs"):
        ClutchConfig(engage_at, release_at)
