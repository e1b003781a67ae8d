# SPDX-License-Identifier: Apache-2.0
"""The benches' own arithmetic and bookkeeping; what they measure is not tested here."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bench.__main__ import BENCHES, main
from bench.bus_bad_day import staleness
from bench.bus_programs import PROGRAMS, goal
from bench.paced_bus import PacedBus
from bench.result import Check, Options, Result, quantiles


@given(arrays(bool, st.tuples(st.integers(1, 30), st.integers(1, 16))))
def test_staleness_counts_slots_since_the_last_fresh_value(fresh) -> None:
    stale = staleness(fresh)
    for motor in range(fresh.shape[1]):
        age = 0
        for slot in range(len(fresh)):
            age = 0 if fresh[slot, motor] else age + 1
            assert stale[slot, motor] == age


@pytest.mark.parametrize(
    "value, at_most, met",
    [(1.0, True, True), (1.3, True, False), (1.3, False, True), (math.nan, True, False)],
)
def test_a_check_holds_or_not_and_nan_never_does(value, at_most, met) -> None:
    check = Check("ratio", value, 1.2, at_most)
    assert check.met is met
    assert str(check).startswith("met" if met else "NOT MET")


def test_a_result_is_a_table_and_strict_json(tmp_path) -> None:
    result = Result(
        "title", ["program", "ms"], [["ours", 0.91], ["stock", math.nan], ["n", 1e-5]],
        [Check("ratio", 1.0, 1.2)], ["a note"], {"cycles": np.int64(7)},
    )  # fmt: skip
    text = result.table()
    assert "ours" in text and "0.910" in text and "1.00e-05" in text and "note: a note" in text
    result.write(tmp_path / "results" / "x.json", "x", Options(seed=3), 1.0)
    data = json.loads((tmp_path / "results" / "x.json").read_text(), parse_constant=pytest.fail)
    assert data["rows"][1] == ["stock", None]
    assert data["options"]["seed"] == 3 and data["settings"] == {"cycles": 7}
    assert data["checks"][0]["met"] is True
    assert {"cpu", "cores", "python", "versions", "commit"} <= set(data["machine"])


def test_quantiles_of_nothing_are_nan() -> None:
    assert all(map(math.isnan, quantiles([], 0.5, 0.99)))
    assert quantiles([1.0, 2.0, 3.0], 0.0, 0.5, 1.0) == [1.0, 2.0, 3.0]


def test_an_unknown_bench_is_refused_with_the_names_of_all(capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["bus_cyle"])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert all(name in said for name in BENCHES)


def test_every_program_reads_all_motors_and_moves_them() -> None:
    with PacedBus() as bus:
        for make in PROGRAMS.values():
            program = make(bus.port)
            program.open()
            # A busy machine may cost a stock program, which gives up early, some cycles.
            assert any(program.cycle(goal(k)).all() for k in range(50))
            program.close()


def test_a_silent_motor_costs_us_only_itself() -> None:
    with PacedBus() as bus:
        bus.inject("silent_motor", 5)
        program = PROGRAMS["ours"](bus.port)
        program.open()
        fresh = np.array([program.cycle(goal(k)) for k in range(50)])
        program.close()
    assert not fresh[:, 5].any()
    assert fresh[:, np.arange(16) != 5].any(axis=0).all()
