# SPDX-License-Identifier: Apache-2.0
"""The few keys of a campaign file that decide which processes are started, and how.

The replay checks the whole file, with numpy and a library at hand; a launch file has Python and PyYAML.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

__all__ = ["CampaignHead", "CampaignHeadError"]

Value = TypeVar("Value", str, float)


class CampaignHeadError(ValueError):
    """A file that tells nothing of a campaign; the message names file and key."""


@dataclass(frozen=True)
class CampaignHead:
    """What others than the replay must know of a campaign; names and defaults as in its file.

    Attributes:
        hand_load: what the hand works against.
        orientation: how the palm is mounted; empty = not told.
        webhook: who is told when it stops; empty = nobody.
        pause_gb: free space below which it pauses.
    """

    hand_load: str = "full"
    orientation: str = ""
    webhook: str = ""
    pause_gb: float = 2.0

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read it from a campaign file.

        Raises:
            CampaignHeadError: not a YAML file with keys, or a value of another type.
        """
        import yaml  # here: this module is imported where nothing but Python may be installed

        try:
            content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise CampaignHeadError(f"campaign file {path} cannot be read: {error}") from error
        if not isinstance(content, dict):
            raise CampaignHeadError(
                f"campaign file {path} holds no keys; see config/campaigns/example.yaml"
            )
        try:
            return cls(
                hand_load=_value(content, "hand_load", cls.hand_load),
                orientation=_value(content, "orientation", cls.orientation),
                webhook=_value(content.get("notify"), "webhook", cls.webhook),
                pause_gb=_value(content.get("disk"), "pause_gb", cls.pause_gb),
            )
        except TypeError as error:
            raise CampaignHeadError(
                f"{path}: {error}; see config/campaigns/example.yaml"
            ) from error


def _value(place: Any, key: str, default: Value) -> Value:
    value = place.get(key, default) if isinstance(place, Mapping) else default
    if isinstance(default, float) and isinstance(value, int):
        value = float(value)
    if not isinstance(value, type(default)):
        raise TypeError(f"{key} is {value!r}")
    return value
