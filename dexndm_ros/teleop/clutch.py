# SPDX-License-Identifier: Apache-2.0
"""When the arm follows: only while the right grip is held, and after any fault only from a fresh press on.

Pure: a state machine of what is seen at each tick.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Clutch", "ClutchConfig", "State"]


class State(StrEnum):
    """What the clutch is doing."""

    DISCONNECTED = "disconnected"
    READY = "ready"
    ENGAGED = "engaged"
    FAULT_HOLD = "fault_hold"


@dataclass(frozen=True)
class ClutchConfig:
    """How far the grip is pressed, 0..1.

    Attributes:
        engage_at: pressed beyond this it engages,
        release_at: and let go below this it releases.
    """

    engage_at: float = 0.8
    release_at: float = 0.5

    def __post_init__(self) -> None:
        """Refuse thresholds that chatter, or that a released grip meets."""
        if not 0.0 < self.release_at < self.engage_at < 1.0:
            raise ValueError(
                "clutch needs 0 < release_at < engage_at < 1, got "
                f"{self.release_at} and {self.engage_at}"
            )


class Clutch:
    """The state machine.

    Attributes:
        state: where it is.
        stopped_by: the last fault since it was last engaged; empty = none.
    """

    def __init__(self, config: ClutchConfig | None = None) -> None:
        self.config = config or ClutchConfig()
        self.state = State.DISCONNECTED
        self.stopped_by = ""
        self._released = (
            False  # the grip was seen released, with nothing wrong, since the last fault
        )

    @property
    def engaged(self) -> bool:
        """The arm follows."""
        return self.state is State.ENGAGED

    def fault(self, words: str, *, connected: bool = True) -> None:
        """Something is wrong: nothing follows until the grip is released and pressed again."""
        self.state = State.FAULT_HOLD if connected else State.DISCONNECTED
        self.stopped_by = words
        self._released = False

    def grip(self, squeeze: float, *, may_engage: bool = True) -> bool:
        """Take the grip of a sample without a fault; True where this press engages."""
        if squeeze < self.config.release_at:
            self._released = True
            self.state = State.READY
        elif squeeze > self.config.engage_at and self._released and may_engage:
            pressed = not self.engaged
            self.state = State.ENGAGED
            self.stopped_by = ""
            return pressed
        elif not self._released:
            self.state = State.FAULT_HOLD
        return False

    @property
    def reason(self) -> str:
        """Why the arm does not follow and, after a colon, what mends it; empty while it does."""
        if self.engaged:
            return ""
        cause = self.stopped_by.partition(": ")[0]
        if self.state is State.READY:
            if not cause:
                return "hold the right grip to move"
            return f"it stopped because {cause}: hold the right grip to move again"
        if self.state is State.DISCONNECTED:
            return self.stopped_by or "no headset is connected"
        if not cause:
            return "the right grip is held already: release it, then press it again"
        return f"it stopped because {cause}: release the right grip, then press it again"
