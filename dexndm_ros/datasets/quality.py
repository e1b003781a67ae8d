# SPDX-License-Identifier: Apache-2.0
"""The checks that every bag and every episode goes through, and what is done about what they find.

The list is that of ``CHECKS``; nothing is repaired, left out or flagged without a finding that says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dexndm_ros.datasets.episode import Action, Finding, Verdict

__all__ = ["ALL_CHECKS", "CHECKS", "DEMONSTRATION_CHECKS", "CheckInfo", "finding", "verdict"]


@dataclass(frozen=True)
class CheckInfo:
    """A check.

    Attributes:
        title: in a table.
        meaning: what it looks for.
        rule: what is done.
    """

    title: str
    meaning: str
    rule: str


CHECKS: Mapping[str, CheckInfo] = {
    "damage": CheckInfo(
        "damage",
        "parts of a file that cannot be read: torn, flipped bits, no index",
        "what is whole is kept; rows beside the hole are marked",
    ),
    "unfinished": CheckInfo(
        "unfinished", "a recording without its last words", "what is whole is kept, flagged"
    ),
    "lost": CheckInfo(
        "lost messages",
        "numbers of a publisher that are missing in the bag, or that the recorder counted as lost",
        "flagged; rows without a state or command, or beside a gap, are not valid, those with an older one marked",
    ),
    "loss_unknown": CheckInfo(
        "loss unknown",
        "a recorder that kept no publication numbers: nobody can tell whether messages are missing",
        "noted",
    ),
    "bad_messages": CheckInfo(
        "bad messages", "bytes that are no message of their type", "left out, flagged"
    ),
    "missed_reads": CheckInfo(
        "missed reads",
        "bus cycles without a complete read of all motors",
        "noted; more than 5 %, or where a lost state looks the same: flagged",
    ),
    "duplicates": CheckInfo(
        "duplicates", "the same state or step twice", "repaired: the first one is kept"
    ),
    "order": CheckInfo(
        "out of order",
        "states whose stamps do not rise",
        "repaired by the driver's numbers, else flagged",
    ),
    "clock_jump": CheckInfo(
        "clock jumps",
        "steps of the system time against the monotonic clock",
        "flagged; state and action are matched by numbers whatever the clock does; a foreign bag is cut there",
    ),
    "late_ticks": CheckInfo("late ticks", "control periods of more than 1.5 nominal ones", "noted"),
    "missing_ticks": CheckInfo(
        "missing ticks", "steps of a trajectory that are not in the bag", "gap in the rows; flagged"
    ),
    "gap": CheckInfo(
        "gaps", "states or ticks are missing between two rows", "the row before it is not valid"
    ),
    "no_state": CheckInfo("no state", "no state belongs to the tick", "row not valid"),
    "stale_state": CheckInfo("stale state", "the tick's state is too old", "row not valid"),
    "older_state": CheckInfo(
        "older state",
        "reads are missing just before the tick's command came into force: the state is older than usual, and a newer "
        "one may have been lost",
        "row marked, noted",
    ),
    "other_state": CheckInfo(
        "other state",
        "the state that the policy saw is not in the bag: the last one before its command stands there",
        "row marked, flagged",
    ),
    "by_time": CheckInfo(
        "matched by time",
        "state and action were matched by time stamps, not by numbers",
        "row marked, noted",
    ),
    "not_running": CheckInfo(
        "not following",
        "the hand was relaxed, holding, in fault or on its ramp",
        "row not valid, flagged",
    ),
    "no_command": CheckInfo(
        "no command",
        "the tick's command is not in the bag",
        "row not valid; where the bag has no commands at all: noted, targets are then those of the steps",
    ),
    "passed_over": CheckInfo(
        "passed over",
        "commands that were never in force: the next one came before a motor was told",
        "row not valid; many of them: episode dropped",
    ),
    "limited": CheckInfo(
        "limited", "commands that the guard changed before they came into force", "noted"
    ),
    "not_finite": CheckInfo("not finite", "NaN or infinity in state or action", "row not valid"),
    "impossible": CheckInfo(
        "impossible motion",
        "faster than a joint can turn, or far outside its limits",
        "row not valid; many of them: episode dropped",
    ),
    "joint_order": CheckInfo(
        "joint order",
        "joints that follow another joint's target, or angles that joint_states gives to another joint",
        "episode dropped",
    ),
    "stuck": CheckInfo(
        "stuck joint", "bit-identical angles while the target moves", "rows marked, flagged"
    ),
    "saturated": CheckInfo("saturated current", "a current at its limit", "rows marked, flagged"),
    "lag": CheckInfo(
        "late answer",
        "joints answer later than they should: one or two ticks are normal",
        "flagged",
    ),
    "short": CheckInfo(
        "short episode", "fewer steps than a trajectory has", "flagged; very short: dropped"
    ),
    "invalid_rows": CheckInfo(
        "rows not valid", "too many rows that cannot be used", "episode dropped"
    ),
    "fidelity": CheckInfo(
        "targets",
        "targets that are not clean + noise, noise that is not that of the seed, commands that are not the step's "
        "target, clean targets that are not the library's",
        "episode dropped",
    ),
    "fell": CheckInfo(
        "object lost",
        "a simulated rollout whose object left the hand before the time was up",
        "cut there, flagged; dropped where only survivors are asked for",
    ),
    "repeated": CheckInfo(
        "repeated episode",
        "the same recording twice",
        "the longer one is taken, else the first one",
    ),
    "longer": CheckInfo(
        "longer recording",
        "more of an episode that the dataset has already, such as the whole of what was torn",
        "left out; convert the bags into a new dataset to have it",
    ),
}
"""Every check by its name, in the order of the report."""

DEMONSTRATION_CHECKS: Mapping[str, CheckInfo] = {
    "late_start": CheckInfo(
        "begins later",
        "ticks before the hand followed and the arm was first told where to be",
        "left out, noted",
    ),
    "not_told": CheckInfo(
        "not told", "topics of the arm or the operator without any message", "columns NaN, flagged"
    ),
    "arm_gap": CheckInfo(
        "arm not known",
        "no pose of the arm at a tick, or one older than 0.1 s",
        "row not valid, flagged",
    ),
    "operator_gap": CheckInfo(
        "operator not seen",
        "a right controller that was not tracked, or not told of for 0.25 s",
        "noted; its columns are NaN, or as old as their age says",
    ),
    "hand_only": CheckInfo(
        "hand only",
        "a demonstration that is converted without --demonstrations",
        "noted; operator and arm are left out",
    ),
}
"""Those of demonstrations; a report lists them where they found something."""

ALL_CHECKS: Mapping[str, CheckInfo] = {**CHECKS, **DEMONSTRATION_CHECKS}


def finding(check: str, count: int, action: Action, text: str) -> Finding:
    """A finding of a check that is listed."""
    assert check in ALL_CHECKS, check
    return Finding(check, int(count), action, text)


def verdict(findings: Iterable[Finding]) -> Verdict:
    """The worst of them decides; what is noted or repaired leaves an episode as good as any."""
    actions = {each.action for each in findings}
    return "drop" if "dropped" in actions else "flag" if "flagged" in actions else "keep"
