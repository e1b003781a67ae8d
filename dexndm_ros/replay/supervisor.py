# SPDX-License-Identifier: Apache-2.0
"""Decides, tick by tick, whether the hand may replay, and why not.

Pure: it is shown what the node has heard (``Seen``) and answers with a ``Decision``. The first rule that
objects wins; the rules stand in ``_rules`` in order of weight. What only asks for a pause lets the present
trajectory end first; what is dangerous, or leaves it unrecorded, drops it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.replay.campaign import Campaign
from dexndm_ros.replay.hand_keeper import HandKeeper
from dexndm_ros.replay.views import Decision, HandMode, HandView, Intent, Seen, State
from dexndm_ros.replay.watch import CurrentWatch, JamWatch

__all__ = ["Supervisor"]

Vector = NDArray[np.float64]

_HAND_AGE_S = 0.5
_RECORDER_AGE_S = 1.5
_BEHIND_S = 5.0
_CAUGHT_UP_S = 0.5
_HOT_MARGIN_C = 4.0
"""This much above ``pause_c`` a trajectory is not carried to its end."""
_LET_GO_S = 2.0
"""How long the fingers hang limp after a jam, so that balls can roll away."""
_CURRENT_REST_S = 30.0
_HOLD_S = 3.0
"""A pause shorter than this is held through; after it the torque goes off."""
_GB = 1e9
_HAND_FAULTS = ("hand_fault", "hand_hot")
_HAND_TROUBLE = (*_HAND_FAULTS, "hand_away")
_COUNTED = (*_HAND_TROUBLE, "recorder_away")
_WAITS = ("hand_away", "recorder_away", "starting")


@dataclass(frozen=True)
class _Objection:
    state: State
    code: str
    reason: str
    drop: bool = True
    blame: bool = False
    torque: bool = False  # the hand may stay on, for a while


class Supervisor:
    """The rules and what they must remember.

    Args:
        campaign: limits and budgets.
        rate_hz: ticks a second.
        begun: when the run began, local time.
    """

    def __init__(self, campaign: Campaign, rate_hz: float, begun: datetime) -> None:
        self._campaign = campaign
        self._rate_hz = rate_hz
        self.intent = Intent.RUN if campaign.start == "auto" else Intent.WAIT
        self.faults = 0
        """Faults met, those recovered from too."""
        self.keeper = HandKeeper(campaign.recovery)
        self._jam = JamWatch(campaign.jam, rate_hz)
        self._current = CurrentWatch(campaign.cooling, rate_hz)
        self._begun = begun
        self._hopeless = ""
        self._setbacks = 0
        self._spent = 0
        self._jams = 0
        self._code = ""
        self._away_since_s: float | None = None
        self._off_since_s: float | None = None
        self._cooling = self._disk_low = self._behind = False
        self._rest_ticks = 0
        self._rest = ("", "")
        self._since_rest = 0

    # --- what happens between ticks ---------------------------------------------------------------

    def start(self) -> None:
        """Begin, or begin again after giving up: somebody has looked."""
        self.intent = Intent.RUN
        self._hopeless, self._setbacks, self._spent, self._jams = "", 0, 0, 0
        self._away_since_s = None
        self.keeper.forget()

    def trajectory_begins(self) -> None:
        """A trajectory's first step comes next."""
        self._jam.reset()

    def progress(self) -> None:
        """A trajectory is finished and safe on disk."""
        self._setbacks = self._jams = 0
        self._since_rest += 1
        cooling = self._campaign.cooling
        if cooling.rest_every and self._since_rest >= cooling.rest_every and cooling.rest_s > 0:
            self._since_rest = 0
            self._rest_for(
                cooling.rest_s, "rest", f"resting after {cooling.rest_every} trajectories"
            )

    def setback(self, reason: str) -> None:
        """A trajectory was lost to something that may happen again; too many in a row end it."""
        self.faults += 1
        self._setbacks += 1
        self._spent += 1
        recovery = self._campaign.recovery
        if self._setbacks >= recovery.in_a_row:
            self._give_up(f"{self._setbacks} faults without a finished trajectory; last: {reason}")
        elif self._spent >= recovery.budget:
            self._give_up(f"{self._spent} faults, the budget of this run; last: {reason}")

    def _give_up(self, reason: str) -> None:
        self._hopeless = self._hopeless or reason

    def _rest_for(self, seconds: float, code: str, text: str) -> None:
        self._rest_ticks = max(1, round(seconds * self._rate_hz))
        self._rest = (code, text)
        self._current.reset()

    # --- a tick -----------------------------------------------------------------------------------

    def tick(
        self,
        seen: Seen,
        target_rad: Vector | None,
        stepping: bool,
        done: bool,
        closing: bool = False,
    ) -> Decision:
        """Decide.

        Args:
            seen: what is known.
            target_rad: target sent in the last tick, (16,); None = nothing was sent.
            stepping: a trajectory is being replayed (not the ramp before it).
            done: nothing is left to do.
            closing: a recording is being closed.
        """
        rules = self._rules(seen, target_rad, stepping, done, closing)
        objection = next(rules, None)
        if objection is not None and stepping and not objection.drop:
            # Who wants the trajectory to end first must not hide who wants it to end now.
            objection = next((other for other in rules if other.drop), objection)
        self._count(objection)
        if objection is None:
            return self._run(seen)
        finishing = stepping and not objection.drop
        ask = "" if finishing else self._ask_off(seen, objection)
        self._rest_ticks = max(0, self._rest_ticks - (not finishing))
        return Decision(
            objection.state,
            objection.code,
            objection.reason,
            drop=objection.drop,
            blame=objection.blame,
            ask=ask,
        )

    def _count(self, objection: _Objection | None) -> None:
        """A fault counts once, when it begins."""
        code, before = objection.code if objection else "", self._code
        self._code = code
        if code not in _WAITS:
            self._away_since_s = None
        if objection is None or code not in _COUNTED or code == before:
            return
        if code in _HAND_TROUBLE and before in _HAND_TROUBLE:
            return  # it has cooled, or is heard again, and is the same trouble still
        self.setback(objection.reason)

    def _run(self, seen: Seen) -> Decision:
        assert seen.hand is not None
        self._off_since_s = None
        kept = self.keeper.keep(True, seen.hand.mode, True, seen.now_s)
        if kept.hopeless:
            self._give_up(kept.hopeless)
        reason = "" if kept.ready else f"switching the hand on ({kept.waiting})"
        return Decision(State.RUNNING, "", reason, run=kept.ready, ask=kept.ask)

    def _ask_off(self, seen: Seen, objection: _Objection) -> str:
        """Torque off while nothing moves; a fault is left by recovery, which is asked for here too."""
        hand = seen.hand
        if hand is None or hand.age_s > _HAND_AGE_S:
            return ""
        if objection.code in _HAND_FAULTS:
            cool = not hand.hottest_c > self._campaign.cooling.resume_c
            kept = self.keeper.keep(True, hand.mode, cool, seen.now_s)
            if kept.hopeless:
                self._give_up(kept.hopeless)
            return kept.ask
        if self._off_since_s is None:
            self._off_since_s = seen.now_s
        if objection.torque and seen.now_s - self._off_since_s < _HOLD_S:
            return ""
        return self.keeper.keep(False, hand.mode, True, seen.now_s).ask

    # --- the rules, the weightiest first ------------------------------------------------------------

    def _rules(
        self, seen: Seen, target_rad: Vector | None, stepping: bool, done: bool, closing: bool
    ) -> Iterator[_Objection]:
        if done:
            yield _Objection(State.DONE, "done", "all trajectories are done")
        if self._hopeless:
            cure = "mend it, then call replay/start"
            yield _Objection(State.FAULT, "gave_up", f"{self._hopeless}; {cure}")
        if self.intent is not Intent.RUN:
            state = State.PAUSED if self.intent is Intent.PAUSE else State.IDLE
            yield _Objection(state, self.intent.name.lower(), self.intent.value)
        if seen.refusal:
            yield _Objection(State.FAULT, "refused", seen.refusal)
        yield from self._schedule_rules(seen.clock, stepping or closing)
        if seen.starting:
            yield self._away(seen, "starting", seen.starting, State.IDLE)
        yield from self._hand_rules(seen)
        yield from self._recorder_rules(seen)
        if seen.hand is not None:
            yield from self._strain_rules(seen.hand, target_rad, stepping)
        if self._rest_ticks:
            yield _Objection(State.COOLING, *self._rest, drop=False)

    def _schedule_rules(self, now: datetime, unfinished: bool) -> Iterator[_Objection]:
        begun = self._begun
        schedule = self._campaign.schedule
        if schedule.in_schedule(now, begun):
            return
        until = schedule.until(now, begun)
        if until is None:
            state = State.RUNNING if unfinished else State.DONE
            yield _Objection(state, "schedule_over", "the time of the schedule is over", False)
        else:
            text = f"outside of the schedule: goes on at {until:%H:%M}"
            yield _Objection(State.IDLE, "schedule", text, False)

    def _hand_rules(self, seen: Seen) -> Iterator[_Objection]:
        hand = seen.hand
        if hand is None or hand.age_s > _HAND_AGE_S:
            yield self._away(seen, "hand_away", "no hand/state: is leap_hand_driver running?")
            return
        if hand.mode is HandMode.FAULT:
            fault = hand.fault or "hand/health will say why"
            if hand.hottest_c > self._campaign.cooling.resume_c:
                yield _Objection(State.COOLING, "hand_hot", fault)
            yield _Objection(State.FAULT, "hand_fault", fault)

    def _recorder_rules(self, seen: Seen) -> Iterator[_Objection]:
        recorder, disk = seen.recorder, self._campaign.disk
        if recorder is None or recorder.age_s > _RECORDER_AGE_S:
            text = "no recorder/status: is episode_recorder running? Nothing moves unrecorded"
            yield self._away(seen, "recorder_away", text, State.PAUSED)
            return
        free_gb = recorder.free_bytes / _GB
        self._disk_low = free_gb < (disk.resume_gb if self._disk_low else disk.pause_gb)
        if self._disk_low:
            text = (
                f"the disk is nearly full (pauses below {disk.pause_gb:g} GB, "
                f"goes on above {disk.resume_gb:g} GB): make room"
            )
            yield _Objection(State.PAUSED, "disk", text, drop=free_gb < 0.5 * disk.pause_gb)
        if not recorder.ready:
            text = f"the recorder is not ready: {recorder.reason}"
            yield _Objection(State.PAUSED, "recorder", text, drop=False, torque=True)
        self._behind = recorder.behind_s > (_CAUGHT_UP_S if self._behind else _BEHIND_S)
        if self._behind:
            text = "the recorder falls behind: is the disk slow, or the machine busy?"
            yield _Objection(State.PAUSED, "recorder_behind", text, drop=False)

    def _away(self, seen: Seen, code: str, text: str, state: State = State.FAULT) -> _Objection:
        if self._away_since_s is None:
            self._away_since_s = seen.now_s
        patience_s = self._campaign.recovery.patience_s
        if seen.now_s - self._away_since_s > patience_s:
            self._give_up(f"{text} (waited {patience_s / 60.0:.0f} min)")
        return _Objection(state, code, text, torque=True)

    def _strain_rules(
        self, hand: HandView, target_rad: Vector | None, stepping: bool
    ) -> Iterator[_Objection]:
        cooling, hottest_c = self._campaign.cooling, hand.hottest_c
        if not math.isnan(hottest_c):  # a driver that was started anew does not know it yet
            self._cooling = hottest_c >= (cooling.resume_c if self._cooling else cooling.pause_c)
        if self._cooling:
            text = (
                f"a motor is hot: resting from {cooling.pause_c:g} down to {cooling.resume_c:g} C"
            )
            drop = hottest_c >= cooling.pause_c + _HOT_MARGIN_C
            yield _Objection(State.COOLING, "hot", text, drop)
        if target_rad is None or not stepping:
            return
        if text := self._current.look(hand.current_a):
            self._rest_for(_CURRENT_REST_S, "current_rest", f"{text}; resting")
            self.setback(text)
            yield _Objection(State.COOLING, "current", text, blame=True)
        if text := self._jam.look(target_rad, hand.position_rad, hand.velocity_rad_s):
            self._rest_for(_LET_GO_S, "let_go", f"{text}; letting go")
            self._jammed(text)
            yield _Objection(State.COOLING, "jam", text, blame=True)

    def _jammed(self, text: str) -> None:
        self.faults += 1
        self._jams += 1
        self._jam.reset()
        if self._jams >= self._campaign.jam.in_a_row:
            self._give_up(
                f"{text}, and so in {self._jams} trajectories in a row: look at the fingers"
            )
