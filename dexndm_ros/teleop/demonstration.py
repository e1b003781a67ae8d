# SPDX-License-Identifier: Apache-2.0
"""Start, stop and discard of a recording from the right controller: A starts one, A again keeps it, B held discards it.

A and B mean nothing to clutch, forward or axis (RG, RJ; X, Y, LG, LTr, LJ). A press counts once, on a sample that the
operator gave to our page, and only after both buttons were seen released. The shakes are the left controller's: those
of the right one speak of the arm.

Pure: the caller brings samples, the time and what the recorder said, and passes the order on. Whatever the recorder
does, or does not do, changes words here and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from dexndm_ros.teleop.bridge import Pulse
from dexndm_ros.teleop.sample import Sample

__all__ = [
    "BUTTONS",
    "PREFIX",
    "Answer",
    "Demonstration",
    "DemonstrationConfig",
    "Finished",
    "Heard",
    "Move",
    "Order",
    "Phase",
]

PREFIX = "demonstration_"
"""The names of our episodes begin so."""
START_STOP, DISCARD = "A", "B"
BUTTONS = frozenset({START_STOP, DISCARD})

STARTED = Pulse("left", 0.6, 80.0)
KEPT = Pulse("left", 0.6, 250.0)
PUT_ASIDE = Pulse("left", 0.6, 500.0)
TROUBLE = Pulse("left", 1.0, 500.0)

_SILENT_S = 3.0
_DISAGREES_S = 1.0


class Phase(StrEnum):
    """Where a recording is."""

    IDLE = "idle"
    STARTING = "starting"
    RECORDING = "recording"
    ENDING = "ending"


@dataclass(frozen=True)
class DemonstrationConfig:
    """How long is long.

    Attributes:
        discard_hold_s: B is held so long to discard.
        lost_s: an operator who is away for so long has left: the recording is put aside.
        patience_s: an answer of the recorder that takes longer never comes.
    """

    discard_hold_s: float = 0.5
    lost_s: float = 10.0
    patience_s: float = 5.0

    def __post_init__(self) -> None:
        """Refuse what would end a recording at once, or never."""
        for name in ("discard_hold_s", "lost_s", "patience_s"):
            if not 0.0 < getattr(self, name) < 3600.0:
                raise ValueError(
                    f"demonstration {name} is {getattr(self, name)}; it must be above 0 and below 3600 s"
                )


@dataclass(frozen=True)
class Order:
    """What the recorder is asked to do with an episode."""

    action: Literal["begin", "end", "discard"]
    episode: str
    reason: str = ""


@dataclass(frozen=True)
class Answer:
    """What it said to an order; ``words`` are why not."""

    order: Order
    success: bool
    words: str = ""


@dataclass(frozen=True)
class Finished:
    """How the recording of an episode ended; ``reason`` is why it is not complete."""

    episode: str
    complete: bool
    reason: str = ""


@dataclass(frozen=True)
class Heard:
    """The recorder says which episode is open ('' = none)."""

    episode: str


@dataclass(frozen=True)
class Move:
    """What is to be done now; None = nothing."""

    order: Order | None = None
    pulse: Pulse | None = None


class Demonstration:
    """The state machine.

    Args:
        config: times.
        name: of the next episode; its result begins with ``PREFIX`` and never comes twice.

    Attributes:
        phase: where it is.
        episode: the one that is being recorded, begun or ended; '' = none.
        words: what happened last, one sentence.
        told_s: when that was.
        since_s: when the recording began.
    """

    def __init__(self, config: DemonstrationConfig, name: Callable[[], str]) -> None:
        self.config = config
        self.phase = Phase.IDLE
        self.episode = ""
        self.words = "press A to record a demonstration"
        self.told_s = self.since_s = 0.0
        self._name = name
        self._released = False
        self._discards_at_s: float | None = None
        self._order: Order | None = None
        self._ordered_s = 0.0
        self._operator_s = 0.0
        self._heard: Heard | None = None
        self._heard_s = 0.0
        self._wrong_since_s: float | None = None
        self._ended: set[str] = set()  # how these ended is still to be told
        self._pulse: Pulse | None = None

    def tick(
        self,
        now_s: float,
        sample: Sample | None,
        connected: bool,
        events: Sequence[Answer | Finished | Heard] = (),
    ) -> Move:
        """One period.

        Args:
            now_s: our monotonic time.
            sample: one that was not looked at before; None = there is none.
            connected: the operator's samples come, and are not old.
            events: what the recorder said since the last tick, in order.
        """
        self._pulse = None
        for event in events:
            self._take(event, now_s)
        if connected:
            self._operator_s = now_s
        pressed, discards = self._buttons(sample if connected else None, connected, now_s)
        order = self._look(now_s) or self._press(pressed, discards, now_s)
        if order is not None:
            self._order, self._ordered_s = order, now_s
        return Move(order, self._pulse)

    # --- the operator -----------------------------------------------------------------------------

    def _buttons(self, sample: Sample | None, connected: bool, now_s: float) -> tuple[bool, bool]:
        """Whether A was pressed now, and whether B was held for long enough now."""
        if not connected:
            self._released, self._discards_at_s = False, None
        if sample is None:
            return False, False
        hand = sample.right
        if hand is None or not hand.tracked or not sample.visible:
            self._released, self._discards_at_s = False, None
            return False, False
        down = hand.buttons & BUTTONS
        fresh = self._released
        self._released = not down
        if down != {DISCARD}:
            self._discards_at_s = None
        elif fresh:
            self._discards_at_s = now_s + self.config.discard_hold_s
        held = self._discards_at_s is not None and now_s >= self._discards_at_s
        if held:
            self._discards_at_s = None
        return fresh and down == {START_STOP}, held

    def _press(self, pressed: bool, discards: bool, now_s: float) -> Order | None:
        if self._order is not None or not (pressed or discards):
            return None
        if discards and self.phase is Phase.RECORDING:
            return self._end("discard", "discarded by the operator")
        if discards:
            self._tell("nothing is being recorded", now_s)
        elif self.phase is Phase.RECORDING:
            return self._end("end")
        elif why := self._why_not(now_s):
            self._tell(f"not recorded: {why}", now_s, TROUBLE)
        else:
            self.phase, self.episode = Phase.STARTING, self._name()
            return Order("begin", self.episode)
        return None

    def _why_not(self, now_s: float) -> str:
        if self._heard is None or now_s - self._heard_s > _SILENT_S:
            return "no recorder is running; start the system with a folder for demonstrations"
        if self._heard.episode and not self._heard.episode.startswith(PREFIX):
            return f"the recorder is busy with {self._heard.episode}"
        return ""

    def _end(self, action: Literal["end", "discard"], reason: str = "") -> Order:
        self.phase = Phase.ENDING
        self._ended.add(self.episode)
        return Order(action, self.episode, reason)

    # --- the recorder -----------------------------------------------------------------------------

    def _take(self, event: Answer | Finished | Heard, now_s: float) -> None:
        if isinstance(event, Heard):
            self._heard, self._heard_s = event, now_s
        elif isinstance(event, Finished):
            self._finished(event, now_s)
        elif event.order == self._order:
            self._order = None
            self._answered(event, now_s)

    def _answered(self, answer: Answer, now_s: float) -> None:
        order = answer.order
        if order.episode != self.episode:
            return  # of one that was left behind: nobody asked for it
        if order.action == "begin" and answer.success:
            self.phase, self.since_s = Phase.RECORDING, now_s
            self._operator_s, self._wrong_since_s = now_s, None
            self._tell(f"recording {order.episode}", now_s, STARTED)
            return
        self.phase, self.episode = Phase.IDLE, ""
        if order.action == "begin":
            self._tell(f"not recorded: {answer.words}", now_s, TROUBLE)
        elif not answer.success and order.episode in self._ended:
            self._ended.discard(order.episode)
            self._tell(f"{order.episode} is lost: {answer.words}", now_s, TROUBLE)
        elif order.episode in self._ended:
            self._tell(f"{order.episode} is being closed", now_s)

    def _finished(self, event: Finished, now_s: float) -> None:
        mine = event.episode in self._ended or (
            event.episode == self.episode and self.phase is not Phase.IDLE
        )
        if not mine:
            return
        asked = event.episode in self._ended
        self._ended.discard(event.episode)
        if event.episode == self.episode and not asked:
            self.phase, self.episode = Phase.IDLE, ""
        if event.complete:
            self._tell(f"kept {event.episode}", now_s, KEPT)
        else:
            pulse = PUT_ASIDE if asked else TROUBLE
            self._tell(f"{event.episode} is put aside: {event.reason}", now_s, pulse)

    def _look(self, now_s: float) -> Order | None:
        """What time alone brings: an answer that never comes, an operator who left, a recorder that forgot."""
        if self._order is not None:
            self._give_up(self._order, now_s)
            return None
        if self.phase is Phase.RECORDING and now_s - self._operator_s > self.config.lost_s:
            return self._end("discard", f"the operator was away for {self.config.lost_s:g} s")
        if not self._disagrees(now_s):
            self._wrong_since_s = None
            return None
        if self._wrong_since_s is None:
            self._wrong_since_s = now_s
        if now_s - self._wrong_since_s <= _DISAGREES_S or self._heard is None:
            return None
        self._wrong_since_s = None
        if self.phase is Phase.IDLE:  # of a bridge that died, or begun when nobody waited any more
            return Order("discard", self._heard.episode, "nobody ended it")
        self._tell(
            f"{self.episode} is lost: the recorder is gone, or was started anew", now_s, TROUBLE
        )
        self.phase, self.episode = Phase.IDLE, ""
        return None

    def _give_up(self, order: Order, now_s: float) -> None:
        if now_s - self._ordered_s <= self.config.patience_s:
            return
        self._order = None
        if order.episode == self.episode:
            self.phase, self.episode = Phase.IDLE, ""
            self._ended.discard(order.episode)
            text = f"the recorder did not answer; {order.episode} may be lost"
            self._tell(text, now_s, TROUBLE)

    def _disagrees(self, now_s: float) -> bool:
        """The recorder has something else open than we think; what it said may be older than what we know."""
        silent = self._heard is None or now_s - self._heard_s > _SILENT_S
        if self.phase is Phase.RECORDING:
            return silent or self._heard is None or self._heard.episode != self.episode
        return not silent and self._heard is not None and self._heard.episode.startswith(PREFIX)

    def _tell(self, words: str, now_s: float, pulse: Pulse | None = None) -> None:
        self.words, self.told_s = words, now_s
        self._pulse = pulse or self._pulse
