# SPDX-License-Identifier: Apache-2.0
"""From messages to one snapshot for the page: what the campaign does, and what is wrong with it.

No clock and no ROS: whoever feeds it says what time it is. Its memory does not grow: histories thin
out, texts are cut, lists have a length.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Any

from dexndm_ros.dashboard.alerts import Newest, faults, warnings
from dexndm_ros.dashboard.history import CompletionRate, ThinningSeries
from dexndm_ros.dashboard.inputs import (
    EpisodeSeen,
    HandSeen,
    HealthSeen,
    Input,
    RecorderSeen,
    ReplayState,
    StatusSeen,
    StepSeen,
)
from dexndm_ros.dashboard.trace import TraceKeeper, sixteen
from dexndm_ros.dashboard.words import clip, gist, json_ready, mode_word, state_line
from dexndm_ros.hand.errors import hardware_error_text
from dexndm_ros.hand.health import HealthLimits
from dexndm_ros.hand.joints import JOINT_COUNT, JOINT_NAMES

__all__ = ["ModelConfig", "StatusModel"]

_EVENTS = 40
_CURRENT_SMOOTHING = 0.3
"""Weight of a new sample of the current, a few a second: what is shown is the last second or two."""
_SIZE_SMOOTHING = 0.2
_ACTIONS = {
    "start": ((ReplayState.IDLE, ReplayState.FAULT), "start works while it waits or after a fault"),
    "pause": ((ReplayState.RUNNING, ReplayState.COOLING), "pause works while it runs"),
    "resume": ((ReplayState.PAUSED,), "resume works while it is paused"),
}
"""When a button makes sense; the replay itself decides. Stop is never held back."""


@dataclass(frozen=True)
class ModelConfig:
    """When silence and warmth count.

    Attributes:
        silent_s: a node that tells its state once a second and says nothing for this long is silent.
        warm_c: motor temperature drawn as warm.
        hot_c: motor temperature drawn as hot.
        full_current_a: motor current drawn at the end of the scale.
        steps: steps of a trajectory.
    """

    silent_s: float = 5.0
    warm_c: float = HealthLimits().warm_c
    hot_c: float = HealthLimits().hot_c
    full_current_a: float = 0.5
    steps: int = 400


class StatusModel:
    """The newest of every message, and what a page makes of it. One thread at a time.

    Args:
        start_s: time of the start, of a monotonic clock; all other times are on the same clock.
        config: when silence and warmth count.
    """

    def __init__(self, start_s: float, config: ModelConfig | None = None) -> None:
        self.config = config or ModelConfig()
        self.start_s = start_s
        self.newest = Newest()
        self._current_a = (math.nan,) * JOINT_COUNT
        self._events: deque[tuple[float, str, str]] = deque(maxlen=_EVENTS)
        self._trace = TraceKeeper()
        self._rate = CompletionRate()
        self._episode_bytes = math.nan
        self._said: dict[str, str] = {}
        self._series = {
            "temperature_c": ThinningSeries(peak=True),
            "current_a": ThinningSeries(),
            "rate_per_h": ThinningSeries(),
            "duty_cycle": ThinningSeries(),
        }

    # --- in -----------------------------------------------------------------------------------------

    def feed(self, seen: Input, now_s: float) -> None:
        """Take one message."""
        self.newest.put(seen, now_s)
        if isinstance(seen, StatusSeen):
            self._on_status(seen, now_s)
        elif isinstance(seen, StepSeen):
            self._trace.see(seen)
        elif isinstance(seen, HandSeen):
            self._on_hand(seen, now_s)
        elif isinstance(seen, HealthSeen):
            self._on_health(seen, now_s)
        elif isinstance(seen, RecorderSeen):
            self._on_recorder(seen, now_s)
        elif isinstance(seen, EpisodeSeen):
            self._on_episode(seen, now_s)

    def _on_status(self, status: StatusSeen, now_s: float) -> None:
        t_s = now_s - self.start_s
        self._rate.see(t_s, status.done)
        self._series["rate_per_h"].add(t_s, self._rate.per_hour(t_s))
        self._series["duty_cycle"].add(t_s, status.duty_cycle)
        if status.state != ReplayState.RUNNING:
            self._trace.ended()
        line = state_line(status, 0.0, self.config.silent_s)
        text = line.title if line.name == "running" else f"{line.title}: {line.detail}"
        self._say("replay", text, line.tone, now_s)

    def _on_hand(self, hand: HandSeen, now_s: float) -> None:
        new = sixteen(hand.current_a)
        self._current_a = tuple(
            _smoothed(old, abs(value), _CURRENT_SMOOTHING)
            for old, value in zip(self._current_a, new, strict=True)
        )
        self._series["current_a"].add(now_s - self.start_s, _mean(self._current_a))

    def _on_health(self, health: HealthSeen, now_s: float) -> None:
        self._series["temperature_c"].add(now_s - self.start_s, _largest(health.temperature_c))
        text = f"Hand: {clip(health.fault)}" if health.fault else "Hand: no fault"
        self._say("hand", text, "bad" if health.fault else "good", now_s)

    def _on_recorder(self, recorder: RecorderSeen, now_s: float) -> None:
        trouble = clip(recorder.reason)
        text = f"Recorder: {trouble}" if trouble else "Recorder: all well"
        tone = "good" if not trouble else "warn" if recorder.ready else "bad"
        self._say("recorder", text, tone, now_s)

    def _on_episode(self, episode: EpisodeSeen, now_s: float) -> None:
        if episode.complete:
            size = float(episode.bytes)
            self._episode_bytes = _smoothed(self._episode_bytes, size, _SIZE_SMOOTHING)
            return
        name, reason = clip(episode.episode), clip(episode.reason)
        self._events.append((now_s, "warn", f"{name} is to be redone: {reason or 'not complete'}"))

    def _say(self, who: str, text: str, tone: str, now_s: float) -> None:
        """Note in the list of events what is new; a first "all is well" is no news."""
        same = gist(text)
        before, self._said[who] = self._said.get(who), same
        if same != before and not (before is None and tone == "good" and who != "replay"):
            self._events.append((now_s, tone, text))

    # --- out ----------------------------------------------------------------------------------------

    def snapshot(self, now_s: float) -> dict[str, Any]:
        """All that the page shows, ready for JSON: ``now``, ``history``, ``trajectory``, ``scale``.

        Times ``t`` are seconds since the start, as ``now.t``.
        """
        last = self._trace.last
        parts = {
            "now": self._now(now_s),
            # Without the bucket that is still being filled: a viewer is sent a history when it has changed.
            "history": {name: series.points()[:-1] for name, series in self._series.items()},
            "trajectory": None if last is None else last.view(),
            "scale": {
                "joints": list(JOINT_NAMES),
                "warm_c": self.config.warm_c,
                "hot_c": self.config.hot_c,
                "full_current_a": self.config.full_current_a,
                "steps": self.config.steps,
            },
        }
        ready: dict[str, Any] = json_ready(parts)
        return ready

    def _now(self, now_s: float) -> dict[str, Any]:
        status, silent_s = self.newest.of(StatusSeen, now_s)
        line = state_line(status, silent_s, self.config.silent_s)
        return {
            "t": now_s - self.start_s,
            "state": {
                "name": line.name,
                "tone": line.tone,
                "title": line.title,
                "detail": line.detail,
                "cure": line.cure,
            },
            "actions": self._actions(status),
            "campaign": self._campaign(status, now_s, line.name),
            "hand": self._hand(now_s),
            "recorder": self._recorder(now_s),
            "faults": faults(self.newest, now_s, self.config.silent_s),
            "warnings": warnings(self.newest, now_s),
            "events": [
                {"t": t_s - self.start_s, "tone": tone, "text": text}
                for t_s, tone, text in reversed(self._events)
            ],
        }

    def _actions(self, status: StatusSeen | None) -> dict[str, str]:
        """For each button why it is of no use now; empty = press it."""
        why = {name: "" for name in (*_ACTIONS, "stop")}
        if status is not None:
            for name, (states, text) in _ACTIONS.items():
                why[name] = "" if status.state in states else text
        return why

    def _campaign(
        self, status: StatusSeen | None, now_s: float, name: str
    ) -> dict[str, Any] | None:
        if status is None:
            return None
        rate = self._rate.per_hour(now_s - self.start_s)
        goes_on = name in ("running", "paused", "cooling")
        left = max(status.total - status.done - status.rejected, 0)
        # The replay's own estimate is in its clock's seconds, and simulated time may run faster than people do.
        eta_s = 3600.0 * left / rate if rate > 0.0 else status.eta_s
        return {
            "name": clip(status.campaign),
            "directory": clip(status.directory),
            "done": status.done,
            "rejected": status.rejected,
            "total": status.total,
            "faults": status.faults,
            "rate_per_h": rate,
            "eta_s": max(eta_s, 0.0) if goes_on else math.nan,
            "duty_cycle": status.duty_cycle,
            "running": name == "running",
            "trajectory": status.trajectory,
            "step": status.step,
            "entry": status.entry,
            "attempt": status.attempt,
        }

    def _hand(self, now_s: float) -> dict[str, Any] | None:
        health, health_age_s = self.newest.of(HealthSeen, now_s)
        state, state_age_s = self.newest.of(HandSeen, now_s)
        if health is None and state is None:
            return None
        nothing = (math.nan,) * JOINT_COUNT
        errors = health.hardware_error if health is not None else ()
        silent = [] if health is None else [k for k, ok in enumerate(health.responding) if not ok]
        return {
            "silent_s": min(health_age_s, state_age_s),
            "mode": "unknown" if state is None else mode_word(state.mode),
            "temperature_c": sixteen(health.temperature_c) if health is not None else nothing,
            "voltage_v": sixteen(health.voltage_v) if health is not None else nothing,
            "current_a": self._current_a,
            "not_responding": silent[:JOINT_COUNT],
            "errors": [hardware_error_text(bits) if bits else "" for bits in errors[:JOINT_COUNT]],
            "bus_hz": health.bus_hz if health is not None else math.nan,
            "lost_reads": health.lost_reads if health is not None else 0,
        }

    def _recorder(self, now_s: float) -> dict[str, Any] | None:
        recorder, silent_s = self.newest.of(RecorderSeen, now_s)
        if recorder is None:
            return None
        bytes_per_h = self._episode_bytes * self._rate.per_hour(now_s - self.start_s)
        hours = recorder.free_bytes / bytes_per_h if bytes_per_h > 0.0 else math.nan
        return {
            "silent_s": silent_s,
            "ready": recorder.ready,
            "reason": clip(recorder.reason),
            "episode": clip(recorder.episode),
            "messages": recorder.messages,
            "lost": recorder.lost,
            "dropped": recorder.dropped,
            "queue": recorder.queue,
            "behind_s": recorder.behind_s,
            "free_bytes": recorder.free_bytes,
            "free_hours": hours,
            "episode_bytes": self._episode_bytes,
        }


def _smoothed(old: float, new: float, weight: float) -> float:
    if not math.isfinite(new):
        return old
    return new if not math.isfinite(old) else old + weight * (new - old)


def _mean(values: tuple[float, ...]) -> float:
    known = [value for value in values if math.isfinite(value)]
    return sum(known) / len(known) if known else math.nan


def _largest(values: tuple[float, ...]) -> float:
    return max((value for value in values if math.isfinite(value)), default=math.nan)
