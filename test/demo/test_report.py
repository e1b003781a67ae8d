# SPDX-License-Identifier: Apache-2.0
"""The report file: exactly these keys, valid JSON whatever was measured."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexndm_ros.demo.errors import DemoError
from dexndm_ros.demo.report import DemoReport, Spread

KEYS = [
    "seconds", "rotation_rad", "off_axis_rad", "fell", "ticks", "missed_ticks", "tick_period_ms",
    "obs_to_command_ms", "bus_hz", "lost_reads", "policy", "world",
]  # fmt: skip


def report(**changes) -> DemoReport:
    values = {
        "seconds": 5.0, "rotation_rad": 3.5, "off_axis_rad": 0.25, "fell": False, "ticks": 101,
        "missed_ticks": 0, "tick_period_ms": Spread(50.0, 50.5, 51.0),
        "obs_to_command_ms": Spread(3.0, 4.0, 5.0), "bus_hz": 100.0, "lost_reads": 2,
        "policy": "cylinder_z/generalist.onnx", "world": "nominal",
    }  # fmt: skip
    return DemoReport(**values | changes)


def test_the_file_has_exactly_the_promised_keys(tmp_path) -> None:
    report().write(tmp_path / "r.json")
    data = json.loads((tmp_path / "r.json").read_text())
    assert list(data) == KEYS
    assert list(data["tick_period_ms"]) == list(data["obs_to_command_ms"]) == ["p50", "p99", "max"]
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]


anything = st.floats(allow_nan=True, allow_infinity=True)


@given(st.lists(anything, max_size=50), anything)
def test_every_report_is_strict_json_and_comes_back(values, seconds) -> None:
    text = json.dumps(report(seconds=seconds, tick_period_ms=Spread.of(values)).to_dict())
    back = DemoReport.from_dict(json.loads(text, parse_constant=pytest.fail))
    assert back.to_dict() == json.loads(text)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=200))
def test_spread_is_ordered_and_lies_within_the_values(values) -> None:
    spread = Spread.of(values)
    assert min(values) <= spread.p50 <= spread.p99 <= spread.max == max(values)


def test_spread_of_nothing_is_unknown_and_nan_is_left_out() -> None:
    assert Spread.of([]) == Spread.of([math.nan]) == Spread(None, None, None)
    assert Spread.of([math.nan, 4.0]).max == 4.0


def test_a_place_that_cannot_be_written_is_named(tmp_path) -> None:
    with pytest.raises(DemoError, match=r"missing/r\.json"):
        report().write(tmp_path / "missing" / "r.json")


@pytest.mark.parametrize("fell, word", [(True, "fell"), (False, "turned 3.50 rad (0.56 turns)")])
def test_the_summary_says_how_it_went(fell, word) -> None:
    assert word in report(fell=fell).summary()


def test_the_summary_of_a_real_hand_claims_no_angle() -> None:
    assert "turned ? in" in report(rotation_rad=None, fell=None).summary()
