# SPDX-License-Identifier: Apache-2.0
"""Many small networks with ReLU, one after the other on a CPU, with their gradients written out.

The same products as autograd would compute, without its bookkeeping, which for small networks is a good part of the
time; and the gradients are written to where they belong.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["relu_loop"]


def relu_loop(
    x: Tensor, weights: list[Tensor], biases: list[Tensor], skip: Tensor | None
) -> Tensor:
    """Map (groups, B, inputs) to (groups, B, outputs).

    Args:
        x: inputs.
        weights: of the layers, (groups, rows, columns) each.
        biases: of the layers, (groups, 1, columns) each.
        skip: of the linear path beside them, (groups, inputs, outputs), or None.
    """
    found: Tensor = _ReluLoop.apply(x, skip, *weights, *biases)
    return found


class _ReluLoop(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, skip: Tensor | None, *parameters: Tensor) -> Tensor:
        layers = len(parameters) // 2
        weights, biases = parameters[:layers], parameters[layers:]
        groups, count = x.shape[:2]
        hidden = [x.new_empty(groups, count, weight.shape[2]) for weight in weights]
        for g in range(groups):
            below = x[g]
            for k in range(layers):
                here = torch.addmm(biases[k][g], below, weights[k][g], out=hidden[k][g])
                below = here.relu_() if k + 1 < layers else here
            if skip is not None:
                below.addmm_(x[g], skip[g])
        ctx.save_for_backward(x, skip, *weights, *hidden[:-1])
        ctx.layers = layers
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
        learns = wanted[2]
        for_weights = [torch.empty_like(w) for w in weights] if learns else []
        for_biases = [w.new_empty(len(w), 1, w.shape[2]) for w in weights] if learns else []
        for g in range(len(x)):
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
        rest = (*for_weights, *for_biases) if learns else (None,) * (2 * layers)
        return for_x, for_skip, *rest
