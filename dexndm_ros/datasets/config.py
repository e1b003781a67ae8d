# SPDX-License-Identifier: Apache-2.0
"""What decides how a bag becomes episodes. Its hash stands in the dataset: two configurations never mix in one."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from dexndm_ros.datasets.demonstration_features import DEMONSTRATION_FEATURES
from dexndm_ros.datasets.features import FEATURES, Feature
from dexndm_ros.datasets.mapping import TopicMapping
from dexndm_ros.hand.profile import profile_by_name

__all__ = ["ROW_FORMAT", "ConfigError", "ConvertConfig", "Limits", "limits_of_hand"]

ROW_FORMAT = 1
"""Raised when the same bag gives other rows than before."""


_SATURATED_SHARE = 0.95
"""Of a hand's current limit: from there on a motor gives all it may."""


class ConfigError(ValueError):
    """A setting that cannot be used; the message names it, what it is and what is allowed."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """From where on something is trouble. The defaults fit a LEAP hand at 100 to 400 Hz.

    Attributes:
        max_age_s: a state older than this at its tick is stale.
        clock_step_s: a difference between system time and monotonic time, from one state to the next, that is a step.
        late_share: a tick is late when its period is over so many nominal periods.
        state_gap_s: no state for so long is a gap in the row.
        max_speed_rad_s: faster between two states no joint of the hand is.
        beyond_limits_rad: measured further outside the joint limits no joint can be (offset or order is wrong).
        saturated_a: a supply current at or above this is at its limit (0.5 A for the full hand, 0.3 A for the lite).
        saturated_share: rows with a saturated joint from which on the episode is flagged.
        stuck_ticks: so long bit-identical while the target moved is stuck.
        stuck_target_rad: how far the target must have moved.
        min_steps: an episode with fewer rows is dropped.
        max_invalid_share: an episode with more rows that are not valid is dropped.
        max_passed_over: commands of an episode that may never have been in force.
        max_lag_ticks: a joint that answers later than this is flagged.
    """

    max_age_s: float = 0.05
    clock_step_s: float = 0.002
    late_share: float = 1.5
    state_gap_s: float = 0.045
    max_speed_rad_s: float = 30.0
    beyond_limits_rad: float = 0.35
    saturated_a: float = 0.475
    saturated_share: float = 0.02
    stuck_ticks: int = 60
    stuck_target_rad: float = 0.15
    min_steps: int = 20
    max_invalid_share: float = 0.1
    max_passed_over: int = 20
    max_lag_ticks: int = 4

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise ConfigError(f"limits.{each.name} is {value!r}; it must be a number")
            if not (math.isfinite(value) and value > 0):
                raise ConfigError(f"limits.{each.name} is {value!r}; it must be above 0")
        if self.max_invalid_share > 1.0 or self.saturated_share > 1.0:
            raise ConfigError("limits: a share is from 0 to 1")


def limits_of_hand(name: str) -> Limits:
    """The limits of a hand.

    Args:
        name: of a profile, "full" or "lite".

    Raises:
        ValueError: there is none of that name.
    """
    return Limits(saturated_a=_SATURATED_SHARE * profile_by_name(name).current_limit_ma / 1000)


@dataclass(frozen=True, kw_only=True)
class ConvertConfig:
    """How bags are converted.

    Attributes:
        mapping: what the topics of bags from other drivers mean; None = only bags of our own nodes.
        library: trajectory library to check the clean targets against; None = they are taken as recorded.
        library_sha256: of that file (see ``with_library``); '' without one.
        limits: from where on something is trouble.
        rate_hz: control ticks a second; LeRobot's fps.
        max_episode_steps: a longer policy run is cut into episodes of so many ticks.
        demonstrations: bags are sessions of teleoperation; the rows have the operator and the arm too.
    """

    mapping: TopicMapping | None = None
    library: Path | None = None
    library_sha256: str = ""
    limits: Limits = Limits()
    rate_hz: int = 20
    max_episode_steps: int = 12_000
    demonstrations: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.rate_hz <= 1000:
            raise ConfigError(f"rate_hz is {self.rate_hz}; it must be from 1 to 1000")
        if self.max_episode_steps < self.limits.min_steps:
            raise ConfigError(
                f"max_episode_steps is {self.max_episode_steps}, below min_steps {self.limits.min_steps}"
            )
        if (self.library is None) != (not self.library_sha256):
            raise ConfigError("library and library_sha256 belong together")
        if self.demonstrations and self.mapping is not None:
            raise ConfigError("demonstrations are of our own nodes; they need no mapping file")

    @property
    def features(self) -> tuple[Feature, ...]:
        """Columns of the rows, without LeRobot's own."""
        return (*FEATURES, *DEMONSTRATION_FEATURES) if self.demonstrations else FEATURES

    def to_dict(self) -> dict[str, Any]:
        """All that decides the rows, as JSON can hold it; the library by its content, not its place."""
        content = asdict(self)
        del content["library"]
        if not self.demonstrations:  # datasets of before know no such word
            del content["demonstrations"]
        return {"row_format": ROW_FORMAT, **content}

    @property
    def hash(self) -> str:
        """64 hex digits; equal for configurations that give equal rows."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()
