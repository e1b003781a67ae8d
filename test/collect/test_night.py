# SPDX-License-Identifier: Apache-2.0
"""A small night of faults; ``make soak`` runs a long one (test/soak/test_chaos_box.py)."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("dexndm_msgs")

from support.night import Night, NightConfig

pytestmark = [pytest.mark.ros, pytest.mark.slow]


def test_a_small_night_of_faults_loses_and_repeats_nothing(tmp_path: Path) -> None:
    config = NightConfig(trajectories=3, faults=5, speed=2.0, seed=7)
    Night(tmp_path, config).run().check(config)
