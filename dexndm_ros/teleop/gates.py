# SPDX-License-Identifier: Apache-2.0
"""Whether the right controller's pose can be believed at this moment.

A rate limiter would turn a false pose into a slow move to a false place; so a pose that cannot be believed moves
nothing at all. Pure: the caller brings the samples and the time.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

from dexndm_ros.teleop.delay import Delay
from dexndm_ros.teleop.frames import angle_rad, distance_m, is_pose, pose_of
from dexndm_ros.teleop.head_guard import HeadGuard, HeadGuardConfig, is_seen
from dexndm_ros.teleop.pose import Pose
from dexndm_ros.teleop.sample import Hand, Sample

__all__ = ["STREAM_FAULTS", "Fault", "GateConfig", "Gates", "Verdict"]


class Fault(StrEnum):
    """Why a pose is not believed; the value is what the operator reads."""

    NO_SAMPLE = "no headset is connected"
    STALE = "the headset's data is too old: check the cable or the network"
    FROZEN = "the bridge itself stood still: close what keeps this computer busy"
    RESTARTED = "the headset's stream began anew"
    HIDDEN = "the page is not in view: close the headset's menu"
    RECENTRED = "the headset's view was recentred"
    MISSING = "the right controller is not there: take it in the hand and press a button"
    UNTRACKED = "the headset does not see the right controller: hold it in view"
    EMULATED = "the right controller's place is only guessed: hold it in view of the headset"
    BROKEN = "the right controller's pose is not a pose"
    JUMPED = "the right controller's pose jumped"
    LEFT_UNSEEN = "the headset does not see the left controller, by which its own motion is told: keep it in view"
    HEAD_MOVED = "the headset itself moved: park it, and move the hands only"


STREAM_FAULTS = frozenset(
    {
        Fault.NO_SAMPLE,
        Fault.STALE,
        Fault.FROZEN,
        Fault.RESTARTED,
        Fault.HIDDEN,
        Fault.RECENTRED,
    }
)
"""Those under which nothing of a sample is worth anything, the left hand's part neither."""


@dataclass(frozen=True)
class GateConfig:
    """What is believed.

    Attributes:
        stale_s: oldest sample that is followed; nobody asking for longer than this is a fault too.
        grace_s: so long may a pose be missing or guessed; the arm waits meanwhile.
        refuse_emulated: a guessed position is not followed. An emulated headset guesses always, hence the choice.
        jump_m: farthest that the controller may come in one frame.
        jump_rad: farthest that it may turn in one frame.
        speed_m_s: fastest that it may move.
        frame_s: speed is never counted over less time than this; capture times may be rough.
        head_relative: sources whose poses are relative to the headset, which must not move then; it takes both hands
            to tell whether it does.
        head: how a moving headset is told.
    """

    stale_s: float = 0.15
    grace_s: float = 0.05
    refuse_emulated: bool = True
    jump_m: float = 0.06
    jump_rad: float = math.radians(25.0)
    speed_m_s: float = 3.0
    frame_s: float = 1.0 / 120.0
    head_relative: tuple[str, ...] = ("oculus_reader",)
    head: HeadGuardConfig = field(default_factory=HeadGuardConfig)

    def __post_init__(self) -> None:
        """Refuse a gate that would never close."""
        for name in ("stale_s", "jump_m", "jump_rad", "speed_m_s", "frame_s"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"gate {name} must be finite and > 0, got {getattr(self, name)}")
        if not 0 <= self.grace_s <= self.stale_s:
            raise ValueError(f"gate grace_s must be 0..stale_s, got {self.grace_s}")


@dataclass(frozen=True)
class Verdict:
    """What the gates say.

    Attributes:
        fault: why nothing may follow from now on; None = all is well, or is given a moment's grace.
        fresh: the sample was not seen before.
        follow: it is fresh, and its pose is to be believed.
    """

    fault: Fault | None = None
    fresh: bool = False
    follow: bool = False


class Gates:
    """Looks at each sample once, and at its age whenever asked.

    Attributes:
        counts: how often each fault began.
    """

    def __init__(self, config: GateConfig | None = None) -> None:
        self.config = config or GateConfig()
        self.counts: Counter[Fault] = Counter()
        self._delay = Delay()
        self._head = HeadGuard(self.config.head)
        self._sample: Sample | None = None
        self._late_s = 0.0
        self._fault: Fault | None = None
        self._asked_s: float | None = None
        self._good: tuple[float, Pose] | None = None  # capture time, pose
        self._bad: tuple[float, Fault] | None = None  # since when, why: the grace runs

    def age_s(self, now_s: float) -> float:
        """Age of the newest sample seen, from its capture on; infinite before the first.

        Of a source whose clock was never compared with ours, a delay that every sample has is not in it.
        """
        if self._sample is None:
            return math.inf
        return now_s - self._sample.arrived_s + self._late_s

    def check(self, sample: Sample | None, now_s: float) -> Verdict:
        """What to make of a source's newest sample at ``now_s``, our monotonic clock."""
        fresh = sample is not None and not self._is_known(sample)
        if sample is None:
            fault: Fault | None = Fault.NO_SAMPLE
        else:
            fault = self._look(sample) if fresh else self._fault
        if sample is not None and self.age_s(now_s) > self.config.stale_s:
            fault = Fault.STALE
        # What came meanwhile may be fresh again, but nobody watched what the hand did.
        last_s, self._asked_s = self._asked_s, now_s
        frozen = last_s is not None and now_s - last_s > self.config.stale_s
        if frozen and fault not in STREAM_FAULTS:
            fault = Fault.FROZEN
        if fault is None and self._bad is not None and now_s - self._bad[0] > self.config.grace_s:
            fault = self._bad[1]
        if fault is not None:
            self._good = None
            if fault is not self._fault:
                self.counts[fault] += 1
        self._fault = fault
        return Verdict(fault, fresh, fresh and fault is None and self._bad is None)

    def _is_known(self, sample: Sample) -> bool:
        last = self._sample
        return last is not None and (last.seq, last.arrived_s, last.source) == (
            sample.seq,
            sample.arrived_s,
            sample.source,
        )

    def _look(self, sample: Sample) -> Fault | None:
        """Whether a new sample's right hand is to be believed; starts and ends the grace."""
        last, self._sample = self._sample, sample
        restarted = last is not None and (
            sample.source != last.source
            or sample.seq <= last.seq
            or sample.captured_s < last.captured_s
        )
        if restarted:
            self._delay.reset()
            self._head.reset()
        # A queue shows at once against the quickest, what every sample has only where the clocks were compared.
        least_s = self._delay.update(sample.captured_s, sample.arrived_s)
        self._late_s = max(least_s, sample.delay_s or 0.0)
        bad, self._bad = self._bad, None
        if restarted:
            return Fault.RESTARTED
        fault = _instant(sample)
        if fault is not None or sample.right is None:
            return fault
        doubt = self._doubt(sample, sample.right)
        if doubt is not None:
            self._bad = (bad[0] if bad else sample.arrived_s, doubt)
            return None
        return self._moved(sample, sample.right)

    def _doubt(self, sample: Sample, hand: Hand) -> Fault | None:
        """What is borne with for a moment."""
        if not hand.tracked:
            return Fault.UNTRACKED
        if hand.emulated and self.config.refuse_emulated:
            return Fault.EMULATED
        if sample.source in self.config.head_relative and not is_seen(sample.left):
            return Fault.LEFT_UNSEEN
        return None

    def _moved(self, sample: Sample, hand: Hand) -> Fault | None:
        """Whether it can have come here from where it was last believed."""
        pose, config, good = pose_of(hand), self.config, self._good
        self._good = (sample.captured_s, pose)
        if sample.source in config.head_relative and self._head.moved(sample):
            return Fault.HEAD_MOVED
        if good is None:
            return None
        passed_s = max(sample.captured_s - good[0], config.frame_s)
        way_m = distance_m(pose, good[1])
        too_far = way_m > config.jump_m or way_m / passed_s > config.speed_m_s
        return Fault.JUMPED if too_far or angle_rad(pose, good[1]) > config.jump_rad else None


def _instant(sample: Sample) -> Fault | None:
    """What is not borne with at all."""
    if not sample.visible:
        return Fault.HIDDEN
    if sample.recentred:
        return Fault.RECENTRED
    if sample.right is None:
        return Fault.MISSING
    hand = sample.right
    if not math.isfinite(hand.squeeze) or (hand.tracked and not is_pose(hand)):
        return Fault.BROKEN
    return None
