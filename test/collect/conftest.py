# SPDX-License-Identifier: Apache-2.0
"""A small campaign of base waves: nothing to download, nothing to train."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

CAMPAIGN = {
    "name": "small",
    "orientation": "palm_down",
    "library": "waves:sine:5",
    "count": 3,
    "hand_load": "free",
    "attempts": 50,  # a busy machine holds trajectories up, and they are redone
    "disk": {"pause_gb": 0.001, "resume_gb": 0.002},
    "recovery": {"in_a_row": 1000, "budget": 100000},  # a busy machine is no reason to give up
}


@pytest.fixture
def campaign(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(CAMPAIGN))
    return path


@pytest.fixture(autouse=True)
def own_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks on hands and virtual ports belong to this test alone."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
