# SPDX-License-Identifier: Apache-2.0
"""The published LeRobot reader, which lives in an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

__all__ = ["PYTHON", "read_with_lerobot"]

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-lerobot/bin/python"


def read_with_lerobot(dataset: Path, cache: Path, episode: int = 1) -> dict[str, Any]:
    """What ``read_with_lerobot.py`` finds in a dataset.

    Args:
        dataset: folder.
        cache: for the reader's own files.
        episode: that is looked at.
    """
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(cache)}
    environment.pop("PYTHONPATH", None)
    program = ROOT / "test/support/read_with_lerobot.py"
    done = subprocess.run(
        [str(PYTHON), "-P", str(program), str(dataset), str(episode)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
