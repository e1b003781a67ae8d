# SPDX-License-Identifier: Apache-2.0
"""An oracle of an earlier observation, made to see what was added to it since.

Entries are only ever added at the end of the privileged observation. What is new gets weights of zero, so that the
wider network does at first what the narrower one did.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

__all__ = ["input_count", "widen_checkpoint"]

_FIRST = "mlp.0.weight"
_NORMALISER = {"obs_normalizer._mean": 0.0, "obs_normalizer._var": 1.0, "obs_normalizer._std": 1.0}


def input_count(checkpoint: Path) -> int:
    """What the oracle of a checkpoint sees; 0 where there is none."""
    if not checkpoint.is_file():
        return 0
    state = torch.load(checkpoint, weights_only=False, map_location="cpu")
    return int(state["actor_state_dict"][_FIRST].shape[1])


def widen_checkpoint(checkpoint: Path, inputs: int, out: Path) -> Path:
    """A checkpoint whose networks take ``inputs`` numbers; that one itself where they do already.

    Args:
        checkpoint: of rsl_rl.
        inputs: size of the observation now.
        out: file to write.

    Raises:
        ValueError: the checkpoint sees more than there is.
    """
    missing = inputs - input_count(checkpoint)
    if missing == 0:
        return checkpoint
    if missing < 0:
        raise ValueError(
            f"{checkpoint} was trained on {inputs - missing} numbers, and there are only {inputs}: "
            "it is of a newer version; update, or begin from another one"
        )
    state = torch.load(checkpoint, weights_only=False, map_location="cpu")
    for name in ("actor_state_dict", "critic_state_dict"):
        _widen(state[name], missing)
    # Moments of the optimiser would not fit any more, and nobody who begins from here reads them.
    state.pop("optimizer_state_dict", None)
    torch.save(state, out)
    return out


def _widen(weights: dict[str, Any], missing: int) -> None:
    first = weights[_FIRST]
    weights[_FIRST] = torch.cat([first, first.new_zeros(len(first), missing)], dim=1)
    for name, value in _NORMALISER.items():
        old = weights[name]
        weights[name] = torch.cat([old, old.new_full((1, missing), value)], dim=1)
