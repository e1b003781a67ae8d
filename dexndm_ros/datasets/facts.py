# SPDX-License-Identifier: Apache-2.0
"""Figures of an episode: who it is, how its ticks came, how well the hand followed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.bags.open import Bag
from dexndm_ros.datasets.align import steady_ns
from dexndm_ros.datasets.assemble import Cut
from dexndm_ros.datasets.config import ConvertConfig
from dexndm_ros.datasets.episode import Finding
from dexndm_ros.datasets.features import RowFlag
from dexndm_ros.datasets.quality import finding
from dexndm_ros.datasets.row_checks import tracking_error
from dexndm_ros.datasets.tables import Table, size
from dexndm_ros.replay.trajectory import STEPS

__all__ = ["episode_facts", "tick_findings"]


def tick_findings(
    cut: Cut, columns: Mapping[str, Any], config: ConvertConfig, tick_ns: NDArray[np.int64]
) -> Iterator[Finding]:
    """Ticks that are doubled, missing, late, or never came into force."""
    ticks, limits = cut.ticks, config.limits
    if cut.doubled:
        yield finding(
            "duplicates", cut.doubled, "repaired", f"steps that are in the bag twice: {cut.doubled}"
        )
    missing = int((np.diff(ticks.number) - 1).sum()) if len(ticks) > 1 else 0
    if missing > 0:
        at = int(ticks.number[int(np.argmax(np.diff(ticks.number) > 1))])
        yield finding(
            "missing_ticks",
            missing,
            "flagged",
            f"steps that are missing: {missing}, the first after step {at}",
        )
    if cut.kind == "replay":
        cut_off = max(0, int(ticks.number[0])) + max(0, STEPS - 1 - int(ticks.number[-1]))
        if cut_off:
            yield finding(
                "short",
                cut_off,
                "flagged",
                f"steps {int(ticks.number[0])} to {int(ticks.number[-1])} of 0 to {STEPS - 1}",
            )
    late = int((np.diff(tick_ns) > limits.late_share * 1e9 / config.rate_hz).sum()) - max(
        0, int((np.diff(ticks.number) > 1).sum())
    )
    if late > 0 and cut.kind != "joint_state":
        yield finding(
            "late_ticks",
            late,
            "noted",
            f"control periods of over {limits.late_share:g} nominal ones: {late}",
        )
    passed = int(((columns["flags"] & RowFlag.PASSED_OVER) != 0).sum())
    if passed:
        serious = passed > limits.max_passed_over
        yield finding(
            "passed_over",
            passed,
            "dropped" if serious else "flagged",
            f"commands that were never in force: {passed}; "
            + (
                "the driver did not keep up"
                if serious
                else "the next one came before a motor was told"
            ),
        )


def episode_facts(
    cut: Cut,
    columns: Mapping[str, Any],
    states: Table,
    bag: Bag,
    wrist: str,
    lag: int,
    tick_ns: NDArray[np.int64],
) -> dict[str, Any]:
    """Words and numbers for ``meta/episodes``; the same keys whatever the kind.

    Args:
        cut: the episode.
        columns: its rows.
        states: of it.
        bag: where it is from.
        wrist: name of the palm's orientation; '' = none of ours.
        lag: rows from target to answer; -1 = cannot be told.
        tick_ns: stamps of the ticks without steps of the system time.
    """
    custom, ticks, flags = bag.custom_data, cut.ticks, columns["flags"]
    p50_ms, p99_ms, max_ms = _percentiles(np.diff(tick_ns) / 1e6, (50, 99, 100))
    error = tracking_error(columns)
    error = error[np.isfinite(error)]
    first = {name: int(values[0]) for name, values in cut.rows.items() if _is_number(name)}
    steady = steady_ns(states) if size(states) > 1 else np.zeros(2)
    span_s = float(steady[-1] - steady[0]) / 1e9
    return {
        "kind": cut.kind,
        "bag": bag.name,
        "campaign": str(cut.rows["campaign"][0]) if "campaign" in cut.rows else "",
        "session": custom.get("session", ""),
        "orientation": wrist or custom.get("orientation", ""),
        "hand_load": custom.get("hand_load", ""),
        "axis": _axis_name(ticks.axis),
        "trajectory": first.get("trajectory", -1),
        "entry": first.get("entry", -1),
        "attempt": first.get("attempt", 0),
        "seed": first.get("seed", -1),
        "started_ns": int(ticks.stamp_ns[0]) if len(ticks) else 0,
        "duration_s": float(tick_ns[-1] - tick_ns[0]) / 1e9 if len(ticks) else 0.0,
        "rows": len(ticks),
        "invalid_rows": int((~columns["valid"]).sum()),
        "limited_rows": int(((flags & RowFlag.LIMITED) != 0).sum()),
        "passed_over_rows": int(((flags & RowFlag.PASSED_OVER) != 0).sum()),
        "period_p50_ms": p50_ms,
        "period_p99_ms": p99_ms,
        "period_max_ms": max_ms,
        "state_hz": (size(states) - 1) / span_s if span_s > 0 else 0.0,
        "error_rms_rad": float(np.sqrt(np.mean(error**2))) if len(error) else 0.0,
        "error_p95_rad": _percentiles(np.abs(error), (95,))[0],
        "lag_ticks": lag,
        "temperature_max_c": _largest(columns["observation.temperature"]),
        "current_max_a": _largest(np.abs(columns["observation.current"])),
    }


def _is_number(name: str) -> bool:
    return name in ("trajectory", "entry", "attempt", "seed")


def _percentiles(values: Any, percents: tuple[float, ...]) -> list[float]:
    return np.percentile(values, percents).tolist() if len(values) else [0.0] * len(percents)


def _largest(values: Any) -> float:
    """Of the finite ones; NaN = there is none."""
    finite = values[np.isfinite(values)]
    return float(finite.max()) if len(finite) else float("nan")


def _axis_name(axis: Any) -> str:
    """Such as ``+z``, or the numbers; '' = none or several."""
    if not len(axis) or not axis[0].any() or (axis != axis[0]).any():
        return ""
    x = axis[0]
    k = int(np.argmax(np.abs(x)))
    if abs(abs(x[k]) - 1.0) < 1e-6:
        return ("+" if x[k] > 0 else "-") + "xyz"[k]
    return ",".join(f"{number:.3g}" for number in x)
