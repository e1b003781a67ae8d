# SPDX-License-Identifier: Apache-2.0
"""What the page may say, read from text that nobody has checked: a known message, or why it is refused.

One JSON object a message. Poses are those of the headset's floor space (x right, y up, z back, metres, unit
quaternions xyzw) and leave here in ROS axes (x forward, y left, z up).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, NoReturn

from dexndm_ros.teleop.frames import from_xr_position, from_xr_rotation, unit
from dexndm_ros.teleop.sample import Hand, Head, Quaternion, Side, Vector

__all__ = [
    "VERSION",
    "Answer",
    "Claim",
    "Frame",
    "Message",
    "Pair",
    "Pong",
    "RefusedError",
    "Release",
    "parse",
]

VERSION = 1
_FAR_M = 20.0  # no room is larger; what is farther away is a broken pose
_LARGEST = 2**53  # a JavaScript number counts exactly up to here
# In the order of the page's list.
_BUTTONS: dict[Side, tuple[str, ...]] = {
    "right": ("RTr", "RG", "RJ", "A", "B", "RThU"),
    "left": ("LTr", "LG", "LJ", "X", "Y", "LThU"),
}
_THUMB_UP: dict[Side, str] = {"right": "RThU", "left": "LThU"}
_NOWHERE: tuple[Vector, Quaternion] = ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))


class RefusedError(ValueError):
    """A message that is not taken.

    Attributes:
        reason: a short word that refusals are counted under.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason


@dataclass(frozen=True)
class Frame:
    """One frame of the headset.

    Attributes:
        seq: rises from frame to frame.
        captured_s: the page's clock.
        visible: the session has the operator's eyes, no system menu is before it.
        origin: counts how often the floor space was set anew.
        right: None where no right controller is held (hands, or switched off).
        left: likewise.
        head: None where it is not known.
    """

    seq: int
    captured_s: float
    visible: bool
    origin: int
    right: Hand | None
    left: Hand | None
    head: Head | None


@dataclass(frozen=True)
class Answer:
    """The answer to the server's challenge, hexadecimal."""

    proof: str


@dataclass(frozen=True)
class Pair:
    """The short code that a person typed."""

    code: str


@dataclass(frozen=True)
class Claim:
    """The page wants to drive; ``page`` is a text of its own, the same after it has connected again."""

    page: str


@dataclass(frozen=True)
class Release:
    """The page drives no more."""


@dataclass(frozen=True)
class Pong:
    """A ping came back; ``sent_s`` is the page's clock."""

    number: int
    sent_s: float


Message = Frame | Answer | Pair | Claim | Release | Pong


def parse(text: str) -> Message:
    """Read one message.

    Raises:
        RefusedError: with the reason "malformed"; no other exception, whatever the text is.
    """
    try:
        data = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise RefusedError("malformed", "no JSON") from error
    if not isinstance(data, dict) or data.get("v") != VERSION:
        raise RefusedError("malformed", "no message of this version; load the page again")
    if "seq" in data:
        return _frame(data)
    if "answer" in data:
        return Answer(_text(data["answer"]))
    if "pair" in data:
        return Pair(_text(data["pair"]))
    if "pong" in data:
        return Pong(_count(data["pong"]), _milliseconds(data.get("t")))
    if "claim" in data:
        return Claim(_text(data["claim"]))
    if "release" in data:
        return Release()
    raise RefusedError("malformed", "unknown message")


def _frame(data: dict[str, Any]) -> Frame:
    visibility = data.get("vis")
    if visibility not in ("visible", "visible-blurred", "hidden"):
        raise RefusedError("malformed", "vis")
    return Frame(
        seq=_count(data["seq"]),
        captured_s=_milliseconds(data.get("t")),
        visible=visibility == "visible",
        origin=_count(data.get("origin")),
        right=_hand(data.get("r"), "right"),
        left=_hand(data.get("l"), "left"),
        head=Head(*_pose(data["h"])) if data.get("h") is not None else None,
    )


def _hand(data: Any, side: Side) -> Hand | None:
    if data is None:
        return None
    if not isinstance(data, dict):
        raise RefusedError("malformed", "controller")
    trigger, squeeze, *pressed = _numbers(data.get("b"), len(_BUTTONS[side]), 0.0, 1.0)
    across, down = _numbers(data.get("x"), 2, -1.0, 1.0)
    buttons = {
        name
        for name, value in zip(_BUTTONS[side], (trigger, squeeze, *pressed), strict=True)
        if value > 0.5
    }
    thumb = _THUMB_UP[side]
    tracked = _flag(data.get("ok"))
    position_m, rotation_xyzw = _pose(data) if tracked else _NOWHERE
    return Hand(
        position_m=position_m,
        rotation_xyzw=rotation_xyzw,
        tracked=tracked,
        emulated=_flag(data.get("emu")),
        trigger=trigger,
        squeeze=squeeze,
        buttons=frozenset(
            buttons ^ {thumb}
        ),  # the page tells that it rests, the name says that it does not
        stick=(across, -down),  # WebXR counts towards the operator
    )


def _pose(data: Any) -> tuple[Vector, Quaternion]:
    if not isinstance(data, dict):
        raise RefusedError("malformed", "pose")
    x, y, z = _numbers(data.get("p"), 3, -_FAR_M, _FAR_M)
    q = _numbers(data.get("q"), 4, -2.0, 2.0)
    rotation = unit(q)
    if rotation is None:
        raise RefusedError("malformed", "the quaternion is not of unit length")
    return from_xr_position((x, y, z)), from_xr_rotation(rotation)


def _numbers(data: Any, size: int, low: float, high: float) -> list[float]:
    if not isinstance(data, list) or len(data) != size:
        raise RefusedError("malformed", f"not {size} numbers")
    if not all(_is_number(value) and low <= value <= high for value in data):
        raise RefusedError("malformed", f"a number that is not in {low:g} to {high:g}")
    return [float(value) for value in data]


def _milliseconds(data: Any) -> float:
    if not _is_number(data) or not 0.0 <= data < _LARGEST:
        raise RefusedError("malformed", "time")
    return data / 1000.0


def _count(data: Any) -> int:
    if type(data) is not int or not 0 <= data < _LARGEST:
        raise RefusedError("malformed", "count")
    return data


def _flag(data: Any) -> bool:
    if type(data) is not int or data not in (0, 1):
        raise RefusedError("malformed", "flag")
    return data == 1


def _text(data: Any) -> str:
    if not isinstance(data, str) or len(data) > 100:
        raise RefusedError("malformed", "text")
    return data


def _is_number(data: Any) -> bool:
    return type(data) in (int, float)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)  # NaN and Infinity are no JSON
