# SPDX-License-Identifier: Apache-2.0
"""From what a page sends to what may be used: every text is read or refused, and never anything else."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from dexndm_ros.teleop.frames import is_pose
from dexndm_ros.teleop.sample import BUTTONS
from dexndm_ros.teleop.web.messages import (
    Answer,
    Claim,
    Frame,
    Pair,
    Pong,
    RefusedError,
    Release,
    parse,
)
from support.webxr import controller, frame

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def read(**changes):
    return parse(json.dumps({**frame(7), **changes}))


def test_a_frame_becomes_hands_in_ros_axes():
    turned = (
        Rotation.from_euler("y", 90, degrees=True).as_quat().tolist()
    )  # to the left, seen from above
    right = controller(p=[1, 2, 3], q=turned, b=[0.25, 0.75, 1, 1, 0, 1], x=[0.5, -1.0], emu=1)
    taken = read(r=right, l=controller(ok=0, b=[1, 0, 0, 0, 1, 0]), t=1234.5)
    assert (taken.seq, taken.captured_s, taken.visible, taken.origin) == (7, 1.2345, True, 1)
    assert taken.right.position_m == (-3, -1, 2)
    assert Rotation.from_quat(taken.right.rotation_xyzw).as_rotvec(degrees=True) == pytest.approx(
        [0, 0, 90]
    )
    assert taken.right.tracked and taken.right.emulated
    assert (taken.right.trigger, taken.right.squeeze) == (0.25, 0.75)
    assert taken.right.buttons == {"RG", "RJ", "A"}
    assert taken.right.stick == (0.5, 1.0)  # forward is positive
    assert not taken.left.tracked
    assert taken.left.buttons == {"LTr", "Y", "LThU"}
    assert taken.head.position_m == (0, 0, 1.6)


def test_every_name_of_a_button_can_be_pressed():
    for key, side in (("r", "right"), ("l", "left")):
        pressed = controller(b=[1, 1, 1, 1, 1, 0])
        assert getattr(read(**{key: pressed}), side).buttons == BUTTONS[side]


@pytest.mark.parametrize("visibility", ["hidden", "visible-blurred"])
def test_a_menu_before_the_page_means_not_visible(visibility):
    assert not read(vis=visibility).visible


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ({"answer": "00"}, Answer("00")),
        ({"pair": "12345678"}, Pair("12345678")),
        ({"claim": "a page"}, Claim("a page")),
        ({"release": 1}, Release()),
        ({"pong": 3, "t": 500}, Pong(3, 0.5)),
    ],
)
def test_the_other_messages_are_read(text, message):
    assert parse(json.dumps({"v": 1, **text})) == message


BROKEN = {
    "no version": {"v": None},
    "another version": {"v": 2},
    "negative seq": {"seq": -1},
    "seq is no integer": {"seq": 1.5},
    "seq is true": {"seq": True},
    "seq is too large": {"seq": 2**53},
    "no time": {"t": None},
    "endless time": {"t": math.inf},
    "unknown visibility": {"vis": "maybe"},
    "no origin": {"origin": None},
    "hand is a list": {"r": []},
    "no position": {"r": controller(p=None)},
    "two numbers": {"r": controller(p=[0, 0])},
    "not a number": {"r": controller(p=[0, math.nan, 0])},
    "text for a number": {"r": controller(p=[0, "1", 0])},
    "true for a number": {"r": controller(p=[0, True, 0])},
    "beyond the room": {"r": controller(p=[0, 21, 0])},
    "zero quaternion": {"r": controller(q=[0, 0, 0, 0])},
    "long quaternion": {"r": controller(q=[1, 0, 0, 1])},
    "trigger above one": {"r": controller(b=[1.1, 0, 0, 0, 0, 0])},
    "a button too few": {"r": controller(b=[0, 0, 0, 0, 0])},
    "stick beyond its end": {"r": controller(x=[0, 2])},
    "flag is two": {"r": controller(ok=2)},
    "head without rotation": {"h": {"p": [0, 0, 0]}},
}


@pytest.mark.parametrize("changes", BROKEN.values(), ids=BROKEN.keys())
def test_one_thing_wrong_refuses_the_whole_frame(changes):
    with pytest.raises(RefusedError) as refused:
        read(**changes)
    assert refused.value.reason == "malformed"


def well_formed(text):
    """Read a text; what is taken keeps every promise that the rest of the stack relies on."""
    try:
        message = parse(text)
    except RefusedError:
        return
    if isinstance(message, Frame):
        assert math.isfinite(message.captured_s)
        for hand in (message.right, message.left):
            if hand is not None:
                assert is_pose(hand)
                assert 0 <= hand.trigger <= 1 and 0 <= hand.squeeze <= 1
                assert all(-1 <= value <= 1 for value in hand.stick)


@given(st.text() | st.binary().map(lambda data: data.decode(errors="replace")))
def test_any_text_is_read_or_refused(text):
    well_formed(text)


@given(st.dictionaries(st.sampled_from(sorted(frame())), JSON, min_size=1))
def test_any_json_in_any_place_is_read_or_refused(changes):
    well_formed(json.dumps({**frame(), **changes}))


@given(st.dictionaries(st.sampled_from(sorted(controller())), JSON, min_size=1))
def test_any_json_in_a_controller_is_read_or_refused(changes):
    well_formed(json.dumps(frame(r=controller(**changes))))


@pytest.mark.parametrize(
    "text", ["[" * 2000, '{"v":1,"seq":1e999}', '{"v":1,"seq":' + "9" * 2000 + "}", "NaN"]
)
def test_what_breaks_careless_readers_is_refused(text):
    with pytest.raises(RefusedError):
        parse(text)
