# SPDX-License-Identifier: Apache-2.0
"""What the residual job says of a choice by rollouts, from a real one at its smallest."""

from __future__ import annotations

import copy
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from dexndm_ros.training.residual.config import SelectConfig
from dexndm_ros.training.residual.select import select
from support.tiny_policy import residual_spec, write_tiny_policy

CANDIDATES = ("last", "last x0.3", "paired", "paired x0.3")
"""More than come to the second round, where more objects are turned."""


def real_choice() -> dict[str, Any]:
    """Between residuals that do next to nothing, in the world `gains`."""
    return copy.deepcopy(_choice())


@lru_cache(maxsize=1)
def _choice() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        files = {
            name: write_tiny_policy(
                Path(folder) / f"{k}.onnx", bias=np.full(16, 0.001 * k), spec=residual_spec(0.01)
            )
            for k, name in enumerate(CANDIDATES)
        }
        config = SelectConfig(world="gains", wrist="palm_up", episodes=2, physics="fast")
        return select(config, "cylinder_z", files, seed=0, threads=1)
