# SPDX-License-Identifier: Apache-2.0
"""Things with names, put together by hand: the family that nothing is trained on and nothing is tuned on.

They stand in for the filtered ContactDB objects that the paper tests on (section C): 26 shapes, aspect ratios up to 2.
Proportions are roughly those of the things; sizes are set by who asks.
"""

from __future__ import annotations

from dexndm_ros.sim.shapes.pieces import Piece, Shape

__all__ = ["NAMED"]

_QUARTER = 0.7071067811865476
_X = (_QUARTER, 0.0, 0.0, _QUARTER)  # z turned to -y
_Y = (0.0, _QUARTER, 0.0, _QUARTER)  # z turned to x


def _box(x: float, y: float, z: float, *at: float, turn: tuple[float, ...] = (0, 0, 0, 1)) -> Piece:
    return _piece("box", (x, y, z), at, turn)


def _egg(x: float, y: float, z: float, *at: float, turn: tuple[float, ...] = (0, 0, 0, 1)) -> Piece:
    return _piece("ellipsoid", (x, y, z), at, turn)


def _ball(radius: float, *at: float) -> Piece:
    return _piece("sphere", (radius, 0.0, 0.0), at, (0, 0, 0, 1))


def _rod(radius: float, half: float, *at: float, turn: tuple[float, ...] = (0, 0, 0, 1)) -> Piece:
    return _piece("cylinder", (radius, half, 0.0), at, turn)


def _pill(radius: float, half: float, *at: float, turn: tuple[float, ...] = (0, 0, 0, 1)) -> Piece:
    return _piece("capsule", (radius, half, 0.0), at, turn)


def _piece(
    kind: str, size: tuple[float, float, float], at: tuple[float, ...], turn: tuple[float, ...]
) -> Piece:
    x, y, z = at or (0.0, 0.0, 0.0)
    a, b, c, d = turn
    return Piece(kind, size, (x, y, z), (a, b, c, d))


_THINGS: dict[str, list[Piece]] = {
    "apple": [_egg(1.0, 1.0, 0.9), _rod(0.08, 0.2, 0.0, 0.0, 0.95)],
    "banana_half": [
        _pill(0.34, 0.12, -0.28, 0.0, -0.08, turn=(0.0, 0.609, 0.0, 0.793)),
        _pill(0.38, 0.12, 0.05, 0.0, 0.0, turn=_Y),
        _pill(0.32, 0.1, 0.36, 0.0, -0.12, turn=(0.0, 0.793, 0.0, 0.609)),
    ],
    "binoculars": [
        _rod(0.45, 0.75, -0.42, 0.0, 0.0), _rod(0.45, 0.75, 0.42, 0.0, 0.0), _box(0.3, 0.15, 0.3),
    ],
    "bowl": [_rod(1.0, 0.25, 0.0, 0.0, 0.35), _rod(0.75, 0.25, 0.0, 0.0, -0.05), _rod(0.5, 0.2, 0.0, 0.0, -0.4)],
    "bunny": [
        _egg(0.75, 0.6, 0.6), _ball(0.42, 0.6, 0.0, 0.55),
        _egg(0.12, 0.1, 0.35, 0.55, 0.15, 1.1), _egg(0.12, 0.1, 0.35, 0.55, -0.15, 1.1), _ball(0.2, -0.75, 0.0, 0.1),
    ],
    "camera": [_box(0.9, 0.4, 0.6), _rod(0.42, 0.3, 0.0, -0.6, 0.0, turn=_X), _box(0.25, 0.25, 0.12, 0.3, 0.0, 0.68)],
    "cell": [_rod(0.5, 0.8), _rod(0.2, 0.1, 0.0, 0.0, 0.88)],
    "cow": [
        _egg(1.0, 0.6, 0.5), _egg(0.35, 0.3, 0.3, 0.95, 0.0, 0.3), _box(0.15, 0.4, 0.3, 0.6, 0.0, -0.6),
        _box(0.15, 0.4, 0.3, -0.6, 0.0, -0.6),
    ],
    "cup": [_rod(0.62, 0.5, 0.0, 0.0, 0.3), _rod(0.5, 0.4, 0.0, 0.0, -0.35)],
    "doorknob": [_egg(0.75, 0.75, 0.5), _rod(0.3, 0.4, 0.0, 0.0, -0.7), _rod(0.55, 0.08, 0.0, 0.0, -1.05)],
    "duck": [
        _egg(0.9, 0.65, 0.55), _ball(0.45, 0.45, 0.0, 0.75), _egg(0.25, 0.2, 0.1, 0.95, 0.0, 0.7),
        _egg(0.3, 0.25, 0.15, -0.9, 0.0, 0.3),
    ],
    "elephant": [
        _egg(0.9, 0.65, 0.6), _ball(0.48, 0.9, 0.0, 0.3), _pill(0.14, 0.3, 1.3, 0.0, -0.15),
        _rod(0.2, 0.3, 0.5, 0.3, -0.6), _rod(0.2, 0.3, 0.5, -0.3, -0.6), _box(0.2, 0.5, 0.3, -0.5, 0.0, -0.6),
    ],
    "flashlight": [_rod(0.38, 0.75, 0.0, 0.0, -0.2), _rod(0.55, 0.3, 0.0, 0.0, 0.7)],
    "flute_end": [_pill(0.46, 0.5), _rod(0.5, 0.12, 0.0, 0.0, 0.5), _box(0.12, 0.2, 0.3, 0.42, 0.0, -0.1)],
    "gamepad": [_box(0.4, 0.4, 0.4), _egg(0.42, 0.46, 0.6, -0.45, 0.0, -0.15), _egg(0.42, 0.46, 0.6, 0.45, 0.0, -0.15)],
    "hammer_head": [_box(0.3, 0.3, 0.5), _rod(0.46, 0.3, 0.0, 0.0, 0.6), _box(0.35, 0.15, 0.3, 0.0, 0.0, -0.5)],
    "hand_bell": [
        _rod(0.7, 0.2, 0.0, 0.0, -0.5), _egg(0.58, 0.58, 0.65, 0.0, 0.0, -0.2), _pill(0.16, 0.35, 0.0, 0.0, 0.7),
    ],
    "headphone_case": [_egg(0.9, 0.75, 0.5), _box(0.15, 0.1, 0.2, 0.85, 0.0, 0.0)],
    "light_bulb": [_ball(0.75, 0.0, 0.0, 0.35), _rod(0.45, 0.3, 0.0, 0.0, -0.45), _rod(0.38, 0.25, 0.0, 0.0, -0.85)],
    "mouse": [_egg(1.0, 0.6, 0.55), _box(0.7, 0.55, 0.2, 0.0, 0.0, -0.25)],
    "mug": [
        _rod(0.7, 0.8), _box(0.25, 0.12, 0.12, 0.85, 0.0, 0.45), _box(0.25, 0.12, 0.12, 0.85, 0.0, -0.45),
        _box(0.12, 0.12, 0.5, 1.05, 0.0, 0.0),
    ],
    "pear": [_ball(0.72, 0.0, 0.0, -0.3), _egg(0.45, 0.45, 0.6, 0.0, 0.0, 0.45)],
    "piggy_bank": [
        _egg(0.9, 0.7, 0.7), _rod(0.3, 0.15, 0.9, 0.0, 0.0, turn=_Y), _box(0.15, 0.4, 0.2, 0.4, 0.0, -0.7),
        _box(0.15, 0.4, 0.2, -0.4, 0.0, -0.7),
    ],
    "stapler_end": [
        _box(0.65, 0.4, 0.2, 0.0, 0.0, -0.4), _box(0.6, 0.36, 0.25, 0.05, 0.0, 0.15),
        _egg(0.3, 0.4, 0.5, -0.5, 0.0, -0.1),
    ],
    "teapot": [
        _egg(0.85, 0.85, 0.7), _pill(0.14, 0.35, 0.95, 0.0, 0.2, turn=(0.0, 0.383, 0.0, 0.924)),
        _box(0.1, 0.1, 0.4, -1.0, 0.0, 0.05), _ball(0.16, 0.0, 0.0, 0.75),
    ],
    "truck": [
        _box(0.75, 0.55, 0.4, -0.25, 0.0, 0.25), _box(0.3, 0.52, 0.3, 0.75, 0.0, 0.15),
        _rod(0.25, 0.55, 0.65, 0.0, -0.25, turn=_X), _rod(0.25, 0.55, -0.6, 0.0, -0.25, turn=_X),
    ],
}  # fmt: skip

NAMED: dict[str, Shape] = {
    name: Shape(name, tuple(pieces)).sized(1.0) for name, pieces in _THINGS.items()
}
"""By name: centred, the shortest side 1."""
