# SPDX-License-Identifier: Apache-2.0
"""Gradient steps: epochs of one phase, validated, each network's best kept, resumable in mid-epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dexndm_ros.hand.joints import JOINT_COUNT, JOINT_NAMES
from dexndm_ros.training.dynamics.config import DynamicsConfig
from dexndm_ros.training.dynamics.data import Windows
from dexndm_ros.training.dynamics.errors import DynamicsError
from dexndm_ros.training.dynamics.networks import DynamicsNet
from dexndm_ros.training.dynamics.processes import Processes

__all__ = ["Best", "Phase", "Stopped", "errors_of", "set_precision"]

_EVALUATION_BATCH = 1 << 15
_LOOK_EVERY = 50
"""Steps between two looks at the loss on a GPU, which has to stop for it."""


class Stopped(Exception):  # noqa: N818 - no error: the user asked for it
    """The run was asked to end, and its state is saved."""


@dataclass
class Best:
    """The weights of each network that predicted its joints best.

    Attributes:
        loss: mean squared standardised error of each network's joints on the validation data, (groups,).
        epoch: when that was, (groups,).
        weights: by parameter name.
    """

    loss: Tensor
    epoch: Tensor
    weights: dict[str, Tensor]

    @classmethod
    def of(cls, net: DynamicsNet) -> Best:
        """Nothing yet."""
        groups = 1 if net.shared else net.groups
        return cls(
            torch.full((groups,), math.inf),
            torch.zeros(groups, dtype=torch.int64),
            {name: p.detach().clone() for name, p in net.named_parameters()},
        )

    def see(self, net: DynamicsNet, joint_loss: Tensor, epoch: int) -> None:
        """Keep those networks that are better than before."""
        loss = joint_loss.cpu().float().reshape(len(self.loss), -1).mean(1)
        better = loss < self.loss
        self.loss = torch.where(better, loss, self.loss)
        self.epoch = torch.where(better, torch.tensor(epoch), self.epoch)
        for name, p in net.named_parameters():
            chosen = better.to(p.device).expand(len(p))  # what is shared is chosen as a whole
            self.weights[name][chosen] = p.detach()[chosen]

    @torch.no_grad()
    def restore(self, net: DynamicsNet) -> None:
        """Give a network the best weights."""
        for name, p in net.named_parameters():
            p.copy_(self.weights[name])


@dataclass
class Phase:
    """One stretch of training: the shared network's, or that of all of them.

    Attributes:
        name: of the stretch.
        net: what is trained.
        config: of the run.
        train: data to learn from.
        validation: data to choose by.
        processes: that do it together.
        epochs: how many.
        rate: learning rate at the begin.
        best: weights so far.
        optimiser: Adam.
        epoch: finished ones.
        step: batches done of the running one.
        loss_sum: of those, and their number.
        history: a row an epoch.
    """

    name: str
    net: DynamicsNet
    config: DynamicsConfig
    train: Windows
    validation: Windows
    processes: Processes
    epochs: int
    rate: float
    best: Best = field(init=False)
    optimiser: torch.optim.Optimizer = field(init=False)
    epoch: int = 0
    step: int = 0
    loss_sum: tuple[float, int] = (0.0, 0)
    history: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin with fresh moments and the best of nothing."""
        self.best = Best.of(self.net)
        self.optimiser = torch.optim.Adam(self.net.parameters(), self.rate, fused=True)

    def state(self) -> dict[str, Any]:
        """All that is needed to go on from here."""
        return {
            "name": self.name,
            "net": self.net.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "best": (self.best.loss, self.best.epoch, self.best.weights),
            "epoch": self.epoch,
            "step": self.step,
            "loss_sum": self.loss_sum,
            "history": self.history,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.net.load_state_dict(state["net"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.best = Best(*state["best"])
        self.best.weights = {
            name: value.to(self.processes.device) for name, value in self.best.weights.items()
        }
        self.epoch, self.step = state["epoch"], state["step"]
        self.loss_sum = state["loss_sum"]
        self.history = state["history"]

    def run(
        self,
        save: Callable[[], None],
        show: Callable[[int, str], None],
        stop: Callable[[], bool],
        told: Callable[[dict[str, Any]], None],
        panic: Path,
    ) -> None:
        """Train to the end.

        Args:
            save: writes ``state()``.
            show: windows seen of this phase, and figures, for the progress bar.
            stop: whether the user has asked to end.
            told: takes a row of the history.
            panic: file for the state should a number not be finite.

        Raises:
            Stopped: the user has asked to end; the state is saved.
            DynamicsError: a loss that is not finite; the state is saved.
        """
        if not self.history:
            self._end_epoch(0.0, told)  # what it predicts before it learned anything
        while self.epoch < self.epochs:
            began = time.monotonic()
            self._epoch(save, show, stop, panic)
            self.epoch, self.step = self.epoch + 1, 0
            self._end_epoch(time.monotonic() - began, told)
            self.loss_sum = (0.0, 0)
            save()

    def _epoch(
        self, save: Callable[[], None], show: Callable[[int, str], None], stop: Callable[[], bool], panic: Path
    ) -> None:  # fmt: skip
        size = self.config.batch
        steps = self.train.batch_count(size)
        each = min(size, len(self.train))
        number = [*("shared", "main")].index(self.name)
        order = 2 * self.epoch + number
        total = torch.tensor(self.loss_sum[0], dtype=torch.float64, device=self.processes.device)
        done = 0
        watch = 1 if self.processes.device.type == "cpu" else _LOOK_EVERY
        for q, a in self.train.batches(
            size, order, self.processes.rank, self.processes.count, self.step
        ):
            self._set_rate((self.epoch + self.step / steps) / self.epochs)
            loss = self._loss(q, a, each)
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            self.processes.sum_gradients(self.net.parameters())
            shared = loss.detach()
            self.processes.sum(shared)
            total += shared
            done += 1
            if done % watch == 0 and not torch.isfinite(shared):
                self._panic(panic, q, a)
            self.optimiser.step()
            self.step += 1
            if done % watch == 0:
                show((self.epoch * steps + self.step) * each, f"loss {float(shared):.4f}")
                if self.processes.any(stop()):
                    self._add(total, done)
                    save()
                    raise Stopped
        if not torch.isfinite(total):
            self._panic(panic, q, a)
        self._add(total, done)

    def _add(self, total: Tensor, done: int) -> None:
        self.loss_sum = (float(total), self.loss_sum[1] + done)

    def _loss(self, q: Tensor, a: Tensor, batch: int) -> Tensor:
        """This process's part of the batch's mean squared standardised error."""
        following, q, a = q[:, -1], q[:, :-1], a[:, :-1]
        with _autocast(self.config.precision, self.processes.device):
            predicted = self.net.standard(q, a)
        error = predicted.float() - self.net.target(q, following)
        return error.square().sum() / (batch * JOINT_COUNT)

    def _set_rate(self, share: float) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate * 0.5 * (1.0 + math.cos(math.pi * share))

    def _end_epoch(self, seconds: float, told: Callable[[dict[str, Any]], None]) -> None:
        rms = errors_of(self.net, self.validation, self.processes)
        standard = (rms / self.net.spread[1].double()).square()
        self.best.see(self.net, standard, self.epoch)
        loss, count = self.loss_sum
        row = {
            "phase": self.name,
            "epoch": self.epoch,
            "loss": loss / count if count else float("nan"),
            "val_loss": float(standard.mean()),
            "val_rms_mrad": 1e3 * float(rms.square().mean().sqrt()),
            "seconds": round(seconds, 3),
        }
        self.history.append(row)
        told(row)

    def _panic(self, path: Path, q: Tensor, a: Tensor) -> None:
        if self.processes.first:
            torch.save(self.state() | {"q": q, "a": a}, path)
        bad = [name for name, p in self.net.named_parameters() if not torch.isfinite(p).all()]
        what = f"weights {', '.join(bad)}" if bad else "the loss"
        raise DynamicsError(
            f"{what} not finite in epoch {self.epoch + 1}, step {self.step + 1}: lower learning_rate (it is "
            f"{self.rate:g}). State and batch are in {path}; the checkpoint of the last epoch is as it was"
        )


@torch.no_grad()
def errors_of(net: torch.nn.Module | None, windows: Windows, processes: Processes) -> Tensor:
    """Root mean square of the one-step error, rad, by joint, (16,) in double precision.

    Args:
        net: called with angles and targets; None = persistence, that nothing moves.
        windows: one tick longer than its window.
        processes: that share the work.
    """
    total = torch.zeros(JOINT_COUNT + 1, dtype=torch.float64, device=processes.device)
    for q, a in windows.batches(_EVALUATION_BATCH, None, processes.rank, processes.count):
        error = q[:, -1] - q[:, -2]
        if net is not None:
            error = error - net(q[:, :-1], a[:, :-1])
        total[:-1] += error.double().square().sum(0)
        total[-1] += len(q)
    processes.sum(total)
    rms = (total[:-1] / total[-1]).sqrt().cpu()
    if net is None and not torch.isfinite(rms).all():
        joint = JOINT_NAMES[int((~torch.isfinite(rms)).nonzero()[0])]
        raise DynamicsError(f"the data of {joint} is not finite; convert the bags again")
    return rms


def set_precision(name: str, device: torch.device) -> None:
    """How float32 products are computed: ``tf32`` on CUDA if asked for, or if nothing is."""
    fast = name == "tf32" or (name == "auto" and device.type == "cuda")
    torch.set_float32_matmul_precision("high" if fast else "highest")


def _autocast(name: str, device: torch.device) -> Any:
    if name == "bfloat16":
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()
