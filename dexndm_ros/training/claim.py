# SPDX-License-Identifier: Apache-2.0
"""A run folder belongs to the settings that it was begun with."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dexndm_ros.training.cli import ConfigError

__all__ = ["refuse_other_settings"]


def refuse_other_settings(out: Path, config: Any, fixed: Iterable[str]) -> None:
    """Refuse to go on in a run folder with other settings.

    Args:
        out: run folder; one without ``config.json`` is anybody's.
        config: a dataclass.
        fixed: names of the settings that must be those of the folder.

    Raises:
        ConfigError: names the first one that is not.
    """
    file = out / "config.json"
    if not file.exists():
        return
    ours = json.loads(json.dumps(asdict(config)))
    theirs = json.loads(file.read_text(encoding="utf-8"))
    for key in fixed:
        if theirs.get(key) != ours[key]:
            raise ConfigError(
                f"{out} was begun with another {key} ({theirs.get(key)!r}); give that, or another --out"
            )
