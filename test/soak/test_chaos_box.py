# SPDX-License-Identifier: Apache-2.0
"""A campaign through a night in which everything happens: what counts is what is on the disk in the morning.

``DEXNDM_SOAK_TRAJECTORIES`` (200), ``DEXNDM_SOAK_FAULTS`` (60), ``DEXNDM_SOAK_SPEED`` (3) and ``DEXNDM_SOAK_SEED`` (1)
say how long and which night.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("dexndm_msgs")

from support.night import Night, NightConfig

pytestmark = [pytest.mark.soak, pytest.mark.ros]


def setting(name: str, default: float) -> float:
    return float(os.environ.get(f"DEXNDM_SOAK_{name}", default))


def test_a_night_of_faults_loses_and_repeats_nothing(tmp_path: Path) -> None:
    config = NightConfig(
        trajectories=int(setting("TRAJECTORIES", 200)),
        faults=int(setting("FAULTS", 60)),
        speed=setting("SPEED", 3.0),
        seed=int(setting("SEED", 1)),
    )
    Night(tmp_path, config).run().check(config)
