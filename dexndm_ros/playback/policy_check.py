# SPDX-License-Identifier: Apache-2.0
"""Runs a policy file again on the states that were recorded, and compares tick by tick, bit by bit.

Each tick starts from what was recorded before it: its history is the recorded one, also after a tick that differs.
So every tick is judged for itself, and the first that differs is where the run went another way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.hand.guard import Mode
from dexndm_ros.hand.joints import JOINT_COUNT, JOINT_NAMES, LOWER_RAD, UPPER_RAD
from dexndm_ros.paths import PathError, policy_path, share_dir
from dexndm_ros.playback.check_types import CheckError, CheckResult, Tracer, compare
from dexndm_ros.playback.recorded import Recorded
from dexndm_ros.policy.controller import OnnxPolicy, PolicyStepError, load_policy
from dexndm_ros.policy.observation import HISTORY_LENGTH
from dexndm_ros.policy.onnx_file import fingerprint, open_model
from dexndm_ros.policy.spec import Seat, refusal

__all__ = ["check_policy", "find_policy"]

Vector = NDArray[np.float64]

NOT_RUN = "the policy did not run (start sequence, stop or hold)"
NO_STATE = "the state it saw is not in the bag"
NO_HISTORY = "fewer than ten ticks of its run are in the bag before it"

_ROUNDING_RAD = 1e-6
_NAN = np.full(JOINT_COUNT, np.nan)


def find_policy(
    recorded: Recorded, policy: str | Path | None = None, residual: str | Path | None = None
) -> tuple[Path, Path | None, tuple[str, ...]]:
    """The files to run: those that were given, else those that the bag names.

    Args:
        recorded: what the bag says of its policy.
        policy: a path, or the name of a shipped policy; None = the bag's.
        residual: a path; None = the bag's, if the policy is the bag's too.

    Returns:
        Policy file, residual file or None, and what a reader should know about them.

    Raises:
        CheckError: no ticks to check; no file, or not the one that was recorded; the message says what to give.
    """
    _refuse_without_ticks(recorded)
    told = recorded.policy
    if policy is None and not told.get("policy"):
        raise CheckError(
            f"{recorded.name} does not say which policy ran (no /diagnostics of rotation_policy in it): give --policy"
        )
    try:
        if policy is not None:
            base = policy_path(policy)
            correction = policy_path(residual) if residual else None
        else:
            base = _recorded_file(told, "policy")
            named = residual or told.get("residual")
            correction = None
            if named:
                correction = policy_path(residual) if residual else _recorded_file(told, "residual")
    except PathError as error:
        raise CheckError(str(error)) from error
    notes = []
    for what, file in (("policy", base), ("residual", correction)):
        was, now = told.get(f"{what} sha256", ""), fingerprint(file)
        if told and was != now:
            notes.append(
                f"another {what} file than the recorded one: {_short(now)} here, "
                f"{_short(was)} ({told.get(what) or 'none'}) in the bag"
            )
    return base, correction, tuple(notes)


def _refuse_without_ticks(recorded: Recorded) -> None:
    if not recorded.policy_steps:
        raise CheckError(
            f"{recorded.name} holds no policy/step: no policy ran, or it was not recorded"
        )
    if not recorded.states:
        raise CheckError(f"{recorded.name} holds no hand/state, and so not what the policy saw")


def _short(sha256: str) -> str:
    return f"sha256 {sha256[:12]}" if sha256 else "no file"


def _recorded_file(told: Any, what: str) -> Path:
    """The file that the bag names, by its path or, where another lies there, by its fingerprint."""
    path, wanted = Path(told[what]), told.get(f"{what} sha256", "")
    shipped = (share_dir() / "policies").rglob("*.onnx")
    for file in (path, *sorted(shipped)):
        if wanted and fingerprint(file) == wanted:
            return file
    there = "there lies another file now" if path.is_file() else "there is no such file here"
    raise CheckError(
        f"the bag was recorded with {what} {path} (sha256 {wanted[:12] or 'unknown'}): {there}; "
        f"give it with --{what}"
    )


def check_policy(
    recorded: Recorded,
    policy: Path,
    residual: Path | None = None,
    notes: tuple[str, ...] = (),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> CheckResult:
    """Run the policy again on the recorded states.

    Args:
        recorded: states and steps.
        policy: file of kind ``base``.
        residual: file of kind ``residual``, or None.
        notes: to be handed on.
        progress: called with ticks done and ticks in all.

    Raises:
        PolicySpecError: a file that is no policy for this hand.
        CheckError: the bag holds no policy steps, or no states.
    """
    _refuse_without_ticks(recorded)
    rate_hz = open_model(policy).spec.rate_hz
    seat = Seat(JOINT_NAMES, LOWER_RAD.tolist(), UPPER_RAD.tolist(), rate_hz)
    again = load_policy(policy, seat, residual)
    told = [refusal(again.refused)] if again.refused else []
    run = _Run(recorded, again, residual is not None and not again.refused)
    total = len(recorded.policy_steps["seq"])
    for row in range(total):
        run.tick(row)
        if row % 100 == 0:
            progress(row, total)
    progress(total, total)
    facts = {
        "policy": str(policy),
        "policy sha256": fingerprint(policy),
        "residual": str(residual or ""),
        "residual sha256": fingerprint(residual),
    }
    result = run.tracer.result(facts, (*notes, *told, *run.notes))
    worst = float(np.max(result.max_difference_rad, initial=0.0))
    if result.diverged and worst < _ROUNDING_RAD and not notes:
        more = (
            f"all differences are below {_ROUNDING_RAD:g} rad: the size of rounding; another processor or another "
            "onnxruntime than the recording's gives such"
        )
        result = run.tracer.result(facts, (*notes, *told, *run.notes, more))
    return result


class _Run:
    """One bag's ticks, in order; keeps what the policy must have had in its memory.

    Args:
        recorded: states and steps.
        policy: what runs again.
        has_residual: a residual is added to its targets.
    """

    def __init__(self, recorded: Recorded, policy: OnnxPolicy, has_residual: bool) -> None:
        self._steps = recorded.policy_steps
        self._policy = policy
        self._has_residual = has_residual
        self._default = np.array(policy.spec.default_pose_rad, dtype=np.float64)
        self._states = _StateIndex(recorded)
        self.tracer = Tracer("policy", "ticks", recorded.begin_ns)
        self._odd_modes = 0
        self._unsent = _Commands(recorded)
        self._pairs: deque[tuple[Vector, Vector] | None] = deque(maxlen=HISTORY_LENGTH)
        self._forget()

    def _forget(self) -> None:
        """Nothing is known of the run so far."""
        self._pairs.clear()
        self._base: Vector | None = None  # base action of the tick before; None = not known
        self._reset_base: Vector | None = None  # what a run that begins now integrates from
        self._ran = False
        self._synced = False  # the policy's own memory is that of the recording
        self._seq: int | None = None

    @property
    def notes(self) -> list[str]:
        found = []
        if self._odd_modes:
            found.append(
                f"in {self._odd_modes} ticks the policy ran although the state it saw was not ACTIVE"
            )
        return found + self._unsent.notes()

    def tick(self, row: int) -> None:
        """One recorded tick."""
        steps = self._steps
        seq, log_ns = int(steps["seq"][row]), int(steps["log_ns"][row])
        if self._seq is not None and seq != self._seq + 1:
            self._forget()  # ticks are missing, or the node was started again
        self._seq = seq
        self._unsent.look(row, steps)
        target, base = steps["target"][row], steps["base_action"][row]
        if not np.any(steps["axis"][row]):
            self._rest(bool(steps["stopped"][row]), target)
            self.tracer.unknown(seq, log_ns, target, NOT_RUN, idle=True)
            return
        found = self._states.find(int(steps["observation_seq"][row]), log_ns)
        if found is None:
            self._pairs.append(None)
            self._synced = False
            self._after(base)
            self.tracer.unknown(seq, log_ns, target, NO_STATE)
            return
        q, mode = found
        self._odd_modes += mode != Mode.ACTIVE
        self._judge(row, seq, log_ns, q)
        self._after(base)

    def _rest(self, stopped: bool, target: Vector) -> None:
        """A tick in which the policy did not run: the next run begins with a history of its own."""
        if not stopped:
            self._reset_base = self._default  # the start sequence ends in it
        elif self._ran:
            self._reset_base = self._base
        elif self._reset_base is None and not self._has_residual and np.isfinite(target).all():
            self._reset_base = (
                target.copy()
            )  # held since before the bag began: it is the last base action
        self._ran, self._synced = False, False
        self._pairs.clear()

    def _after(self, base: Vector) -> None:
        self._base, self._ran = base.copy(), True

    def _judge(self, row: int, seq: int, log_ns: int, q: Vector) -> None:
        steps = self._steps
        recorded = {
            "base_action": steps["base_action"][row],
            "residual_action": steps["residual_action"][row],
            "target": steps["target"][row],
        }
        target = recorded["target"]
        begins = not self._ran and not self._pairs and self._reset_base is not None
        before = self._reset_base if begins else self._base
        if begins:
            assert before is not None
            self._policy.reset(q, before)
            self._pairs.extend([(q, before)] * HISTORY_LENGTH)
            self._synced = True
        self._pairs.append(None if before is None else (q, before))
        # The oldest pair is pushed out by this tick's own, which stands at the end already.
        known = len(self._pairs) == HISTORY_LENGTH and None not in self._pairs
        if not known or before is None:
            self._synced = False
            # A bag that begins in mid-run lacks nothing: what came before is in another one.
            begins_here = row < HISTORY_LENGTH
            self.tracer.unknown(seq, log_ns, target, NO_HISTORY, idle=begins_here)
            return
        if not self._synced:
            self._resume(before)
        try:
            action = self._policy.step(q, steps["wrist"][row], steps["axis"][row])
        except PolicyStepError as error:
            self._synced = False
            found = ("target", -1, "a target", str(error))
            self.tracer.diverged(seq, log_ns, target, _NAN, found, self._context(row))
            return
        computed = {
            "base_action": action.base,
            "residual_action": action.residual,
            "target": action.target,
        }
        difference = compare(recorded, computed)
        if difference is None:
            self._synced = True
            self.tracer.equal(seq, log_ns, target, action.target)
        else:
            self._synced = False
            self.tracer.diverged(seq, log_ns, target, action.target, difference, self._context(row))

    def _resume(self, before: Vector) -> None:
        """Give the policy the recorded history: what stands there before this tick's own pair."""
        pairs = [pair for pair in self._pairs if pair is not None][:-1]
        pairs.insert(0, pairs[0])  # the slot that this tick's pair pushes out
        q, targets = zip(*pairs, strict=True)
        self._policy.resume(np.array(q), np.array(targets), before)

    def _context(self, row: int) -> str:
        return f"(on HandState {int(self._steps['observation_seq'][row])})"


class _StateIndex:
    """Finds the state that a tick saw; of several with its number the one nearest in time."""

    def __init__(self, recorded: Recorded) -> None:
        self._states = recorded.states
        seqs = self._states["seq"].astype(np.int64)
        self._order = np.argsort(seqs, kind="stable")
        self._sorted = seqs[self._order]

    def find(self, seq: int, log_ns: int) -> tuple[Vector, int] | None:
        """Angles and mode of a state; None = it is not in the bag."""
        low, high = np.searchsorted(self._sorted, [seq, seq + 1])
        if low == high:
            return None
        rows = self._order[low:high]
        row = int(rows[np.argmin(np.abs(self._states["log_ns"][rows] - log_ns))])
        return np.asarray(self._states["position"][row]), int(self._states["mode"][row])


class _Commands:
    """Whether what a tick decided is what was sent."""

    def __init__(self, recorded: Recorded) -> None:
        self._positions: dict[int, list[Any]] = {}
        commands = recorded.commands
        self._known = bool(commands)
        if commands:
            for seq, position in zip(commands["seq"], commands["position"], strict=True):
                self._positions.setdefault(int(seq), []).append(position)
        self._missing = self._other = 0

    def look(self, row: int, steps: Any) -> None:
        """Look for the command of a tick."""
        target = np.asarray(steps["target"][row], dtype=np.float64)
        if not self._known or not np.isfinite(target).all():
            return
        sent = self._positions.get(int(steps["seq"][row]), [])
        self._missing += not sent
        wanted = target.tobytes()
        self._other += bool(sent) and all(
            np.asarray(each, dtype=np.float64).tobytes() != wanted for each in sent
        )

    def notes(self) -> list[str]:
        """What a reader should know."""
        found = []
        if self._missing:
            found.append(f"the commands of {self._missing} ticks are not in the bag")
        if self._other:
            found.append(
                f"{self._other} commands say something else than the policy/step of their tick"
            )
        return found
