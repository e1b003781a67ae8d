# SPDX-License-Identifier: Apache-2.0
"""What every offline job shows and records: a progress bar with ETA, and the commit it ran from."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tqdm import tqdm

__all__ = ["Progress", "commit_id"]


class Progress:
    """A bar with rate, ETA and a line of figures.

    Args:
        total: units of the whole job.
        label: what is being done.
        done: units done in an earlier run.
    """

    def __init__(self, total: int, label: str, done: int = 0) -> None:
        self._bar = tqdm(total=total, initial=done, desc=label, unit_scale=True, mininterval=2.0)

    def update(self, done: int, figures: str = "") -> None:
        """Set the units done so far and the figures shown behind the bar."""
        if figures:
            self._bar.set_postfix_str(figures, refresh=False)
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        """End the line."""
        self._bar.close()


def commit_id() -> str:
    """Commit of the checkout this package runs from, with ``+`` when it has changes, or "unknown"."""
    root = Path(__file__).resolve().parents[2]

    def git(*words: str) -> str:
        result = subprocess.run(
            ["git", "-C", str(root), *words], capture_output=True, text=True, check=False
        )
        return result.stdout.strip() if result.returncode == 0 else ""

    commit = git("rev-parse", "--short=12", "HEAD")
    if not commit:
        return "unknown"
    return commit + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
