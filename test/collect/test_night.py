# SPDX-License-Identifier: Apache-2.0
"""A small night of faults; ``make soak`` runs a long one (test/soak/test_chaos_box.py)."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("dexndm_msgs")

from support.night import LONG_NIGHT, NODES, Night, NightConfig

pytestmark = pytest.mark.ros


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("on_tmpfs", [True, False])
def test_in_a_long_night_everything_happens(tmp_path: Path, seed: int, on_tmpfs: bool) -> None:
    night = Night(tmp_path, NightConfig(trajectories=100, faults=LONG_NIGHT, speed=5.0, seed=seed))
    night.on_tmpfs = on_tmpfs
    names = night.plan()
    assert len(names) == LONG_NIGHT
    kills = {f"kill {node}" for node in NODES}
    assert {"hot motor", "overload", "cable", *kills} <= set(names)
    assert ("full disk" in names) == on_tmpfs


@pytest.mark.slow
def test_a_small_night_of_faults_loses_and_repeats_nothing(tmp_path: Path) -> None:
    config = NightConfig(trajectories=2, faults=4, speed=1.0, seed=7)
    Night(tmp_path, config).run().check(config)
