# SPDX-License-Identifier: Apache-2.0
"""System identification at its full size: the hand of a world it has not seen comes back within the stated tolerance.

``DEXNDM_SOAK_SYSID_WORLD`` (twin) names the world; a quarter of an hour on two cores.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from dexndm_ros.sim.worlds import World
from dexndm_ros.training.sysid.config import SysidConfig
from dexndm_ros.training.sysid.job import identify
from dexndm_ros.training.sysid.parameters import nominal_values

pytestmark = pytest.mark.soak

# Median and largest distance from the truth, of what passes the gate: shares of the value, or rad, or s.
TOLERANCES = {
    "kp": (0.15, 0.5, True),
    "kd": (0.15, 0.5, True),
    "friction": (0.25, 0.8, True),
    "backlash": (0.003, 0.01, False),
    "offset": (0.001, 0.004, False),
    "delay": (0.004, 0.004, False),
}


def test_a_twin_comes_back(tmp_path: Path) -> None:
    twin = os.environ.get("DEXNDM_SOAK_SYSID_WORLD", "twin")
    config = SysidConfig(out=tmp_path / "run", twin=twin, threads=os.cpu_count() or 2)
    found = identify(config)
    truth = nominal_values(World.load(twin))
    for name, (median, largest, relative) in TOLERANCES.items():
        good = [each for each in found.rows if each.parameter == name and not each.refused]
        true = np.array([truth[name][each.index] for each in good])
        off = np.abs(np.array([each.value for each in good]) - true)
        off = off / np.maximum(np.abs(true), 1e-9) if relative else off
        if name in ("kp", "kd", "delay"):
            assert good, f"no {name} passed the gate"
        if len(off):
            assert np.median(off) < median and off.max() < largest, (name, off)
    before, after = (np.sqrt(np.mean(error**2)) for error in (found.before, found.after))
    assert after < 0.2 * before
