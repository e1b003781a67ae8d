# SPDX-License-Identifier: Apache-2.0
"""The numbers of a campaign's report, from its ledger: plain values, ready for JSON but for NaN."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dexndm_ros import __version__
from dexndm_ros.hand.joints import JOINT_COUNT, JOINT_NAMES, LOWER_RAD, UPPER_RAD
from dexndm_ros.paths import PathError
from dexndm_ros.replay.coverage import Coverage
from dexndm_ros.replay.ledger import Attempt, Ledger
from dexndm_ros.replay.library import LibraryError, open_source
from dexndm_ros.replay.pace import STEP_S, Pace, period_error

__all__ = ["campaign_numbers"]

_NS = 1e9
_MOST_EVENTS = 500
_MOST_COVERED = 2000
"""Trajectories read from the library for the coverage; of more, as many evenly spread ones."""


def campaign_numbers(ledger: Ledger, directory: Path) -> dict[str, Any]:
    """All that the report says.

    Args:
        ledger: open, may be in use.
        directory: the campaign's folder.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    counts, attempts, kept = ledger.counts(), ledger.attempts(), ledger.statistics()
    done = sorted((a for a in attempts if a.state == "done"), key=lambda a: a.ended_ns or 0)
    times_ns = [a.claimed_ns for a in attempts] + [a.ended_ns or a.claimed_ns for a in attempts]
    begin_ns = min(times_ns, default=0)
    return {
        "identity": _identity(ledger, directory),
        "counts": {
            "total": counts.total,
            "done": counts.done,
            "rejected": counts.rejected,
            "to_do": counts.total - counts.done - counts.rejected,
            "attempts": len(attempts),
            "attempts_rejected": sum(a.state == "rejected" for a in attempts),
            "attempts_interrupted": sum(a.state == "interrupted" for a in attempts),
        },
        "time": _time(kept, done, begin_ns, max(times_ns, default=0)),
        "period_error": _period_error(kept),
        "losses": _sums(done, ("messages", "lost", "dropped", "missed_ticks")),
        "trajectories": _trajectories(done, begin_ns),
        "current_a": _currents(done),
        "joints": list(JOINT_NAMES),
        "reasons": dict(Counter(a.reason for a in attempts if a.reason).most_common(30)),
        "rejected": _rejected(ledger, attempts),
        "faults": kept.get("faults", 0),
        "events": _events(ledger, begin_ns),
        "coverage": _coverage(ledger, done),
    }


def _identity(ledger: Ledger, directory: Path) -> dict[str, Any]:
    campaign = ledger.campaign
    return {
        "campaign": campaign.name,
        "orientation": campaign.orientation,
        "selection_orientation": campaign.wrist,
        "hand_load": campaign.hand_load,
        "library": campaign.library,
        "library_sha256": ledger.library_sha256,
        "seed": campaign.seed,
        "noise_probability": campaign.noise.probability,
        "noise_sigma_rad": campaign.noise.sigma_rad,
        "directory": str(directory),
        "software": f"dexndm_ros {__version__}",
    }


def _time(
    kept: Mapping[str, Any], done: Sequence[Attempt], begin_ns: int, end_ns: int
) -> dict[str, Any]:
    pace = kept.get("pace")
    span_s = (end_ns - begin_ns) / _NS
    return {
        "began_ns": begin_ns,
        "ended_ns": end_ns,
        "span_s": span_s,
        "elapsed_s": pace["elapsed_s"] if pace else math.nan,
        "replayed_s": pace["replayed_s"] if pace else math.nan,
        "duty_cycle": Pace(STEP_S, **pace).duty_cycle if pace else math.nan,
        "rate_per_h": 3600.0 * len(done) / span_s if span_s > 0 else math.nan,
    }


def _period_error(kept: Mapping[str, Any]) -> dict[str, Any]:
    """The histogram of all lives of the replay: upper edges of its bins and the ticks in them."""
    histogram = period_error(kept)
    data = histogram.to_dict()
    return {
        "ticks": histogram.count,
        "max_ms": histogram.max_ns / 1e6 if histogram.count else math.nan,
        "edge_ms": [(int(index) + 1) * data["bin_ns"] / 1e6 for index in data["counts"]],
        "count": list(data["counts"].values()),
        "p50_ms": histogram.quantile_ms(0.5),
        "p99_ms": histogram.quantile_ms(0.99),
    }


def _sums(done: Sequence[Attempt], names: Sequence[str]) -> dict[str, int]:
    return {name: sum(getattr(a.result, name) for a in done) for name in names}


def _trajectories(done: Sequence[Attempt], begin_ns: int) -> dict[str, list[Any]]:
    """One list a quantity, in the order in which the trajectories were done."""
    columns: dict[str, list[Any]] = {
        "entry": [a.claim.entry for a in done],
        "trajectory": [a.claim.trajectory for a in done],
        "attempt": [a.claim.attempt for a in done],
        "ended_s": [((a.ended_ns or begin_ns) - begin_ns) / _NS for a in done],
    }
    for name in ("duration_s", "bytes", "messages", "temperature_max_c", "current_spread_a",
                 "tracking_rms_rad", "period_error_ms_p99"):  # fmt: skip
        columns[name] = [getattr(a.result, name) for a in done]
    return columns


def _currents(done: Sequence[Attempt]) -> list[list[float]]:
    """Mean absolute current of each joint in each trajectory; NaN = not known."""
    nothing = (math.nan,) * JOINT_COUNT
    rows = [a.result.current_mean_a if a.result else () for a in done]
    return [list(row if len(row) == JOINT_COUNT else nothing) for row in rows]


def _rejected(ledger: Ledger, attempts: Sequence[Attempt]) -> list[dict[str, Any]]:
    """Rows that were rejected at least once: what became of them, and why each try failed."""
    tries: dict[int, list[Attempt]] = {}
    for attempt in attempts:
        tries.setdefault(attempt.claim.entry, []).append(attempt)
    rows = []
    for entry, row in sorted(tries.items()):
        reasons = [f"attempt {a.claim.attempt}: {a.reason}" for a in row if a.state == "rejected"]
        if not reasons:
            continue
        state = row[-1].state
        if state == "rejected":
            final = len(reasons) >= ledger.campaign.attempts
            state = "rejected for good" if final else "to be tried again"
        rows.append(
            {
                "entry": entry,
                "trajectory": row[0].claim.trajectory,
                "state": state,
                "reasons": reasons,
                "bag": ", ".join(a.bag for a in row if a.bag and a.state == "rejected"),
            }
        )
    return rows


def _events(ledger: Ledger, begin_ns: int) -> list[dict[str, Any]]:
    """The newest of the journal, oldest first; of a campaign nobody began, from its own first line."""
    events = ledger.events(last=_MOST_EVENTS)
    start_ns = begin_ns or (events[0].time_ns if events else 0)
    return [
        {
            "time_ns": event.time_ns,
            "t_s": (event.time_ns - start_ns) / _NS,
            "kind": event.kind,
            "text": event.text,
        }
        for event in events
    ]


def _coverage(ledger: Ledger, done: Sequence[Attempt]) -> dict[str, Any]:
    """How much of each joint's range the clean targets of the done trajectories cover."""
    campaign = ledger.campaign
    ids = [a.claim.trajectory for a in done]
    if not ids:
        return {"missing": "no trajectory is done"}
    if len(ids) > _MOST_COVERED:
        ids = [ids[k] for k in np.linspace(0, len(ids) - 1, _MOST_COVERED).astype(int)]
    try:
        source = open_source(
            campaign.library, seed=campaign.seed, noise=campaign.noise, check=False
        )
        if source.sha256 != ledger.library_sha256:
            return {"missing": f"{campaign.library} holds other trajectories now"}
        found = Coverage(campaign.wrist, (0.0, 0.0, 0.0))
        for number in ids:
            found.add(source.trajectory(int(number)).targets_rad)
    except (LibraryError, PathError, OSError) as error:
        return {"missing": str(error)}
    shares: NDArray[np.float64] = found.histogram / found.histogram.sum(axis=1, keepdims=True)
    return {
        "trajectories": len(ids),
        "low_rad": found.low_rad.tolist(),
        "high_rad": found.high_rad.tolist(),
        "lower_limit_rad": LOWER_RAD.tolist(),
        "upper_limit_rad": UPPER_RAD.tolist(),
        "range_share": found.range_share.tolist(),
        "histogram": shares.tolist(),
    }
