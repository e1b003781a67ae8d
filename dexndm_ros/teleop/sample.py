# SPDX-License-Identifier: Apache-2.0
"""What a headset tells of the operator's hands, whichever way it came.

Poses are in the operator frame with ROS axes (x forward, y left, z up), metres and unit quaternions xyzw.
A source converts its own axes (``frames.from_xr_*``) before it makes a sample.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

__all__ = ["BUTTONS", "Hand", "Head", "Quaternion", "Sample", "Side", "Source", "Vector"]

Vector = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]
Side = Literal["right", "left"]

BUTTONS: Mapping[Side, frozenset[str]] = {
    "right": frozenset({"A", "B", "RTr", "RG", "RThU", "RJ"}),
    "left": frozenset({"X", "Y", "LTr", "LG", "LThU", "LJ"}),
}
"""Button names: face buttons, trigger (Tr), grip (G), thumb lifted from its rest (ThU), stick pressed (J)."""


@dataclass(frozen=True)
class Hand:
    """One controller.

    Attributes:
        position_m: grip position.
        rotation_xyzw: grip orientation.
        tracked: the headset has a pose for it; False = the pose here is worth nothing.
        emulated: the position is dead-reckoned, not seen.
        trigger: index trigger, 0..1.
        squeeze: grip trigger, 0..1.
        buttons: those that are pressed, by the names in ``BUTTONS``.
        stick: thumb stick x (right is positive), y (forward is positive), -1..1.
    """

    position_m: Vector
    rotation_xyzw: Quaternion
    tracked: bool = True
    emulated: bool = False
    trigger: float = 0.0
    squeeze: float = 0.0
    buttons: frozenset[str] = frozenset()
    stick: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Head:
    """The headset itself; ``position_m`` and ``rotation_xyzw`` as those of a hand."""

    position_m: Vector
    rotation_xyzw: Quaternion


@dataclass(frozen=True)
class Sample:
    """Both hands at one moment.

    Attributes:
        seq: the source's own count, growing.
        captured_s: when the pose was taken, on the source's clock.
        arrived_s: when it reached us, our monotonic clock.
        source: "webxr", "oculus_reader" or "recording".
        visible: the operator sees our page and no system menu.
        recentred: the operator frame was moved since the sample that ``Source.latest`` gave before.
        right: right controller; None = not there, or a bare hand.
        left: left controller, likewise.
        head: the headset; None = the source does not tell.
        delay_s: how long it was on its way, by clocks that were compared with pings, to within half their round trip;
            None = they were not.
    """

    seq: int
    captured_s: float
    arrived_s: float
    source: str
    visible: bool = True
    recentred: bool = False
    right: Hand | None = None
    left: Hand | None = None
    head: Head | None = None
    delay_s: float | None = None


class Source(Protocol):
    """Where samples come from."""

    def start(self) -> None:
        """Begin; returns at once."""

    def stop(self) -> None:
        """End, and give back what is held; may be called twice."""

    def latest(self) -> Sample | None:
        """The newest sample; the same one again while no newer came; None before the first."""

    def counts(self) -> Mapping[str, int]:
        """Samples since the start: "accepted", and one entry a reason why others were refused."""

    def pulse(self, hand: Side, strength: float, ms: float) -> None:
        """Shake a controller (strength 0..1); nothing happens where the source cannot."""
