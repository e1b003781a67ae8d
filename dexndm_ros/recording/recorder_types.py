# SPDX-License-Identifier: Apache-2.0
"""What the recorder is told, and what it tells of itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["RecorderConfig", "RecorderState"]


@dataclass(frozen=True)
class RecorderConfig:
    """Where to and how much.

    Attributes:
        directory: of the bags.
        queue_messages: messages that may wait for the disk.
        queue_bytes: bytes that may wait for it.
        flush_s: at most so much is lost by a kill or a power cut.
        min_free_bytes: no episode begins with less free space.
    """

    directory: Path
    queue_messages: int = 100_000
    queue_bytes: int = 128 * 1024 * 1024
    flush_s: float = 0.5
    min_free_bytes: int = 1_000_000_000

    def __post_init__(self) -> None:
        for name in ("queue_messages", "queue_bytes", "flush_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be above 0")
        if self.min_free_bytes < 0:
            raise ValueError(f"min_free_bytes is {self.min_free_bytes}; it must not be negative")


@dataclass(frozen=True)
class RecorderState:
    """How it is; counts are since the start.

    Attributes:
        reason: why no episode can begin, in words; '' = one can.
        episode: being recorded; '' = none.
        messages: written.
        lost: published and never come.
        dropped: come and not written.
        queue: messages waiting for the disk.
        behind_s: age of the oldest of them.
        bytes: of message data written.
        free_bytes: on the disk; 0 = it cannot be told.
        loss_unknown: topics with jumps that may be losses.
    """

    reason: str
    episode: str
    messages: int
    lost: int
    dropped: int
    queue: int
    behind_s: float
    bytes: int
    free_bytes: int
    loss_unknown: tuple[str, ...]
