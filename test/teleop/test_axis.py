# SPDX-License-Identifier: Apache-2.0
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from dexndm_ros.teleop.axis import AxisChooser, AxisConfig, weighted_turn
from dexndm_ros.teleop.pose import Pose
from support.operator import controller, rotations

UP, DOWN, RIGHT, STOP = [0, 0, 1], [0, 0, -1], [0, -1, 0], [0, 0, 0]


def press(*names: str):
    return controller(buttons=frozenset(names))


def turned(degrees: float, about="x", trigger=1.0, start=None):
    turn = Rotation.from_rotvec(
        np.radians(degrees) * np.array(AXES[about]) / np.linalg.norm(AXES[about])
    )
    return controller(Pose(np.zeros(3), (start or Rotation.identity()) * turn), trigger=trigger)


AXES = {
    "x": (1.0, 0.0, 0.0),
    "y": (0.0, 1.0, 0.0),
    "z": (0.0, 0.0, 1.0),
    "xz": (1.0, 0.0, 1.0),
    "xy": (1.0, 1.0, 0.0),
}


class TestButtons:
    def test_each_has_its_axis_and_letting_go_stops(self) -> None:
        chooser = AxisChooser()
        chooser.update(press())
        for name, axis in {"X": UP, "Y": DOWN, "LG": RIGHT}.items():
            assert chooser.update(press(name)).tolist() == axis
            assert chooser.update(press()).tolist() == STOP

    def test_two_at_once_change_nothing(self) -> None:
        chooser = AxisChooser()
        chooser.update(press())
        chooser.update(press("X"))
        assert chooser.update(press("X", "Y")).tolist() == UP
        assert chooser.update(press("Y")).tolist() == DOWN

    def test_latched_the_axis_stays_until_the_stick_is_pressed(self) -> None:
        chooser = AxisChooser(AxisConfig(latch=True))
        chooser.update(press())
        chooser.update(press("Y"))
        assert chooser.update(press()).tolist() == DOWN
        assert chooser.update(press("LJ")).tolist() == STOP
        assert chooser.update(press("Y")).tolist() == STOP  # held since before the stop
        chooser.update(press())
        assert chooser.update(press("Y")).tolist() == DOWN

    @pytest.mark.parametrize("latch", [False, True])
    def test_a_controller_that_goes_stops_and_needs_a_fresh_press(self, latch) -> None:
        chooser = AxisChooser(AxisConfig(latch=latch))
        chooser.update(press())
        chooser.update(press("X"))
        assert chooser.update(None).tolist() == STOP
        assert chooser.update(press("X")).tolist() == STOP
        chooser.update(press())
        assert chooser.update(press("X")).tolist() == UP

    @pytest.mark.parametrize("latch", [False, True])
    def test_the_buttons_of_a_controller_that_is_not_seen_stop(self, latch) -> None:
        chooser = AxisChooser(AxisConfig(latch=latch))
        chooser.update(press())
        chooser.update(press("X"))
        assert chooser.update(replace(press("X"), tracked=False)).tolist() == STOP
        assert chooser.update(press("X")).tolist() == STOP
        chooser.update(press())
        assert chooser.update(press("X")).tolist() == UP

    def test_a_button_that_is_held_from_the_start_does_nothing(self) -> None:
        assert AxisChooser().update(press("X")).tolist() == STOP

    @given(
        st.lists(st.frozensets(st.sampled_from(["X", "Y", "LG", "LJ"])), max_size=30), st.booleans()
    )
    def test_never_anything_but_one_of_the_three_or_none(self, presses, latch) -> None:
        chooser = AxisChooser(AxisConfig(latch=latch))
        for buttons in presses:
            assert chooser.update(press(*buttons)).tolist() in (UP, DOWN, RIGHT, STOP)


class TestOrientation:
    @pytest.fixture
    def chooser(self) -> AxisChooser:
        chooser = AxisChooser(AxisConfig(mode="orientation"))
        chooser.update(turned(0, trigger=0.0))
        chooser.update(turned(0))
        return chooser

    def test_dead_band_and_hysteresis(self, chooser) -> None:
        assert chooser.update(turned(11)).tolist() == STOP
        np.testing.assert_allclose(chooser.update(turned(13)), [1, 0, 0])
        np.testing.assert_allclose(chooser.update(turned(9)), [1, 0, 0])
        assert chooser.update(turned(7)).tolist() == STOP
        assert chooser.update(turned(11)).tolist() == STOP

    def test_the_other_way_round_is_the_other_axis(self, chooser) -> None:
        np.testing.assert_allclose(chooser.update(turned(-40)), [-1, 0, 0])

    def test_the_part_about_the_short_axis_counts_less(self, chooser) -> None:
        axis = chooser.update(turned(60, "xy"))
        np.testing.assert_allclose(axis, np.array([1.0, 0.25, 0.0]) / math.hypot(1.0, 0.25))

    def test_of_no_weight_a_turn_about_the_short_axis_is_none(self) -> None:
        chooser = AxisChooser(AxisConfig(mode="orientation", short_weight=0.0))
        chooser.update(turned(0, trigger=0.0))
        chooser.update(turned(0))
        assert chooser.update(turned(90, "y")).tolist() == STOP

    def test_near_half_a_turn_the_axis_stays(self, chooser) -> None:
        """From 170 to 190 degrees the turn would be told the other way round."""
        for degrees in range(5, 200, 5):
            axis = chooser.update(turned(degrees))
        np.testing.assert_allclose(axis, [1, 0, 0])

    @given(rotations())
    def test_it_counts_from_how_the_controller_was_held_when_pressed(self, start) -> None:
        chooser = AxisChooser(AxisConfig(mode="orientation"))
        chooser.update(turned(0, trigger=0.0, start=start))
        assert chooser.update(turned(0, start=start)).tolist() == STOP
        axis = chooser.update(turned(30, "xz", start=start))
        np.testing.assert_allclose(axis, np.array([1, 0, 1]) / math.sqrt(2), atol=1e-9)

    @pytest.mark.parametrize("latch", [False, True])
    def test_letting_go(self, latch) -> None:
        chooser = AxisChooser(AxisConfig(mode="orientation", latch=latch))
        for degrees, trigger in ((0, 0.0), (0, 1.0), (40, 1.0), (80, 0.0)):
            axis = chooser.update(turned(degrees, trigger=trigger))
        np.testing.assert_allclose(axis, [1, 0, 0] if latch else STOP)
        assert chooser.update(turned(80)).tolist() == STOP  # a new press begins anew

    @pytest.mark.parametrize(
        "lost",
        [
            None,
            turned(40, trigger=math.nan),
            replace(turned(40), tracked=False),
            replace(turned(40), buttons=frozenset({"LJ"})),
        ],
    )
    def test_a_lost_controller_stops_until_a_fresh_press(self, chooser, lost) -> None:
        chooser.update(turned(40))
        assert chooser.update(lost).tolist() == STOP
        assert chooser.update(turned(40)).tolist() == STOP
        chooser.update(turned(40, trigger=0.0))
        chooser.update(turned(40))
        np.testing.assert_allclose(chooser.update(turned(80)), [1, 0, 0])

    def test_it_comes_out_in_the_palm_frame(self) -> None:
        palm = tuple(Rotation.from_euler("z", 90, degrees=True).as_quat())
        chooser = AxisChooser(AxisConfig(mode="orientation", palm_xyzw=palm))
        for degrees, trigger in ((0, 0.0), (0, 1.0), (40, 1.0)):
            axis = chooser.update(turned(degrees, trigger=trigger))
        np.testing.assert_allclose(axis, [0, 1, 0], atol=1e-12)

    @given(st.lists(st.tuples(rotations(), st.floats(0, 1)), max_size=20), st.booleans())
    def test_always_a_unit_vector_or_zero(self, moves, latch) -> None:
        chooser = AxisChooser(AxisConfig(mode="orientation", latch=latch))
        for turn, trigger in moves:
            axis = chooser.update(controller(Pose(np.zeros(3), turn), trigger=trigger))
            assert not axis.any() or np.linalg.norm(axis) == pytest.approx(1.0)


@given(rotations(), rotations(), st.floats(0.0, 1.0))
def test_weighting_takes_from_the_short_axis_alone(before, after, weight) -> None:
    whole = (before.inv() * after).as_rotvec()
    got = weighted_turn(before, after, (0.0, 1.0, 0.0), weight)
    np.testing.assert_allclose(got, whole * [1.0, weight, 1.0], atol=1e-12)


@pytest.mark.parametrize(
    "setting",
    [
        {"mode": "both"},
        {"buttons": {"A": (0.0, 0.0, 1.0)}},
        {"buttons": {"X": (0.0, 0.0, 2.0)}},
        {"short_axis": (0.0, 0.0, 0.0)},
        {"short_weight": 1.5},
        {"start_rad": 0.1},
        {"palm_xyzw": (0.0, 0.0, 0.0, 0.0)},
    ],
)
def test_a_setting_without_sense_is_refused(setting) -> None:
    with pytest.raises(ValueError, match="axis"):
        AxisConfig(**setting)
