# SPDX-License-Identifier: Apache-2.0
"""One process of a training, or one of many started by torchrun; the same arithmetic either way."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor, nn

from dexndm_ros.training.dynamics.errors import DynamicsError
from dexndm_ros.training.torchrun import NO_CUDA, any_process, rank_here

__all__ = ["Processes", "keep_freed_memory"]

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 1 << 30


class Processes:
    """Those that train one model together.

    torchrun says how many there are; without it there is one. A CPU speaks gloo, CUDA nccl.

    Args:
        device: auto, cpu or cuda.
        threads: of a CPU, for this process; 0 = its share of all.

    Attributes:
        rank: number of this process.
        count: processes.
        device: of this process.
        threads: of a CPU, for this process.

    Raises:
        DynamicsError: CUDA is asked for and not there.
    """

    def __init__(self, device: str = "auto", threads: int = 0) -> None:
        here = rank_here()
        self.rank, self.count = here.number, here.count
        there = torch.cuda.is_available()
        if device == "cuda" and not there:
            raise DynamicsError(NO_CUDA)
        on_gpu = there and device != "cpu"
        self.device = torch.device("cuda", here.local) if on_gpu else torch.device("cpu")
        if on_gpu:
            torch.cuda.set_device(self.device)
        self.threads = threads or max(1, len(os.sched_getaffinity(0)) // here.beside)
        torch.set_num_threads(self.threads)
        if not on_gpu:
            keep_freed_memory()
        self._joined = self.count > 1
        if self._joined:
            dist.init_process_group("nccl" if on_gpu else "gloo")

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and speaks."""
        return self.rank == 0

    def sum(self, *values: Tensor) -> None:
        """Add up tensors of all processes, in place."""
        if self._joined:
            for value in values:
                dist.all_reduce(value)

    def any(self, flag: bool) -> bool:
        """Whether it is so in any process; all must ask."""
        return any_process(flag, self.device)

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Add up the gradients of all processes, in one message."""
        if not self._joined:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([g.reshape(-1) for g in gradients])
        dist.all_reduce(flat)
        at = 0
        for gradient in gradients:
            gradient.copy_(flat[at : at + gradient.numel()].view_as(gradient))
            at += gradient.numel()

    def same(self, net: nn.Module) -> None:
        """Give every process the first one's weights."""
        if self._joined:
            for value in net.state_dict().values():
                dist.broadcast(value, 0)

    def wait(self) -> None:
        """Until all have come here."""
        if self._joined:
            dist.barrier()

    def close(self) -> None:
        """Leave the others."""
        if self._joined and dist.is_initialized():
            dist.destroy_process_group()


def keep_freed_memory() -> None:
    """Let the process keep what a step has freed for the next one, up to a gigabyte.

    Else glibc gives it back, and the kernel has to clear the same pages again for every step, which is a fifth of the
    time of small networks. Other C libraries are left as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for what in (_TRIM_THRESHOLD, _MMAP_THRESHOLD):
            mallopt(what, _KEPT_BYTES)
