# SPDX-License-Identifier: Apache-2.0
"""A campaign of the Chaos Box: what is replayed, and the rules it is replayed under, as one YAML file.

Unknown keys and impossible values are refused with the file, the key, what was got and what is allowed.
"""

from __future__ import annotations

import dataclasses
import math
import re
import reprlib
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from dexndm_ros.policy.wrist import WRISTS
from dexndm_ros.replay.noise import NoiseConfig
from dexndm_ros.replay.rules import (
    CoolingConfig,
    DiskConfig,
    JamConfig,
    LoadCheckConfig,
    MotionConfig,
    NotifyConfig,
    RecoveryConfig,
)
from dexndm_ros.replay.schedule import ScheduleConfig, time_of_day

__all__ = [
    "LOADS",
    "Campaign",
    "CampaignError",
    "CoolingConfig",
    "DiskConfig",
    "JamConfig",
    "LoadCheckConfig",
    "MotionConfig",
    "NoiseConfig",
    "NotifyConfig",
    "RecoveryConfig",
    "ScheduleConfig",
]

LOADS = ("full", "half", "free", "tied")
"""What the hand works against: a full box, a half full one, nothing, a ball tied to three fingers."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class CampaignError(ValueError):
    """A campaign that cannot be run; the message names the file, the key, what was got and what is allowed."""


@dataclass(frozen=True)
class Campaign:
    """What is replayed, and the rules it is replayed under.

    Attributes:
        name: letters, digits, ".", "_", "-"; stands in every ReplayStep and bag.
        orientation: wrist orientation the hand is mounted in, a name of ``WRISTS``.
        library: trajectory source as ``library.open_source`` takes it; relative paths are from the
            campaign file's folder.
        count: trajectories to collect.
        seed: of the selection and the noise.
        selection_orientation: replay the trajectories of this wrist instead; "" = those of ``orientation``.
        hand_load: what the hand works against, one of ``LOADS``; for the record.
        attempts: tries per row of the plan before it is rejected for good.
        start: "auto" moves when everything is ready, "service" waits for ``replay/start``.
        noise: noise added to the targets.
        motion: speed between trajectories.
        cooling: when the hand rests.
        recovery: how hard the campaign tries.
        jam: when a finger counts as stuck.
        disk: free space it needs.
        load_check: what an empty box looks like.
        schedule: when it may run.
        notify: who is told.
    """

    name: str
    orientation: str
    library: str
    count: int
    seed: int = 0
    selection_orientation: str = ""
    hand_load: str = "full"
    attempts: int = 5
    start: str = "auto"
    noise: NoiseConfig = field(default_factory=NoiseConfig)
    motion: MotionConfig = field(default_factory=MotionConfig)
    cooling: CoolingConfig = field(default_factory=CoolingConfig)
    recovery: RecoveryConfig = field(default_factory=RecoveryConfig)
    jam: JamConfig = field(default_factory=JamConfig)
    disk: DiskConfig = field(default_factory=DiskConfig)
    load_check: LoadCheckConfig = field(default_factory=LoadCheckConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    notify: NotifyConfig = field(default_factory=NotifyConfig)

    def __post_init__(self) -> None:
        """Refuse what cannot be run.

        Raises:
            CampaignError: names the key, what was got and what is allowed.
        """
        _check_numbers(self)
        _check_words(self)
        _check_pairs(self)

    @property
    def wrist(self) -> str:
        """The wrist orientation whose trajectories are selected."""
        return self.selection_orientation or self.orientation

    @classmethod
    def from_dict(cls, data: Mapping[Any, Any], where: str = "campaign") -> Campaign:
        """Build a campaign from nested mappings.

        Args:
            data: what a campaign file holds.
            where: name of the file, for the messages.

        Raises:
            CampaignError: an unknown or missing key, a wrong type or an impossible value.
        """
        try:
            campaign: Campaign = _build(cls, data, "")
        except CampaignError as error:
            raise CampaignError(f"{where}: {error}") from None
        return campaign

    @classmethod
    def load(cls, path: str | Path) -> Campaign:
        """Read a campaign file; a relative path of a library is taken from the file's own folder.

        Raises:
            CampaignError: no such file, not YAML, or not a campaign.
        """
        file = Path(path)
        try:
            data = yaml.safe_load(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise CampaignError(f"cannot read campaign file {file}: {error.strerror}") from error
        except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
            raise CampaignError(f"{file} is not valid YAML: {error}") from error
        campaign = cls.from_dict(data, str(file))
        beside = file.resolve().parent / campaign.library
        if campaign.library.endswith(".parquet") and beside.is_file():
            return dataclasses.replace(campaign, library=str(beside))
        return campaign

    def to_dict(self) -> dict[str, Any]:
        """The campaign as nested mappings, every key written out; ``from_dict`` gives it back."""
        return dataclasses.asdict(self)

    def to_yaml(self) -> str:
        """The campaign as the text of a campaign file, every key written out."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True)


# Least and most, both allowed. Wide enough for every real use; outside of them a value is a slip of the keyboard.
_LIMITS: dict[str, tuple[float, float]] = {
    "count": (1, 1_000_000),
    "seed": (0, 2**63 - 1),
    "attempts": (1, 100),
    "motion.transition_rad_s": (0.05, 3.0),  # above it the guard refuses the targets
    "motion.approach_rad_s": (0.05, 3.0),
    "cooling.pause_c": (30, 64),  # at 65 the driver itself cuts the torque
    "cooling.resume_c": (20, 63),
    "cooling.current_a": (0.01, 2),
    "cooling.current_window_s": (0.1, 600),
    "cooling.rest_every": (0, 1_000_000),
    "cooling.rest_s": (0, 86_400),
    "recovery.in_a_row": (1, 10_000),
    "recovery.budget": (1, 1_000_000),
    "recovery.backoff_s": (0.01, 3600),
    "recovery.backoff_max_s": (0.01, 86_400),
    "recovery.patience_s": (1, 604_800),
    "jam.error_rad": (0.05, 3.2),
    "jam.still_rad_s": (0.001, 10),
    "jam.time_s": (0.1, 20),
    "jam.in_a_row": (1, 10_000),
    "disk.pause_gb": (0.001, 100_000),
    "disk.resume_gb": (0.001, 100_000),
    "load_check.window": (1, 10_000),
    "load_check.min_ratio": (0, 1),
    "load_check.free_hand_a": (0, 2),
    "schedule.max_hours": (0, 8760),
}


def _build(cls: Any, data: Any, prefix: str) -> Any:
    """An instance of a config dataclass from a mapping; ``prefix`` is its key with a dot, for the messages."""
    if not isinstance(data, Mapping):
        raise CampaignError(
            f"{prefix.rstrip('.') or 'the file'}: expected a mapping of keys to values, got {_short(data)}"
        )
    fields = {f.name: f for f in dataclasses.fields(cls)}
    for key in data:
        if key not in fields:
            raise CampaignError(
                f"unknown key {prefix}{key if isinstance(key, str) else _short(key)}; "
                f"known keys: {', '.join(prefix + name for name in fields)}"
            )
    missing = [
        prefix + f.name
        for f in fields.values()
        if f.default is f.default_factory is dataclasses.MISSING and f.name not in data
    ]
    if missing:
        raise CampaignError(f"{missing[0]} is missing; every campaign file has to give it")
    types = typing.get_type_hints(cls)
    values = {key: _value(types[key], value, prefix + key) for key, value in data.items()}
    try:
        return cls(**values)
    except CampaignError:
        raise
    except ValueError as error:  # a config of another module refuses in its own words
        raise CampaignError(f"{prefix}{error}") from error


def _value(kind: Any, value: Any, key: str) -> Any:
    if dataclasses.is_dataclass(kind):
        return _build(kind, value, key + ".")
    if kind is str:
        if key.startswith("schedule.") and type(value) is int and 0 <= value < 24 * 60:
            # YAML 1.1 reads an unquoted 18:00 as a number to the base 60.
            return f"{value // 60:02d}:{value % 60:02d}"
        if not isinstance(value, str) or not value.isprintable():
            raise CampaignError(f"{key}: expected a line of text, got {_short(value)}")
        return value
    if kind is int and type(value) is not int:
        raise CampaignError(f"{key}: expected a whole number, got {_short(value)}")
    try:
        number = float(value) if type(value) in (int, float) else math.nan
    except OverflowError:
        number = math.nan
    if not math.isfinite(number):
        raise CampaignError(f"{key}: expected a finite number, got {_short(value)}")
    return value if kind is int else number


def _short(value: Any) -> str:
    try:
        text = reprlib.repr(value)
    except ValueError:  # Python writes no numbers of thousands of digits
        text = type(value).__name__
    return text if text.isprintable() else ascii(text)


def _get(campaign: Campaign, key: str) -> Any:
    value: Any = campaign
    for part in key.split("."):
        value = getattr(value, part)
    return value


def _check_numbers(campaign: Campaign) -> None:
    for key, (least, most) in _LIMITS.items():
        value = _get(campaign, key)
        if not least <= value <= most:
            raise CampaignError(f"{key}: must be from {least} to {most}, got {value}")


def _check_words(campaign: Campaign) -> None:
    if not _NAME.fullmatch(campaign.name):
        raise CampaignError(
            f"name: {campaign.name!r} is not usable; allowed are 1 to 64 letters, digits, '.', '_' and '-', "
            "beginning with a letter or digit"
        )
    if not campaign.library.strip():
        raise CampaignError(
            "library: is empty; give a .parquet file, the name of a shipped library, or waves such as "
            "'waves:sine:2000,square:1000,noise:1000'"
        )
    allowed = {
        "orientation": tuple(WRISTS),
        "selection_orientation": ("", *WRISTS),
        "hand_load": LOADS,
        "start": ("auto", "service"),
    }
    for key, words in allowed.items():
        if _get(campaign, key) not in words:
            names = ", ".join(word or '""' for word in words)
            raise CampaignError(f"{key}: {_get(campaign, key)!r} is none of {names}")
    for key in ("start", "stop"):
        clock = getattr(campaign.schedule, key)
        if clock and time_of_day(clock) is None:
            raise CampaignError(
                f'schedule.{key}: {clock!r} is not a time of day; write "18:00", or "" for none'
            )
    if campaign.notify.webhook and not _is_address(campaign.notify.webhook):
        raise CampaignError(
            f"notify.webhook: {campaign.notify.webhook!r} is not an http:// or https:// address"
        )


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        _ = parts.port  # read for its check
        return parts.scheme in ("http", "https") and bool(parts.hostname) and " " not in text
    except ValueError:
        return False


def _check_pairs(campaign: Campaign) -> None:
    for lower, upper in (
        ("cooling.resume_c", "cooling.pause_c"),
        ("disk.pause_gb", "disk.resume_gb"),
    ):
        low, high = _get(campaign, lower), _get(campaign, upper)
        if not low < high:
            raise CampaignError(f"{lower}: must be below {upper} ({high}), got {low}")
    recovery, cooling, schedule = campaign.recovery, campaign.cooling, campaign.schedule
    if recovery.backoff_s > recovery.backoff_max_s:
        raise CampaignError(
            f"recovery.backoff_s: must not be above recovery.backoff_max_s ({recovery.backoff_max_s}), "
            f"got {recovery.backoff_s}"
        )
    if (cooling.rest_every > 0) != (cooling.rest_s > 0):
        raise CampaignError(
            "cooling.rest_every and cooling.rest_s: give both or neither (0), "
            f"got {cooling.rest_every} and {cooling.rest_s}"
        )
    if schedule.start and schedule.start == schedule.stop:
        raise CampaignError(
            f"schedule.stop: must differ from schedule.start, got {schedule.stop!r} for both; "
            'leave both "" to run at any time'
        )
