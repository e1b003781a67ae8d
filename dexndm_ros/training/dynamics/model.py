# SPDX-License-Identifier: Apache-2.0
"""A trained dynamics model: its file, and what other jobs ask of it.

    model = DynamicsModel.load("runs/joint")
    dq = model.predict(q, a)  # (..., W, 16) each, rad, oldest first -> (..., 16), rad

``a`` of the newest row is the target that acts from now until the next tick; ``q + dq`` are the angles then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dexndm_ros.hand.joints import JOINT_COUNT, JOINT_NAMES
from dexndm_ros.training.dynamics.config import NetworkConfig
from dexndm_ros.training.dynamics.errors import DynamicsError
from dexndm_ros.training.dynamics.networks import DynamicsNet

__all__ = ["MODEL_FILE", "DynamicsModel"]

MODEL_FILE = "dynamics.pt"
_KIND = "dexndm dynamics 1"


class DynamicsModel:
    """A frozen model.

    Args:
        net: the networks.
        facts: of how it came about: seed, commit, data, errors.
        batched: compute all networks in one product; None = on a GPU only.
    """

    def __init__(
        self, net: DynamicsNet, facts: Mapping[str, Any] | None = None, batched: bool | None = None
    ) -> None:
        self.net = net.eval().requires_grad_(False)
        self.facts = dict(facts or {})
        self._batched = batched
        self._choose()

    def _choose(self) -> None:
        on_gpu = self.net.mean.is_cuda
        self.net.mlp.batched = on_gpu if self._batched is None else self._batched

    @property
    def config(self) -> NetworkConfig:
        """What it is built of."""
        return self.net.config

    @property
    def window(self) -> int:
        """Steps of history it needs."""
        return self.net.config.window

    def to(self, device: torch.device | str) -> DynamicsModel:
        """The same model, moved."""
        self.net.to(device)
        self._choose()
        return self

    def predict(self, q: Any, a: Any) -> Any:
        """Change of the angles until the next tick.

        Args:
            q: measured angles, (..., W, 16), rad, motor order, oldest first; tensors or arrays.
            a: targets of the same ticks; gradients flow through tensors.

        Returns:
            (..., 16), rad: a tensor for tensors, a float32 array for arrays.

        Raises:
            DynamicsError: other shapes.
        """
        if q.shape != a.shape or q.shape[-2:] != (self.window, JOINT_COUNT):
            raise DynamicsError(
                f"angles {tuple(q.shape)} and targets {tuple(a.shape)} must both be (..., {self.window}, {JOINT_COUNT})"
            )
        if isinstance(q, Tensor):
            return self.net(q, a)
        device = self.net.mean.device
        with torch.inference_mode():
            rows = [
                torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32)).to(device)
                for x in (q, a)
            ]
            return self.net(*rows).cpu().numpy()

    def save(self, path: Path) -> None:
        """Write it, whole or not at all."""
        partial = path.with_name(path.name + ".part")
        torch.save(
            {
                "kind": _KIND,
                "network": asdict(self.config),
                "joints": list(JOINT_NAMES),
                "state": {name: x.cpu() for name, x in self.net.state_dict().items()},
                "facts": self.facts,
            },
            partial,
        )
        partial.replace(path)

    @classmethod
    def load(cls, path: Path | str, device: torch.device | str = "cpu") -> DynamicsModel:
        """Read a model file, or the one of a run folder.

        Raises:
            DynamicsError: no such file, or no model of this hand.
        """
        file = Path(path)
        file = file / MODEL_FILE if file.is_dir() else file
        if not file.is_file():
            raise DynamicsError(
                f"{file} does not exist; give the --out folder of dexndm train dynamics"
            )
        try:
            data = torch.load(file, weights_only=True, map_location="cpu")
        except Exception as error:  # torch raises whatever its unpickler meets
            raise DynamicsError(f"{file} cannot be read as a model: {error}") from error
        if not isinstance(data, dict) or data.get("kind") != _KIND:
            raise DynamicsError(
                f"{file} is no dynamics model; give one that dexndm train dynamics wrote"
            )
        if tuple(data["joints"]) != JOINT_NAMES:
            raise DynamicsError(f"{file} is of other joints: {', '.join(data['joints'])}")
        net = DynamicsNet(NetworkConfig(**data["network"]))
        net.load_state_dict(data["state"])
        return cls(net, data["facts"]).to(device)
