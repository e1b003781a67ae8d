# SPDX-License-Identifier: Apache-2.0
"""Many small networks with ReLU, one after the other on a CPU, with their gradients written out.

The same products as autograd would compute, without its bookkeeping, which for small networks is a good part of the
time; and the gradients are written to where they belong. Threads take whole networks: those that share a small product
wait for each other longer than they compute, above all on a machine that has other things to do.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["relu_loop"]


def relu_loop(
    x: Tensor, weights: list[Tensor], biases: list[Tensor], skip: Tensor | None, threads: int = 1
) -> Tensor:
    """Map (groups, B, inputs) to (groups, B, outputs).

    Args:
        x: inputs.
        weights: of the layers, (groups, rows, columns) each.
        biases: of the layers, (groups, 1, columns) each.
        skip: of the linear path beside them, (groups, inputs, outputs), or None.
        threads: among which the networks are shared; torch's own should then be one.
    """
    found: Tensor = _ReluLoop.apply(x, skip, threads, *weights, *biases)
    return found


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="dynamics")


def _share(work: Callable[[int], None], groups: int, threads: int) -> None:
    """Do the work of all networks."""
    threads = min(threads, groups)

    def some(first: int) -> None:
        with torch.no_grad():  # a thread of its own knows nothing of its caller's mode
            for g in range(first, groups, threads):
                work(g)

    if threads == 1:
        some(0)
    else:
        list(_pool(threads).map(some, range(threads)))


class _ReluLoop(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, skip: Tensor | None, threads: int, *parameters: Tensor
    ) -> Tensor:
        layers = len(parameters) // 2
        weights, biases = parameters[:layers], parameters[layers:]
        groups, count = x.shape[:2]
        hidden = [x.new_empty(groups, count, weight.shape[2]) for weight in weights]

        def work(g: int) -> None:
            below = x[g]
            for k in range(layers):
                here = torch.addmm(biases[k][g], below, weights[k][g], out=hidden[k][g])
                below = here.relu_() if k + 1 < layers else here
            if skip is not None:
                below.addmm_(x[g], skip[g])

        _share(work, groups, threads)
        ctx.save_for_backward(x, skip, *weights, *hidden[:-1])
        ctx.layers, ctx.threads = layers, threads
        return hidden[-1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, skip, *saved = ctx.saved_tensors
        layers = ctx.layers
        weights, below = saved[:layers], [x, *saved[layers:]]
        wanted = ctx.needs_input_grad
        gradient = gradient.contiguous()
        for_x = torch.empty_like(x) if wanted[0] else None
        for_skip = torch.empty_like(skip) if skip is not None and wanted[1] else None
        learns = wanted[3]
        for_weights = [torch.empty_like(w) for w in weights] if learns else []
        for_biases = [w.new_empty(len(w), 1, w.shape[2]) for w in weights] if learns else []

        def work(g: int) -> None:
            back = gradient[g]
            if for_skip is not None:
                torch.mm(x[g].T, back, out=for_skip[g])
            for k in reversed(range(layers)):
                if learns:
                    torch.mm(below[k][g].T, back, out=for_weights[k][g])
                    torch.sum(back, 0, keepdim=True, out=for_biases[k][g])
                if k:
                    back = torch.mm(back, weights[k][g].T)
                    back = torch.ops.aten.threshold_backward(back, below[k][g], 0)
                elif for_x is not None:
                    torch.mm(back, weights[0][g].T, out=for_x[g])
            if for_x is not None and skip is not None:
                for_x[g].addmm_(gradient[g], skip[g].T)

        _share(work, len(x), ctx.threads)
        rest = (*for_weights, *for_biases) if learns else (None,) * (2 * layers)
        return for_x, for_skip, None, *rest
