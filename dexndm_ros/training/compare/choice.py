# SPDX-License-Identifier: Apache-2.0
"""What the choice of a residual costs: rollouts in the target world beside the trajectories of the budget."""

from __future__ import annotations

from dexndm_ros.training.residual.config import ResidualConfig

__all__ = ["choice_rollouts", "losses"]

_FINALISTS = 3
"""Of ``dexndm_ros.training.residual.select``."""


def losses() -> int:
    """How many a residual is trained for."""
    return len(ResidualConfig().losses)


def choice_rollouts(episodes: int) -> int:
    """Most rollouts in which one residual is chosen.

    All candidates and the base turn a quarter of the objects, then the best ones and the base all of them.

    Args:
        episodes: ``SelectConfig.episodes``.

    Returns:
        Of each wrist; losses that the gate refuses take no part and save theirs.
    """
    candidates = losses() * len(ResidualConfig().select.strengths)
    if candidates <= _FINALISTS:
        return (candidates + 1) * episodes
    return (candidates + 1) * max(1, episodes // 4) + (_FINALISTS + 1) * episodes
