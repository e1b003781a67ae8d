# SPDX-License-Identifier: Apache-2.0
"""Which of the processes that torchrun started this one is."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
import torch.distributed as dist

__all__ = ["NO_CUDA", "Rank", "any_process", "rank_here"]

NO_CUDA = "device is cuda, and torch finds none here; leave --device out to train on the CPU"


@dataclass(frozen=True)
class Rank:
    """One of many processes, or the only one.

    Attributes:
        number: of this process, 0 is the first.
        count: processes.
        local: number on this machine, that of its GPU.
        beside: processes on this machine.
    """

    number: int = 0
    count: int = 1
    local: int = 0
    beside: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and speaks."""
        return self.number == 0


def rank_here() -> Rank:
    """What torchrun told this process; without torchrun it is the only one."""

    def number(name: str, fallback: int) -> int:
        return int(os.environ.get(name, fallback))

    return Rank(
        number("RANK", 0), number("WORLD_SIZE", 1), number("LOCAL_RANK", 0), number("LOCAL_WORLD_SIZE", 1)
    )  # fmt: skip


def any_process(flag: bool, device: torch.device) -> bool:
    """Whether it is so in any of the processes that have joined each other; all must ask."""
    if not dist.is_initialized():
        return flag
    value = torch.tensor([float(flag)], device=device)
    dist.all_reduce(value)
    return bool(value.item())
