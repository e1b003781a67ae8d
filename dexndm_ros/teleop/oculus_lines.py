# SPDX-License-Identifier: Apache-2.0
"""The log lines of the oculus_reader app, turned into samples.

    <logcat prefix>wE9ryARX: TRANSFORMS&BUTTONS

TRANSFORMS are the controllers' poses in the headset's frame, ``r:`` or ``l:`` and a row-major 4x4 matrix, joined by
``|``; BUTTONS are ``R,`` or ``L,`` and the tokens of that hand, joined by ``,``. See rail-berkeley/oculus_reader.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from dexndm_ros.teleop.frames import from_xr_position, from_xr_rotation
from dexndm_ros.teleop.sample import BUTTONS, Hand, Quaternion, Sample, Side, Vector

__all__ = ["TAG", "parse_line"]

TAG = "wE9ryARX"
_STAMP = re.compile(r"(\d\d-\d\d \d\d:\d\d:\d\d\.\d{3})\s")
_SIDES: dict[str, Side] = {"r": "right", "l": "left"}
# The app prints six digits; a matrix further from a rotation than this was cut or garbled.
_ROTATION_TOLERANCE = 1e-2
_LAST_ROW_TOLERANCE = 1e-3
# Nobody's hand is further from the headset.
_REACH_M = 3.0

_Pose = tuple[Vector, Quaternion]
_Part = TypeVar("_Part")


def parse_line(line: str, seq: int = 0, arrived_s: float = 0.0) -> Sample | None:
    """A line of the log as a sample; None where it is not one of the app's.

    A hand that the line does not tell the buttons of is not there; one whose matrix is missing, broken or told twice
    is not tracked. The capture time is the log's own stamp (there is no other), or ``arrived_s`` where it has none.
    """
    prefix, tag, payload = line.partition(f"{TAG}: ")
    if not tag or payload.count("&") != 1:
        return None
    transforms, buttons = payload.strip().split("&")
    poses = dict(_once(_poses(transforms)))
    tokens = dict(_once(_button_blocks(buttons)))
    hands = {
        side: _hand(side, poses.get(side), told)
        for side, told in tokens.items()
        if told is not None
    }
    return Sample(
        seq,
        _stamp_s(prefix, arrived_s),
        arrived_s,
        "oculus_reader",
        right=hands.get("right"),
        left=hands.get("left"),
    )


def _once(found: Iterator[tuple[Side, _Part]]) -> Iterator[tuple[Side, _Part | None]]:
    """Each side's part; None for a side that was told twice: bare hands reported beside controllers."""
    parts: dict[Side, _Part | None] = {}
    for side, part in found:
        parts[side] = None if side in parts else part
    yield from parts.items()


def _poses(text: str) -> Iterator[tuple[Side, _Pose | None]]:
    for part in text.split("|"):
        side, colon, numbers = part.partition(":")
        if colon and side in _SIDES:
            yield _SIDES[side], _pose(numbers)


def _pose(text: str) -> _Pose | None:
    """Position and quaternion in ROS's axes; None where the matrix is not one of a controller."""
    try:
        numbers = np.array([float(word) for word in text.split()])
    except ValueError:
        return None
    if numbers.shape != (16,) or not np.isfinite(numbers).all():
        return None
    matrix = numbers.reshape(4, 4)
    position, rotation = matrix[:3, 3], matrix[:3, :3]
    sound = (
        np.abs(matrix[3] - (0.0, 0.0, 0.0, 1.0)).max() <= _LAST_ROW_TOLERANCE
        and _is_rotation(rotation)
        and math.hypot(*position) <= _REACH_M
    )
    if not sound:
        return None
    # from_matrix gives the nearest rotation: six printed digits are not quite one.
    quaternion = Rotation.from_matrix(rotation).as_quat()
    return from_xr_position(position.tolist()), from_xr_rotation(quaternion.tolist())


def _is_rotation(matrix: NDArray[np.float64]) -> bool:
    if np.abs(matrix).max() > 1.0 + _ROTATION_TOLERANCE:  # before its square overflows
        return False
    off = np.abs(matrix.T @ matrix - np.eye(3)).max()
    return bool(off < _ROTATION_TOLERANCE and np.linalg.det(matrix) > 0)


def _button_blocks(text: str) -> Iterator[tuple[Side, list[str]]]:
    """The tokens of each hand; ``R`` and ``L`` begin one."""
    side: Side | None = None
    tokens: list[str] = []
    for token in text.split(","):
        begins = _SIDES.get(token.lower()) if token in ("R", "L") else None
        if begins is None:
            tokens.append(token)
            continue
        if side is not None:
            yield side, tokens
        side, tokens = begins, []
    if side is not None:
        yield side, tokens


def _hand(side: Side, pose: _Pose | None, tokens: list[str]) -> Hand:
    analog = {name: numbers for name, *numbers in map(str.split, filter(str.strip, tokens))}
    position_m, rotation_xyzw = pose or ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))
    return Hand(
        position_m,
        rotation_xyzw,
        tracked=pose is not None,
        trigger=_number(analog.get(f"{side}Trig"), 0, 0.0),
        squeeze=_number(analog.get(f"{side}Grip"), 0, 0.0),
        buttons=BUTTONS[side].intersection(tokens),
        stick=(
            _number(analog.get(f"{side}JS"), 0, -1.0),
            _number(analog.get(f"{side}JS"), 1, -1.0),
        ),
    )


def _number(words: list[str] | None, index: int, least: float) -> float:
    """A number of a token, least..1; 0 where it is not told or not a number."""
    try:
        value = float((words or [])[index])
    except (IndexError, ValueError):
        return 0.0
    return min(max(value, least), 1.0) if math.isfinite(value) else 0.0


def _stamp_s(prefix: str, otherwise_s: float) -> float:
    """The log's stamp as seconds; it has no year, so at New Year the time begins anew."""
    found = _STAMP.search(prefix)
    try:
        stamp = datetime.strptime(f"2000-{found[1]}", "%Y-%m-%d %H:%M:%S.%f") if found else None
    except ValueError:
        stamp = None
    return stamp.replace(tzinfo=UTC).timestamp() if stamp else otherwise_s
