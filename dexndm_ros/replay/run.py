# SPDX-License-Identifier: Apache-2.0
"""From trajectory to trajectory: claim, begin the recording, ramp, replay, end the recording, write it down.

Pure: a tick gives the target to send and *jobs* for those who talk to ledger and recorder; their answers
come back by method calls. The end of one recording and the beginning of the next overlap with the ramp, so
that the hand does not wait for a disk.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.replay.campaign import MotionConfig
from dexndm_ros.replay.jobs import Finished, Job, JobKind, Recorded, RunTick
from dexndm_ros.replay.player import Loaded, Player, ramp_speed
from dexndm_ros.replay.views import Decision, HandMode, HandView
from dexndm_ros.replay.watch import Tally

__all__ = ["ReplayRun"]

Vector = NDArray[np.float64]

_CLAIM_AHEAD = 100
"""Ticks before the end of a trajectory at which the next one is claimed and loaded."""
_BEGIN_AGAIN_S = 1.0
_LET_GO_S = 0.145
"""Ticks further apart than this on the machine's clock let the driver's 150 ms run out: it held meanwhile."""
_TORN_PERIODS = 8.0
"""And further apart than this in the replay's own time, which may run faster, they are no trajectory any more."""
_NOT_FOLLOWED_TICKS = 6
_SKIPPED = 10
"""A trajectory with more commands than this that were never in force is not what was to be replayed."""
_REFUSALS = 5
"""So many refused beginnings of a recording in a row count as a fault."""
_RAMP_S = 15.0
"""A hand that has not come to the first pose by then does not follow."""
_FORGOTTEN_S = 120.0
"""A recording that has not been told of by then is looked up on the disk."""


class _Begin(Enum):
    NOT_ASKED = 0
    ASKED = 1
    OPEN = 2


class ReplayRun:
    """The trajectories of a campaign, one after the other.

    Args:
        motion: speeds between them.
        rate_hz: ticks a second.
        on_finished: told of each trajectory that is safe on disk.
        on_setback: told why one was lost to something outside of it.
    """

    def __init__(
        self,
        motion: MotionConfig,
        rate_hz: float,
        on_finished: Callable[[Finished], None],
        on_setback: Callable[[str], None],
    ) -> None:
        self._motion = motion
        self._period_s = 1.0 / rate_hz
        self._on_finished = on_finished
        self._on_setback = on_setback
        self._next: Loaded | None = None
        self._claiming = False
        self._exhausted = False
        self._returned = 0
        self._returned_before = 0
        self._begin = _Begin.NOT_ASKED
        self._begin_again_ns = 0
        self._refusals = 0
        self._ramping_since_s = 0.0
        self._player: Player | None = None
        self._tally = Tally()
        self._ended: Loaded | None = None
        self._pending: dict[str, tuple[Loaded, Finished, float]] = {}
        self._sent: Vector | None = None
        self._last_ns: int | None = None
        self._last_wall_s = 0.0
        self._started_ns = 0
        self._missed_before = 0
        self._errors_ms: list[float] = []
        self._not_followed = 0
        self._jobs: list[Job] = []
        self.waiting = ""
        """Why no trajectory begins, in words; '' = no reason."""
        self.step_ticks = 0
        """Steps sent, of all trajectories, whatever became of them."""

    # --- state ------------------------------------------------------------------------------------

    @property
    def stepping(self) -> bool:
        """Steps of a trajectory have been sent, and not all."""
        return self._player is not None and self._player.step > 0

    @property
    def sent(self) -> Vector | None:
        """Target of the last tick; None = nothing was sent."""
        return self._sent

    @property
    def closing(self) -> bool:
        """A trajectory has been played to its end, and its recording is being closed."""
        return self._ended is not None or bool(self._pending)

    @property
    def done(self) -> bool:
        """Nothing is left to claim, to play or to wait for."""
        busy = self._player or self._next or self._ended or self._pending or self._claiming
        return self._exhausted and not busy and not self._jobs

    @property
    def tally(self) -> Tally:
        """Where states of the present trajectory are counted."""
        return self._tally

    # --- a tick -----------------------------------------------------------------------------------

    def tick(
        self, decision: Decision, hand: HandView | None, now_ns: int, wall_s: float, missed: int
    ) -> RunTick:
        """Advance.

        Args:
            decision: the supervisor's.
            hand: the hand as last heard of.
            now_ns: begin of the tick, clock of the loop.
            wall_s: the same on the machine's monotonic clock.
            missed: slots skipped by the loop so far.
        """
        late = wall_s - self._last_wall_s > _LET_GO_S or (
            self._last_ns is not None
            and now_ns - self._last_ns > _TORN_PERIODS * self._period_s * 1e9
        )
        self._last_wall_s = wall_s
        if self.stepping and self._last_ns is not None:
            self._errors_ms.append(abs((now_ns - self._last_ns) / 1e6 - self._period_s * 1e3))
        self._last_ns = now_ns
        self._end_recording(now_ns, missed)
        self._look_after()
        if reason := self._stopped(decision):
            self._drop(reason, decision.blame)
            if not decision.code:  # nobody objects, and yet the hand is not there
                self._on_setback(reason)
        elif reason := self._torn(hand, late):
            self._drop(reason, blame=False)
            self._on_setback(reason)
        self._prepare(decision, now_ns)
        target, step = self._advance(decision, hand, now_ns, missed)
        self._sent = target
        loaded = self._player.loaded if self._player else None
        if self._player is not None and self._player.done:
            self._ended, self._player = self._player.loaded, None
        jobs, self._jobs = self._jobs, []
        return RunTick(target, step, loaded, jobs)

    def _look_after(self) -> None:
        for episode, (_, _, ended_s) in list(self._pending.items()):
            if self._last_wall_s - ended_s > _FORGOTTEN_S:
                self._resolve(episode)

    def _stopped(self, decision: Decision) -> str:
        """Why the supervisor's decision ends the present trajectory; '' = it does not."""
        if self._player is None:
            return ""
        if decision.drop:
            return decision.reason
        if not self.stepping and not decision.run:
            # In the ramp there is nothing to lose: a pause takes effect at once.
            return decision.reason or "the hand is not ready"
        return ""

    def _torn(self, hand: HandView | None, late: bool) -> str:
        """Why the present trajectory is none any more; '' = it is."""
        if not self.stepping:
            slow = self._player and self._last_wall_s - self._ramping_since_s > _RAMP_S
            return f"the hand did not come to the first pose in {_RAMP_S:.0f} s" if slow else ""
        if late:
            return "the replay was held up, and the driver held the hand meanwhile: is the machine busy?"
        following = hand is not None and hand.mode is HandMode.ACTIVE
        self._not_followed = 0 if following else self._not_followed + 1
        if self._not_followed > _NOT_FOLLOWED_TICKS:
            return "the driver does not follow the commands: its log says why"
        return ""

    def _drop(self, reason: str, blame: bool) -> None:
        assert self._player is not None
        loaded, self._player, self._not_followed = self._player.loaded, None, 0
        if self._begin is not _Begin.NOT_ASKED:
            self._jobs.append(Job(JobKind.DISCARD, loaded, reason))
        self._begin = _Begin.NOT_ASKED
        self._give_back(Job(JobKind.REJECT if blame else JobKind.RELEASE, loaded, reason))

    def _end_recording(self, now_ns: int, missed: int) -> None:
        """A tick after the last step: the state that its target led to is on its way to the recorder."""
        loaded, self._ended = self._ended, None
        if loaded is None:
            return
        duration_s = (now_ns - self._started_ns) / 1e9
        finished = Finished(
            self._started_ns,
            duration_s,
            missed - self._missed_before,
            float(np.quantile(self._errors_ms, 0.99)) if self._errors_ms else 0.0,
            self._tally.numbers(),
            self._tally.skipped,
        )
        self._pending[loaded.episode] = (loaded, finished, self._last_wall_s)
        self._begin = _Begin.NOT_ASKED
        self._jobs.append(Job(JobKind.END, loaded))

    def _prepare(self, decision: Decision, now_ns: int) -> None:
        """Claim ahead; begin the next recording as soon as nothing else is being recorded."""
        near_end = self._player is None or (
            self._player.loaded.steps - self._player.step <= _CLAIM_AHEAD
        )
        if decision.run and near_end and not (self._next or self._claiming or self._exhausted):
            self._claiming, self._returned_before = True, self._returned
            self._jobs.append(Job(JobKind.CLAIM))
        idle = self._player is None and self._ended is None
        if decision.run and idle and self._next and now_ns >= self._begin_again_ns:
            self._begin = _Begin.ASKED
            self._jobs.append(Job(JobKind.BEGIN, self._next))

    def _advance(
        self, decision: Decision, hand: HandView | None, now_ns: int, missed: int
    ) -> tuple[Vector | None, int | None]:
        if self._player is None and self._begin is _Begin.ASKED and self._next and hand is not None:
            start = hand.position_rad if self._sent is None else self._sent
            speed = ramp_speed(self._motion, fresh=self._sent is None)
            self._player, self._next = Player(self._next, start, speed, self._period_s), None
            self._ramping_since_s = self._last_wall_s
        player = self._player
        if player is None:
            return None, None
        followed = hand is not None and hand.mode is HandMode.ACTIVE
        target, step = player.tick(self._begin is _Begin.OPEN and followed)
        if step == 0:
            self._started_ns, self._missed_before, self._not_followed = now_ns, missed, 0
            self._tally, self._errors_ms = Tally(), []
        self.step_ticks += step is not None
        return target, step

    # --- answers ------------------------------------------------------------------------------------

    def claimed(self, loaded: Loaded | None) -> None:
        """Answer to CLAIM; None = nothing is left."""
        self._claiming = False
        self._next = loaded
        # Nothing was left when it was asked; what has been given back since then is.
        self._exhausted = loaded is None and self._returned == self._returned_before

    def began(self, episode: str, ok: bool, reason: str, now_ns: int) -> None:
        """Answer to BEGIN."""
        player = self._player
        if player is None or player.loaded.episode != episode or self._begin is not _Begin.ASKED:
            return
        if ok:
            self._begin, self.waiting, self._refusals = _Begin.OPEN, "", 0
            return
        # Nothing was recorded under this name: the claim stays, and is tried again.
        self._begin_again_ns = now_ns + round(_BEGIN_AGAIN_S * 1e9)
        self._begin, self._player, self._next = _Begin.NOT_ASKED, None, player.loaded
        self.waiting = f"the recording did not begin: {reason}"
        self._refusals += 1
        if self._refusals % _REFUSALS == 0:
            self._on_setback(self.waiting)

    def recorded(self, recorded: Recorded) -> None:
        """A recording has ended."""
        if self._player is not None and recorded.episode == self._player.loaded.episode:
            # It ended by itself, of a full disk for one: from now on nothing would be recorded.
            self._begin = _Begin.NOT_ASKED
            self._drop(f"the recording ended: {recorded.reason}", blame=False)
            self._on_setback(f"the recording ended: {recorded.reason}")
        if recorded.episode not in self._pending:
            return
        loaded, finished, _ = self._pending.pop(recorded.episode)
        if reason := _flaw(recorded, finished):
            # Not the trajectory's fault: it does not count as a try of it.
            self._give_back(Job(JobKind.RELEASE, loaded, reason, recorded=recorded))
            self._on_setback(reason)
            return
        self._jobs.append(Job(JobKind.FINISH, loaded, finished=finished, recorded=recorded))
        self._on_finished(finished)

    def recorder_restarted(self) -> None:
        """Another recorder answers: what the old one was closing must be looked up on the disk."""
        for episode in list(self._pending):
            self._resolve(episode)
        if self._player is not None:
            self._drop("the recorder was started anew", blame=False)

    def end_refused(self, episode: str) -> None:
        """The recorder knows nothing of an episode that was to end."""
        if episode in self._pending:
            self._resolve(episode)

    def _resolve(self, episode: str) -> None:
        """What became of a recording must be looked up on the disk."""
        loaded, finished, _ = self._pending.pop(episode)
        self._give_back(Job(JobKind.RESOLVE, loaded, finished=finished))

    def _give_back(self, job: Job) -> None:
        """A job after which there may be something to claim again."""
        self._jobs.append(job)
        self._returned += 1
        self._exhausted = False

    def abandon(self, reason: str) -> list[Job]:
        """The process ends: jobs that leave ledger and recorder in order."""
        if self._player is not None:
            self._drop(reason, blame=False)
        if self._next is not None:
            self._jobs.append(Job(JobKind.RELEASE, self._next, reason))
            self._next = None
        jobs, self._jobs = self._jobs, []
        return jobs


def _flaw(recorded: Recorded, finished: Finished) -> str:
    """Why a trajectory that was played to its end is not kept; '' = it is."""
    if not recorded.complete:
        return f"recording: {recorded.reason}"
    if recorded.lost + recorded.dropped:
        return f"recording: {recorded.lost + recorded.dropped} messages were lost"
    if finished.skipped > _SKIPPED:
        return f"{finished.skipped} commands were never in force: the driver did not keep up"
    return ""
