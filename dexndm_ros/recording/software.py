# SPDX-License-Identifier: Apache-2.0
"""Which software made a bag."""

from __future__ import annotations

import subprocess
from pathlib import Path

import dexndm_ros

__all__ = ["software"]

_LIMIT_S = 5.0


def software() -> dict[str, str]:
    """Version, and of a checkout the commit, with "+" when files differ from it; "unknown" of an installation."""
    root = Path(__file__).resolve().parents[2]
    commit = "unknown"
    if (root / ".git").exists():
        commit = _git(root, "rev-parse", "--short=12", "HEAD") or commit
        if commit != "unknown" and _git(root, "status", "--porcelain", "--untracked-files=no"):
            commit += "+"
    return {"software": f"dexndm_ros {dexndm_ros.__version__}", "commit": commit}


def _git(root: Path, *words: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *words],
            capture_output=True, text=True, check=True, timeout=_LIMIT_S,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
