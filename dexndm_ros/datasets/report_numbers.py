# SPDX-License-Identifier: Apache-2.0
"""The numbers of a dataset's quality report: plain values, ready for JSON but for NaN."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.datasets.episode import Action
from dexndm_ros.datasets.features import FLAG_TEXTS, RowFlag
from dexndm_ros.datasets.quality import ALL_CHECKS, CHECKS, CheckInfo
from dexndm_ros.datasets.report_histories import compare
from dexndm_ros.datasets.report_source import DatasetView, EpisodeRow
from dexndm_ros.datasets.report_tally import (
    BINS,
    ERROR_BIN_RAD,
    ERROR_BINS,
    LAGS,
    OFFSET_RAD,
    PERIOD_BIN_NS,
    Tally,
)
from dexndm_ros.hand.joints import JOINT_COUNT, JOINT_NAMES, LOWER_RAD, UPPER_RAD

__all__ = ["report_numbers"]

_COLUMNS = 400
"""Most stretches of time in a picture."""
_HOUR_NS = 3600 * 10**9
NIGHT_GAP_NS = 3 * _HOUR_NS
"""A pause as long as this begins another night."""


def report_numbers(view: DatasetView, tally: Tally) -> dict[str, Any]:
    """All that the report says.

    Args:
        view: what the dataset says of itself.
        tally: its rows, counted.
    """
    episodes = view.episodes
    nights, hours = _nights([each.started_ns for each in episodes])
    of_each = _episodes(episodes, tally)
    of_each["hour"] = hours
    return {
        "totals": _totals(view, tally),
        "checks": _checks(view),
        "row_flags": [
            {
                "flag": flag.name,
                "text": FLAG_TEXTS[flag],
                "invalid": bool(flag & RowFlag.INVALID),
                "rows": tally.flags[flag.name or ""],
            }
            for flag in RowFlag
        ],
        "groups": _groups(episodes),
        "nights": nights,
        "joints": _joints(tally),
        "coverage": _coverage(tally),
        "histories": compare(tally.collected, tally.task),
        "lag": _lag(tally),
        "period": _period(view, tally),
        "state_age_ms": {"median": tally.age_ms(0.5), "p1": tally.age_ms(0.01), "p99": tally.age_ms(0.99)},
        "noise": _added(tally.noise, tally.noisy_rows, tally.valid),
        "residual_rms_rad": math.sqrt(tally.residual[1] / (tally.valid * JOINT_COUNT)) if tally.valid else math.nan,
        "loss": _loss(view),
        "episodes": of_each,
        "over_time": _over_time(tally, np.array(hours)),
        "rejected": view.rejected,
        "unreadable": view.unreadable,
        "left_out": view.left_out,
        "bags": _bags(view),
    }  # fmt: skip


def _totals(view: DatasetView, tally: Tally) -> dict[str, Any]:
    verdicts = Counter(each.verdict for each in view.episodes)
    return {
        "bags": len(view.bags),
        "bytes": sum(int(bag.get("bytes", 0)) for bag in view.bags),
        "messages": sum(sum(bag.get("messages", {}).values()) for bag in view.bags),
        "episodes": len(view.episodes),
        "kept": verdicts["keep"],
        "flagged": verdicts["flag"],
        "dropped": len(view.rejected),
        "rows": tally.rows,
        "valid": tally.valid,
        "hours": tally.rows / view.rate_hz / 3600,
        "rate_hz": view.rate_hz,
        "trajectories": len({(e.orientation, e.trajectory) for e in view.episodes if e.trajectory >= 0}),
        "converter": view.converter,
        "config_hash": view.config_hash,
    }  # fmt: skip


def _checks(view: DatasetView) -> list[dict[str, Any]]:
    """Every check, also those that found nothing."""
    found = {name: _check_row(name) for name in CHECKS}
    for where, place, findings in view.findings():
        for finding in findings:
            row = found.setdefault(finding["check"], _check_row(finding["check"]))
            row["count"] += int(finding["count"])
            row[where] += 1
            row[finding["action"]] += 1
            row["example"] = row["example"] or f"{place}: {finding['text']}"
    return list(found.values())


def _check_row(name: str) -> dict[str, Any]:
    info = ALL_CHECKS.get(name, CheckInfo(name, "", ""))
    return {
        "check": name, "title": info.title, "meaning": info.meaning, "rule": info.rule, "count": 0, "bags": 0,
        "episodes": 0, **dict.fromkeys(get_args(Action), 0), "example": "",
    }  # fmt: skip


def _groups(episodes: Sequence[EpisodeRow]) -> list[dict[str, Any]]:
    """Episodes by what was collected, and in which orientation of the wrist."""
    groups: dict[tuple[str, str, str], list[EpisodeRow]] = defaultdict(list)
    for each in episodes:
        groups[each.kind, each.orientation, each.campaign].append(each)
    rows = []
    for (kind, orientation, campaign), members in sorted(groups.items()):
        times = Counter(each.trajectory for each in members if each.trajectory >= 0)
        rows.append(
            {
                "kind": kind,
                "orientation": orientation,
                "campaign": campaign,
                "episodes": len(members),
                "rows": sum(each.length for each in members),
                "flagged": sum(each.verdict == "flag" for each in members),
                "trajectories": len(times),
                "most_often": max(times.values(), default=0),
            }
        )
    return rows


def _episodes(episodes: Sequence[EpisodeRow], tally: Tally) -> dict[str, Any]:
    """Columns, one value an episode."""
    sums = tally.episode
    rms = _ratio(sums["error_square"], sums["error_count"]) ** 0.5
    whole = _ratio(sums["error_square"].sum(axis=1), sums["error_count"].sum(axis=1)) ** 0.5
    return {
        "identity": [each.identity for each in episodes],
        "bag": [each.bag for each in episodes],
        "started_ns": [each.started_ns for each in episodes],
        "verdict": [each.verdict for each in episodes],
        "why": [[finding["text"] for finding in each.findings] for each in episodes],
        "rows": sums["rows"].astype(int).tolist(),
        "valid": sums["valid"].astype(int).tolist(),
        "error_rms_rad": whole.tolist(),
        "worst_joint": [
            JOINT_NAMES[int(np.nanargmax(row))] if np.isfinite(row).any() else "" for row in rms
        ],
        "worst_error_rms_rad": _most(rms).tolist(),
        "temperature_max_c": _most(sums["temperature"]).tolist(),
        "current_mean_a": _ratio(
            sums["current"].sum(axis=1), sums["current_count"].sum(axis=1)
        ).tolist(),
        "lag_ticks": [
            lag_ticks(row) for row in _correlation(sums["together"], sums["asked"], sums["moved"])
        ],
    }


def _over_time(tally: Tally, hours: NDArray[np.float64]) -> dict[str, Any]:
    """Of each joint the mean over the episodes that began in the same stretch of time."""
    sums = tally.episode
    known = np.isfinite(hours)
    if known.sum() < 2 or np.ptp(hours[known]) == 0.0:
        return {"hour": []}
    low, high = hours[known].min(), hours[known].max()
    bins = min(1 + int(0.7 * known.sum()), _COLUMNS)  # few are left without an episode
    place = np.clip(((hours - low) / (high - low) * bins)[known].astype(int), 0, bins - 1)
    found: dict[str, Any] = {"hour": np.linspace(low, high, bins + 1).tolist()}
    for name, values in (
        ("error_rms_rad", _ratio(sums["error_square"], sums["error_count"]) ** 0.5),
        ("temperature_c", sums["temperature"]),
        ("current_a", _ratio(sums["current"], sums["current_count"])),
    ):
        there = np.isfinite(values[known])
        total, count = np.zeros((bins, JOINT_COUNT)), np.zeros((bins, JOINT_COUNT))
        np.add.at(total, place, np.where(there, values[known], 0.0))
        np.add.at(count, place, there)
        found[name] = _ratio(total, count).T.tolist()
    return found


def _nights(started_ns: Sequence[int]) -> tuple[list[dict[str, Any]], list[float]]:
    """Nights, and for each episode the hour at which it began with the days in between left out."""
    hours = [math.nan] * len(started_ns)
    nights: list[dict[str, Any]] = []
    known = sorted((time, k) for k, time in enumerate(started_ns) if time > 0)
    shift_ns = before = 0
    for time, k in known:
        if not nights or time - before > NIGHT_GAP_NS:
            # The next night begins where the one before ended.
            shift_ns = time - (before - shift_ns if nights else 0)
            hour = (time - shift_ns) / _HOUR_NS
            nights.append({"began_ns": time, "ended_ns": time, "hour": hour, "episodes": 0})
        nights[-1]["ended_ns"] = before = time
        nights[-1]["episodes"] += 1
        hours[k] = (time - shift_ns) / _HOUR_NS
    return nights, hours


def _joints(tally: Tally) -> list[dict[str, Any]]:
    sums = tally.episode
    rms = _ratio(sums["error_square"].sum(axis=0), sums["error_count"].sum(axis=0)) ** 0.5
    current = _ratio(tally.current_sum, tally.current_count)
    hottest = _most(sums["temperature"].T)
    lag = _correlation(tally.together, tally.asked, tally.moved)
    span = UPPER_RAD - LOWER_RAD
    rows = []
    for k, name in enumerate(JOINT_NAMES):
        covered = float((tally.high_rad - tally.low_rad)[k] / span[k]) if tally.valid else math.nan
        rows.append(
            {
                "joint": name,
                "target_low_rad": float(tally.low_rad[k]),
                "target_high_rad": float(tally.high_rad[k]),
                "state_low_rad": float(tally.state_low_rad[k]),
                "state_high_rad": float(tally.state_high_rad[k]),
                "range_share": covered,
                "error_rms_rad": float(rms[k]),
                "error_median_rad": _error_quantile(tally.error[k], 0.5),
                "error_p99_rad": _error_quantile(tally.error[k], 0.99),
                "lag_ticks": lag_ticks(lag[k]),
                "current_mean_a": float(current[k]),
                "current_max_a": float(tally.current_max[k]),
                "temperature_max_c": float(hottest[k]),
            }
        )
    return rows


def _coverage(tally: Tally) -> dict[str, Any]:
    return {
        "lower_limit_rad": LOWER_RAD.tolist(),
        "upper_limit_rad": UPPER_RAD.tolist(),
        "bins": BINS,
        "state": tally.state.tolist(),
        "target": tally.target.tolist(),
        "target_minus_state_limit_rad": OFFSET_RAD,
        "state_and_target_minus_state": tally.plane.tolist(),
    }


def _lag(tally: Tally) -> dict[str, Any]:
    found = _correlation(tally.together, tally.asked, tally.moved)
    whole = _correlation(
        tally.together.sum(axis=0)[None],
        tally.asked.sum(keepdims=True),
        tally.moved.sum(keepdims=True),
    )[0]
    return {
        "ticks": list(range(LAGS)),
        "correlation": whole.tolist(),
        "joint_correlation": found.tolist(),
        "lag_ticks": lag_ticks(whole),
    }


def _period(view: DatasetView, tally: Tally) -> dict[str, Any]:
    nominal = 1000.0 / view.rate_hz
    used = np.flatnonzero(tally.period)
    return {
        "nominal_ms": nominal,
        "ticks": int(tally.period.sum()),
        "p1_ms": tally.period_ms(0.01),
        "median_ms": tally.period_ms(0.5),
        "p99_ms": tally.period_ms(0.99),
        "max_ms": tally.longest_period_ns / 1e6,
        "share_over_1_5": 1.0 - tally.period_share(0.0, 1.5 * nominal),
        "bin_ms": PERIOD_BIN_NS / 1e6,
        "edge_ms": (used * PERIOD_BIN_NS / 1e6).tolist(),
        "count": tally.period[used].tolist(),
    }


def _added(sums: NDArray[np.float64], rows: int, valid: int) -> dict[str, float]:
    """How often noise was added, and how much."""
    return {
        "share_of_rows": rows / valid if valid else math.nan,
        "share_of_values": float(sums[0]) / (valid * JOINT_COUNT) if valid else math.nan,
        "sigma_rad": math.sqrt(sums[1] / sums[0]) if sums[0] else 0.0,
    }


def _loss(view: DatasetView) -> dict[str, Any]:
    """Messages that the bags' topics hold, and those that are known to be missing."""
    topics: Counter[str] = Counter()
    for bag in view.bags:
        topics.update(bag.get("messages", {}))
    lost = sum(
        int(finding["count"])
        for _, _, findings in view.findings()
        for finding in findings
        if finding["check"] == "lost"
    )
    return {"messages": dict(sorted(topics.items())), "lost": lost}


def _bags(view: DatasetView) -> list[dict[str, Any]]:
    return [
        {
            "name": bag.get("name", ""),
            "sha256": bag.get("sha256", ""),
            "bytes": int(bag.get("bytes", 0)),
            "findings": [finding["text"] for finding in bag.get("findings", ())],
        }
        for bag in view.bags
    ]


# --- small sums --------------------------------------------------------------------------------------


def lag_ticks(correlation: NDArray[np.float64] | Iterable[float]) -> float:
    """Where the correlation is largest, by a parabola through its highest value and both neighbours; NaN if nowhere."""
    found = np.asarray(correlation, dtype=np.float64)
    if not np.isfinite(found).any() or np.nanmax(found) < 0.05:
        return math.nan
    top = int(np.nanargmax(found))
    if not 0 < top < len(found) - 1:
        return float(top)
    left, middle, right = found[top - 1 : top + 2]
    bend = left - 2 * middle + right
    return top + 0.5 * (left - right) / bend if bend < 0 else float(top)


def _correlation(
    together: NDArray[np.float64], asked: NDArray[np.float64], moved: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Of n pairs of series, by lag: (n, lags), (n,), (n,) -> (n, lags)."""
    whole = np.broadcast_to(np.sqrt(asked * moved)[:, None], together.shape)
    return _ratio(together, whole)


def _ratio(above: NDArray[np.float64], below: NDArray[Any]) -> NDArray[np.float64]:
    """NaN where there is nothing below the line."""
    out = np.full(below.shape, np.nan)
    np.divide(above, below, out=out, where=below > 0)
    return out


def _most(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Largest of each row, NaN where it has none."""
    found: NDArray[np.float64] = np.fmax.reduce(rows, axis=1) if rows.size else np.zeros(len(rows))
    return found


def _error_quantile(counts: NDArray[np.int64], share: float) -> float:
    total = np.cumsum(counts)
    if not total[-1]:
        return math.nan
    return min(int(np.searchsorted(total, share * total[-1])) + 0.5, ERROR_BINS) * ERROR_BIN_RAD
