# SPDX-License-Identifier: Apache-2.0
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from dexndm_ros.teleop.frames import is_pose
from dexndm_ros.teleop.oculus_lines import parse_line
from dexndm_ros.teleop.sample import BUTTONS
from support.oculus_app import app_line
from support.operator import poses

PREFIX = "11-21 02:45:18.123  4321  4345 I wE9ryARX: "
BOTH = (
    PREFIX + "r:0 0 1 0.2 0.5 0.866025 0 -0.35 -0.866025 0.5 0 -0.4 0 0 0 1 "
    "|l:0 0 -1 -0.2 0 1 0 -0.35 1 0 0 -0.4 0 0 0 1 "
    "&R,A,RG,rightJS 0.000000 -0.250000,rightTrig 0.000000,rightGrip 1.000000,"
    "L,X,LTr,leftJS 0.500000 0.000000,leftTrig 0.873000,leftGrip 0.000000"
)
ONE = "1 0 0 0 0 1 0 0 0 0 1 -0.3 0 0 0 1 "


def test_both_hands() -> None:
    sample = parse_line(BOTH, seq=7, arrived_s=3.5)
    assert sample is not None
    assert (sample.seq, sample.arrived_s, sample.source) == (7, 3.5, "oculus_reader")
    right, left = sample.right, sample.left
    assert right.position_m == (0.4, -0.2, -0.35)
    assert left.position_m == (0.4, 0.2, -0.35)
    assert right.buttons == {"A", "RG"}
    assert (right.trigger, right.squeeze, right.stick) == (0.0, 1.0, (0.0, -0.25))
    assert left.buttons == {"X", "LTr"}
    assert (left.trigger, left.squeeze, left.stick) == (0.873, 0.0, (0.5, 0.0))
    assert right.tracked
    assert left.tracked
    m = np.array([[0, 0, -1], [-1, 0, 0], [0, 1, 0]])
    expected = m @ np.array([[0, 0, 1], [0.5, 0.866025, 0], [-0.866025, 0.5, 0]]) @ m.T
    np.testing.assert_allclose(
        Rotation.from_quat(right.rotation_xyzw).as_matrix(), expected, atol=1e-6
    )


def test_a_headset_without_controllers() -> None:
    sample = parse_line(PREFIX + "&")
    assert sample is not None
    assert sample.right is None
    assert sample.left is None


def test_a_line_that_was_cut() -> None:
    sample = parse_line(PREFIX + "r:0.1 0.2&R,rightJS")
    assert not sample.right.tracked
    assert (sample.right.buttons, sample.right.squeeze, sample.right.stick) == (
        frozenset(),
        0.0,
        (0.0, 0.0),
    )


def test_every_token_of_the_right_hand() -> None:
    sample = parse_line(
        f"{PREFIX}r:{ONE}&R,A,B,RTr,RG,RThU,RJ,rightJS 1.000000 -1.000000,rightTrig 1.000000,rightGrip 1.000000\n"
    )
    assert sample.right.position_m == (0.3, 0.0, 0.0)
    assert sample.right.rotation_xyzw == (0.0, 0.0, 0.0, 1.0)
    assert sample.right.buttons == BUTTONS["right"]
    assert sample.right.stick == (1.0, -1.0)
    assert sample.left is None


@pytest.mark.parametrize(
    "line",
    [
        "",
        "--------- beginning of main",
        f"I/wE9ryARX( 4345): l:{ONE}&",  # another log format
        PREFIX + f"r:{ONE}",
        PREFIX + f"r:{ONE}&R,&",
    ],
)
def test_what_is_not_a_line_of_the_app(line) -> None:
    assert parse_line(line) is None


@pytest.mark.parametrize(
    "matrix",
    [
        "0 " * 16,
        ONE.replace("-0.3", "nan"),
        ONE.replace("-0.3", "1e999"),
        ONE.replace("-0.3", "-3.1"),
        ONE.replace("-0.3", "x"),
        ONE + "1 ",
        "-1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1 ",  # a mirror
        "1.02 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1 ",
        "1e200 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1 ",
        "1 0 0 0 0 1 0 0 0 0 1 0 0 0 0.1 1 ",
        "",
    ],
)
def test_a_matrix_that_is_no_pose_leaves_the_hand_untracked(matrix) -> None:
    right = parse_line(f"{PREFIX}r:{matrix}&R,rightGrip 1.0").right
    assert not right.tracked
    assert right.squeeze == 1.0
    assert is_pose(right)


def test_a_side_that_is_told_twice_is_not_tracked() -> None:
    """Bare hands are told beside the controllers, whose buttons then stay as they last were."""
    line = f"{PREFIX}r:{ONE}|r:{ONE}&R,RG,rightGrip 1.0"
    assert not parse_line(line).right.tracked
    assert parse_line(f"{PREFIX}r:{ONE}&R,RG,rightGrip 1.0,R,rightGrip 1.0").right is None


def test_a_pose_without_buttons_is_no_controller() -> None:
    assert parse_line(f"{PREFIX}r:{ONE}&").right is None


def test_the_stamp_of_the_log_is_the_capture_time() -> None:
    first, then = (
        parse_line(PREFIX.replace("18.123", stamp) + "&") for stamp in ("18.123", "19.001")
    )
    assert then.captured_s - first.captured_s == pytest.approx(0.878)
    assert parse_line("wE9ryARX: &", arrived_s=4.5).captured_s == 4.5
    assert parse_line(PREFIX.replace("11-21", "13-41") + "&", arrived_s=4.5).captured_s == 4.5


def sound(sample) -> None:
    """Nothing in it that a gate could not bear."""
    for hand in (sample.right, sample.left):
        if hand is not None:
            assert is_pose(hand)
            assert 0.0 <= hand.trigger <= 1.0
            assert 0.0 <= hand.squeeze <= 1.0
            assert all(-1.0 <= value <= 1.0 for value in hand.stick)
    assert math.isfinite(sample.captured_s)


@given(st.binary(max_size=300))
def test_arbitrary_bytes_never_raise(data) -> None:
    for prefix in ("", PREFIX, "wE9ryARX: "):
        sample = parse_line(prefix + data.decode("utf-8", "replace"))
        assert sample is None or sound(sample) is None


@given(st.data())
def test_a_broken_line_never_raises(data) -> None:
    """Pieces of a good line, in any order, some of them changed."""
    words = st.sampled_from(
        [*BOTH.replace(",", " , ").replace(":", " : ").split(" "), "&", "|", "nan", "-inf", "9e99"]
    )
    line = data.draw(st.lists(words, max_size=80).map(" ".join))
    cut = BOTH[: data.draw(st.integers(0, len(BOTH)))]
    for text in (line, PREFIX + line.replace(" , ", ","), cut, cut + line):
        sample = parse_line(text)
        assert sample is None or sound(sample) is None


@given(poses(1.5), poses(1.5), st.frozensets(st.sampled_from(sorted(BUTTONS["right"]))))
def test_what_the_app_prints_is_read(right, left, buttons) -> None:
    """``right`` and ``left`` are poses in OpenXR's axes; the app prints six digits."""
    sample = parse_line(app_line(right, left, buttons, squeeze=0.25))
    m = np.array([[0.0, 0.0, -1.0], [-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    for hand, pose in ((sample.right, right), (sample.left, left)):
        np.testing.assert_allclose(hand.position_m, m @ pose.position_m, atol=1e-5)
        got = Rotation.from_quat(hand.rotation_xyzw).as_matrix()
        np.testing.assert_allclose(got, m @ pose.rotation.as_matrix() @ m.T, atol=1e-4)
    assert sample.right.buttons == buttons
    assert sample.right.squeeze == 0.25
