# SPDX-License-Identifier: Apache-2.0
"""Reads the replay's status for the person at the terminal: what is news, and when it is over.

Pure: statuses and times come in, lines and a verdict come out.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from dexndm_ros.dashboard.inputs import ReplayState, StatusSeen
from dexndm_ros.dashboard.words import duration, split_cure, state_line

__all__ = ["CampaignWatch", "Patience", "Verdict"]

_GAVE_UP = "call replay/start"
_CURE = "; mend it, then "
"""In the reason of a FAULT that the replay does not leave by itself."""
_NUMBERS = re.compile(r"\d[\d.]*")


@dataclass(frozen=True)
class Patience:
    """How long is waited.

    Attributes:
        start_s: for the first status; a machine that boots may take a while.
        silent_s: for the next one; a replay that died is back by then, or its budget is spent.
        fault_s: in FAULT without a break; the replay itself gives up earlier.
        quiet_s: while the nodes find each other, each misses the others; nobody needs to read that.
    """

    start_s: float = 180.0
    silent_s: float = 180.0
    fault_s: float = 1800.0
    quiet_s: float = 15.0


@dataclass(frozen=True)
class Verdict:
    """It is over.

    Attributes:
        fault: why it stopped before its time; empty = it did not.
        text: what it says of its end.
    """

    fault: str
    text: str


class CampaignWatch:
    """What has been heard of one campaign.

    Args:
        now_s: monotonic time of the start.
        patience: how long is waited.
    """

    def __init__(self, now_s: float, patience: Patience = Patience()) -> None:
        self._patience = patience
        self._start_s = self._heard_s = now_s
        self._fault_since_s = math.inf
        self._said = ""
        self._warned: set[str] = set()
        self.status: StatusSeen | None = None

    def see(self, status: StatusSeen, now_s: float) -> list[str]:
        """A status came.

        Returns:
            lines worth telling: a state that changed, with its cure; a warning, once.
        """
        self.status = status
        self._heard_s = now_s
        if status.state != ReplayState.FAULT:
            self._fault_since_s = math.inf
        elif math.isinf(self._fault_since_s):
            self._fault_since_s = now_s
        lines = [] if now_s - self._start_s < self._patience.quiet_s else self._news(status)
        for warning in status.warnings:
            if _gist(warning) not in self._warned:
                self._warned.add(_gist(warning))
                lines.append(f"warning: {warning}")
        return lines

    def verdict(self, now_s: float) -> Verdict | None:
        """Whether it is over; None = it goes on."""
        status, patience = self.status, self._patience
        if status is None:
            if now_s - self._start_s < patience.start_s:
                return None
            return _stopped(f"no replay/status within {patience.start_s:.0f} s; see the logs")
        if status.state == ReplayState.DONE:
            return Verdict("", status.reason or "all trajectories are done")
        if status.state == ReplayState.FAULT and _GAVE_UP in status.reason:
            return _stopped(status.reason.partition(_CURE)[0])
        if now_s - self._fault_since_s > patience.fault_s:
            return _stopped(f"no way out in {duration(patience.fault_s)}: {status.reason}")
        if now_s - self._heard_s > patience.silent_s:
            silent = duration(now_s - self._heard_s)
            return _stopped(f"chaos_box_replay has said nothing for {silent}; see its log")
        return None

    def line(self) -> str:
        """Where the campaign stands, in one line."""
        status = self.status
        if status is None:
            return "the nodes start"
        parts = [f"{status.done} of {status.total} done"]
        if status.rejected:
            parts.append(f"{status.rejected} rejected")
        if status.state == ReplayState.RUNNING:
            parts.append(status.reason or f"step {status.step}")
        else:
            said = state_line(status, 0.0, math.inf)
            parts.append(f"{said.title.lower()}: {said.detail}")
        if math.isfinite(status.duty_cycle):
            parts.append(f"duty {100.0 * status.duty_cycle:.1f} %")
        if math.isfinite(status.eta_s):
            parts.append(f"{duration(status.eta_s)} to go")
        return ", ".join(parts)

    def _news(self, status: StatusSeen) -> list[str]:
        said = state_line(status, 0.0, math.inf)
        # A sentence whose numbers move (a temperature, a time) is the same news.
        gist = "" if said.name in ("running", "done") else f"{said.name} {_gist(said.detail)}"
        before, self._said = self._said, gist
        if gist == before:
            return []
        if not gist:
            return ["it goes on"] if said.name == "running" else []
        what, _ = split_cure(status.reason)
        return [
            f"{said.title.lower()}: {what or said.detail}" + (f" -> {said.cure}" * bool(said.cure))
        ]


def _stopped(text: str) -> Verdict:
    return Verdict(text, text)


def _gist(text: str) -> str:
    return _NUMBERS.sub("#", text)
