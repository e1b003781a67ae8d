# SPDX-License-Identifier: Apache-2.0
"""Brings the hand into the condition that is wished for: torque on, or off, with faults recovered from.

Pure: it says which driver service to call and is told the answer. Times are monotonic wall time, because
processes and cables take theirs whatever the speed of the simulation.
"""

from __future__ import annotations

from dataclasses import dataclass

from dexndm_ros.replay.campaign import RecoveryConfig
from dexndm_ros.replay.views import HandMode

__all__ = ["HandKeeper", "Keeping"]

_ANSWER_S = 30.0
"""A driver that has not answered by then (it waits for its bus thread for 20 s) will not."""
_RELAX_AGAIN_S = 1.0


@dataclass(frozen=True)
class Keeping:
    """What to do now.

    Attributes:
        ready: the hand is as it was wished.
        ask: driver service to call: "enable", "relax", "recover" or "".
        waiting: what it waits for, in words; '' = nothing.
        hopeless: why it gives up; '' = it does not.
    """

    ready: bool
    ask: str = ""
    waiting: str = ""
    hopeless: str = ""


class HandKeeper:
    """Enables, relaxes and recovers, with growing pauses and a limited patience."""

    def __init__(self, config: RecoveryConfig) -> None:
        self._config = config
        self._asked = ""
        self._asked_s = 0.0
        self._next_s = 0.0
        self._backoff_s = config.backoff_s
        self._failing_since_s: float | None = None
        self._said = ""

    def answered(self, ask: str, ok: bool, text: str, now_s: float) -> None:
        """The driver's answer to what was asked; no answer at all is a failure too."""
        if ask != self._asked:
            return
        self._asked = ""
        if ok:
            self._next_s = now_s
            if ask == "enable":
                self._succeeded()
            return
        self._said = text
        if self._failing_since_s is None:
            self._failing_since_s = now_s
        self._next_s = now_s + self._backoff_s
        self._backoff_s = min(2.0 * self._backoff_s, self._config.backoff_max_s)

    def forget(self) -> None:
        """Somebody looked after the hand: patience starts anew."""
        self._succeeded()
        self._next_s = 0.0

    def keep(self, on: bool, mode: HandMode, cool: bool, now_s: float) -> Keeping:
        """One look at the hand.

        Args:
            on: the torque is to be on.
            mode: the driver's mode.
            cool: no motor is too hot to be switched on again.
            now_s: monotonic time.
        """
        if not on:
            return self._keep_off(mode, now_s)
        if mode in (HandMode.HOLDING, HandMode.RAMPING, HandMode.ACTIVE):
            if self._asked != "enable":
                self._succeeded()
            return Keeping(ready=not self._asked)
        if self._gave_up(now_s):
            minutes = self._config.patience_s / 60.0
            return Keeping(
                False, hopeless=f"the hand did not come back in {minutes:.0f} min: {self._said}"
            )
        if mode is HandMode.FAULT and not cool:
            return Keeping(False, waiting="the motors cool before the hand is recovered")
        ask = "recover" if mode is HandMode.FAULT else "enable"
        return Keeping(False, self._ask(ask, now_s), self._said or f"hand/{ask}")

    def _keep_off(self, mode: HandMode, now_s: float) -> Keeping:
        if mode in (HandMode.RELAXED, HandMode.FAULT):
            return Keeping(ready=True)
        if self._asked == "relax" and now_s - self._asked_s < _RELAX_AGAIN_S:
            return Keeping(False, waiting="hand/relax")
        # Switching off waits for nothing, not for the answer to another request either.
        self._asked, self._asked_s = "relax", now_s
        return Keeping(False, "relax", "hand/relax")

    def _ask(self, ask: str, now_s: float) -> str:
        if self._asked and now_s - self._asked_s > _ANSWER_S:
            self.answered(self._asked, False, f"no answer from hand/{self._asked}", now_s)
        if self._asked or now_s < self._next_s:
            return ""
        self._asked, self._asked_s = ask, now_s
        return ask

    def _gave_up(self, now_s: float) -> bool:
        since_s = self._failing_since_s
        return since_s is not None and now_s - since_s > self._config.patience_s

    def _succeeded(self) -> None:
        self._failing_since_s = None
        self._backoff_s = self._config.backoff_s
        self._said = ""
