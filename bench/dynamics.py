# SPDX-License-Identifier: Apache-2.0
"""Training steps of dynamics models: sixteen networks against one, in one product against one after the other.

All take the same windows in turns, one step each, so that what else the machine does meets all alike. A step is
forward, backward and Adam, as in ``dexndm train dynamics``; the windows are in the device's memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from bench.result import Check, Options, Result
from dexndm_ros.training.dynamics.config import NetworkConfig
from dexndm_ros.training.dynamics.networks import DynamicsNet, flops_a_transition
from dexndm_ros.training.dynamics.processes import keep_freed_memory

_WINDOW = 10
_MOST_ON_A_GPU = 1.5
_PAPER_TRANSITIONS = 24_000 * 400 * 100
_BATCHES = {"cpu": 2048, "cuda": 65536}
_WIDTHS = {"cpu": (16, 32, 64, 256), "cuda": (16, 64, 256, 512)}


@dataclass(frozen=True)
class _Case:
    name: str
    network: NetworkConfig
    step: Callable[[], None]


def run(options: Options) -> Result:
    """Measure."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
    batch = _BATCHES[device.type]
    torch.manual_seed(options.seed)
    q = torch.randn(batch, _WINDOW + 1, 16, device=device).mul(0.02).cumsum(1)
    a = q + 0.1 * torch.randn_like(q)
    rows, checks = [], []
    for width in _WIDTHS[device.type]:
        cases = [
            _case(structure, batched, width, q, a, options.threads)
            for structure, batched in (
                ("joint", False), ("joint", True), ("finger", device.type == "cuda"), ("hand", False),
            )
        ]  # fmt: skip
        seconds = _time(cases, options.seconds / len(_WIDTHS[device.type]), device)
        flops = [flops_a_transition(case.network) for case in cases]
        for case, step_s, work in zip(cases, seconds, flops, strict=True):
            rate = batch / step_s
            rows.append(
                (f"{case.name}, width {width}", 1e3 * step_s, rate / 1e3, work / 1e6, rate * work / 1e9,
                 step_s / seconds[-1], work / flops[-1], _PAPER_TRANSITIONS / rate / 60.0)
            )  # fmt: skip
        own = seconds[1 if device.type == "cuda" else 0] / seconds[-1]
        limit = _MOST_ON_A_GPU if device.type == "cuda" else flops[0] / flops[-1]
        checks.append(Check(f"joint-wise over whole-hand time, width {width}", own, limit))
        loop = seconds[0] / seconds[1]
        better = loop if device.type == "cuda" else 1.0 / loop
        what = f"the kernel that is chosen over the other one, width {width}"
        checks.append(Check(what, better, 1.0, at_most=False))
    return Result(
        title=f"training steps, batch {batch}, two hidden layers, {device.type}, {options.threads} threads",
        columns=("networks", "ms a step", "1000 transitions/s", "MFLOP a transition", "GFLOP/s", "time / whole-hand",
                 "flop / whole-hand", "minutes for the paper's job"),
        rows=rows,
        checks=checks,
        notes=[
            "the paper's job: 24,000 trajectories of 400 steps, 100 epochs (18.7 h joint-wise on eight A10, 4 to 6 "
            "times whole-hand)",
            "a step is the fastest tenth of its turns, of one thread in processor time",
            "without the gather of windows (see the bench `loader`)",
        ],
        settings={"batch": batch, "window": _WINDOW, "device": str(device), "threads": options.threads},
    )  # fmt: skip


def _case(
    structure: str, batched: bool, width: int, q: torch.Tensor, a: torch.Tensor, threads: int
) -> _Case:
    network = NetworkConfig(structure=structure, window=_WINDOW, width=width)  # type: ignore[arg-type]
    net = DynamicsNet(network).to(q.device)
    net.mlp.batched = batched
    loop = q.device.type == "cpu" and not batched and net.groups >= threads
    net.mlp.threads = threads if loop else 1
    optimiser = torch.optim.Adam(net.parameters(), 1e-3, fused=True)

    def step() -> None:
        if (
            q.device.type == "cpu"
        ):  # as the job does: threads take networks, or parts of one product
            torch.set_num_threads(1 if loop else threads)
        error = net.standard(q[:, :-1], a[:, :-1]) - net.target(q[:, :-1], q[:, -1])
        optimiser.zero_grad(set_to_none=True)
        error.square().mean().backward()
        optimiser.step()

    names = {"joint": "sixteen", "finger": "four", "hand": "one"}
    how = "" if structure == "hand" else ", one product" if batched else ", one after the other"
    return _Case(names[structure] + how, network, step)


def _time(cases: list[_Case], seconds: float, device: torch.device) -> list[float]:
    """Seconds of a step of each: the fastest tenth of its turns, those that had the machine to themselves.

    Of one thread on a CPU the processor's time is taken: nothing else that runs is in it, but for a colder cache.
    """
    own = device.type == "cpu" and torch.get_num_threads() == 1
    clock = time.process_time if own else time.perf_counter
    taken: list[list[float]] = [[] for _ in cases]
    end = time.perf_counter() + seconds
    while len(taken[0]) < 4 or time.perf_counter() < end:
        for case, found in zip(cases, taken, strict=True):
            began = clock()
            case.step()
            if device.type == "cuda":
                torch.cuda.synchronize()
            found.append(clock() - began)
    return [float(np.quantile(found[1:], 0.1)) for found in taken]
