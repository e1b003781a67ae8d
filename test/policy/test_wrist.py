# SPDX-License-Identifier: Apache-2.0
import contextlib
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from dexndm_ros.policy.wrist import (
    WRISTS,
    AxisError,
    WristError,
    axis_word,
    check_axis,
    check_wrist,
    parse_axis,
    parse_wrist,
)

FINGERS, THUMB, GRASP = np.eye(3)[0], np.eye(3)[1], -np.eye(3)[2]
UP = np.array([0.0, 0.0, 1.0])


@pytest.mark.parametrize(
    ("name", "palm_axis", "world"),
    [
        ("palm_up", GRASP, UP),
        ("palm_down", GRASP, -UP),
        ("base_up", FINGERS, -UP),
        ("base_down", FINGERS, UP),
        ("thumb_up", THUMB, UP),
        ("thumb_down", THUMB, -UP),
    ],
)
def test_names_mean_what_they_say(name, palm_axis, world):
    np.testing.assert_allclose(
        Rotation.from_quat(parse_wrist(name)).apply(palm_axis), world, atol=1e-12
    )


def test_palm_up_and_down_are_the_ones_policies_were_trained_in():
    assert WRISTS["palm_up"] == (1.0, 0.0, 0.0, 0.0)
    assert WRISTS["palm_down"] == (0.0, 0.0, 0.0, 1.0)
    assert len(WRISTS) == 6


def test_every_name_is_at_most_half_a_turn_from_palm_down():
    for name in WRISTS:
        np.testing.assert_allclose(np.linalg.norm(parse_wrist(name)), 1.0, rtol=1e-12)
        assert WRISTS[name][3] >= 0.0


@pytest.mark.parametrize(
    ("text", "vector"),
    [
        ("+z", (0, 0, 1)),
        ("-x", (-1, 0, 0)),
        ("y", (0, 1, 0)),
        (" -Y ", (0, -1, 0)),
        ("0,0,1", (0, 0, 1)),
        ("[0.6, 0, -0.8]", (0.6, 0, -0.8)),
        ("0 1 0", (0, 1, 0)),
        ("stop", (0, 0, 0)),
        ("0,0,0", (0, 0, 0)),
    ],
)
def test_axes_as_people_write_them(text, vector):
    np.testing.assert_allclose(parse_axis(text), vector, atol=1e-12)


@pytest.mark.parametrize(
    "text", ["", "z+", "w", "+", "--z", "1,2", "0,0,2", "0,0,nan", "0,0,1,0", "zz"]
)
def test_other_axis_texts_are_refused_with_the_allowed_ones(text):
    with pytest.raises(AxisError, match=r"stop|unit|three"):
        parse_axis(text)


@given(st.tuples(*[st.floats(allow_nan=True, allow_infinity=True)] * 3))
def test_an_axis_is_unit_or_zero_or_refused(numbers):
    try:
        axis = check_axis(numbers)
    except AxisError:
        assert not abs(math.hypot(*numbers) - 1.0) <= 1e-4
    else:
        assert np.linalg.norm(axis) == pytest.approx(1.0) or not axis.any()


@pytest.mark.parametrize("bad", [(0, 0, 1), (0, 0, 0, 0), (0, 0, 0, 2), (float("nan"), 0, 0, 1)])
def test_a_wrist_that_is_no_unit_quaternion_is_refused(bad):
    with pytest.raises(WristError, match="quaternion"):
        check_wrist(bad)


@given(st.text(max_size=12))
def test_any_text_is_a_wrist_or_a_wrist_error(text):
    with contextlib.suppress(WristError):
        assert np.linalg.norm(parse_wrist(text)) == pytest.approx(1.0)


def test_an_unknown_wrist_lists_the_known_names():
    with pytest.raises(WristError, match="palm_up, palm_down"):
        parse_wrist("palm_sideways")


@given(st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda v: np.linalg.norm(v) > 0.1))
def test_the_word_of_an_axis_is_read_as_that_axis(vector):
    axis = np.array(vector) / np.linalg.norm(vector)
    np.testing.assert_allclose(parse_axis(axis_word(axis)), axis, atol=2e-6)


@pytest.mark.parametrize("word", ["+x", "-x", "+y", "-y", "+z", "-z", "stop"])
def test_principal_axes_have_their_names(word):
    assert axis_word(parse_axis(word)) == word
