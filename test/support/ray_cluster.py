# SPDX-License-Identifier: Apache-2.0
"""A Ray cluster of this machine whose workers find the package and the tests' own helpers."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dexndm_ros.datasets.engine import Engine, open_engine

__all__ = ["ray_cluster"]

_ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def ray_cluster(jobs: int) -> Iterator[Engine]:
    """While it lasts, whatever asks for Ray uses it; no other cluster of this machine is found by it, nor finds it."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(prefix="ray_") as own:
        patch.setenv("PYTHONPATH", f"{_ROOT}:{_ROOT / 'test'}")
        patch.setenv("RAY_TMPDIR", own)  # where clusters are looked up
        # By default workers give way to everything, and beside other tests they would hardly come to work.
        patch.setenv("RAY_worker_niceness", "0")
        with open_engine("ray", jobs) as opened:
            yield opened
